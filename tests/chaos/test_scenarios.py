"""The short form of every scenario. Times are told, never judged: machines differ."""

from collections.abc import Iterator
from dataclasses import asdict

import pytest

from tests.chaos.__main__ import Worlds, open_worlds, play
from tests.chaos.scenarios import ALL, Scenario


@pytest.fixture(scope="module")
def worlds() -> Iterator[Worlds]:
    """Scenarios that need the same world share it."""
    with open_worlds() as worlds:
        yield worlds


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_nothing_is_lost_and_nothing_doubled(scenario: Scenario, worlds: Worlds) -> None:
    report = play(scenario, scenario.short, worlds)

    assert report.verdict in {"good", "not run"}, asdict(report)
