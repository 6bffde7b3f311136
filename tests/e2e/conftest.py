"""One stack for all tests that leave it standing."""

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Device, Stack, device_at, running_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A running stack; do not break it."""
    with running_stack() as stack:
        yield stack


@pytest.fixture
def device(stack: Stack) -> Iterator[Device]:
    """A device at the broker of the running stack."""
    with device_at(stack) as device:
        yield device
