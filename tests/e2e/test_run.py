"""`python -m app run`, as a newcomer types it: every part is real."""

import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.settings import Settings, variable_names

PROJECT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120
STAYS = "Ctrl-C stops everything"


@dataclass(frozen=True)
class Newcomer:
    """Someone with an empty folder and no configuration, whose processes can be told from others."""

    folder: Path
    environment: Mapping[str, str]
    mark: str

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "app", "run", *options]

    def run(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*options),
            cwd=self.folder,
            env={**self.environment, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def processes(self) -> list[str]:
        """The command lines of what was started for this newcomer and still runs."""
        return list(_command_lines(self.mark, str(self.database)))

    @property
    def database(self) -> Path:
        """As root it is not where it was asked for, but where PostgreSQL's account can reach it."""
        return (self.folder / ".run" / "postgres").resolve()


def _command_lines(*marks: str) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().replace("\0", " ")
            told = command + (process / "environ").read_text(errors="replace")
        except OSError:
            continue
        if any(mark in told for mark in marks):
            yield command


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    mark = f"newcomer-{uuid.uuid4().hex}"
    folder = tmp_path / mark
    folder.mkdir()
    ours = {name for field in Settings.model_fields.values() for name in variable_names(field)}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    newcomer = Newcomer(folder, {**environment, "PYTHONPATH": str(PROJECT), "RUN_MARK": mark}, mark)
    yield newcomer
    shutil.rmtree(newcomer.database, ignore_errors=True)


def test_the_first_coupon_comes_back_and_a_second_run_keeps_its_data(newcomer: Newcomer) -> None:
    first = newcomer.run("--once")
    after_first = newcomer.processes()
    second = newcomer.run("--once")

    assert first.returncode == 0, first.stdout
    assert "the coupon came back after" in first.stdout
    assert '"coupon": {' in first.stdout
    assert "loaded already" not in first.stdout
    assert after_first == []
    assert second.returncode == 0, second.stdout
    assert "the coupon came back after" in second.stdout
    assert "loaded already" in second.stdout
    assert newcomer.processes() == []


def test_stays_until_asked_to_stop_and_leaves_no_process(newcomer: Newcomer) -> None:
    with subprocess.Popen(
        newcomer.command(), cwd=newcomer.folder, env=newcomer.environment, text=True, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        said: list[str] = []
        for line in running.stdout:
            said.append(line)
            if STAYS in line:
                break
        while_running = newcomer.processes()
        another = newcomer.run("--once")
        running.send_signal(signal.SIGTERM)
        said += running.stdout.readlines()
        code = running.wait(PATIENCE_SECONDS)

    text = "".join(said)
    assert code == 0, text
    assert re.search(r"http://127\.0\.0\.1:\d+/readyz", text)
    assert "mosquitto_pub -h 127.0.0.1 -p" in text
    assert [name for name in ("postgres", "mosquitto", " serve ", " central ") if name not in str(while_running)] == []
    assert (another.returncode, "another run uses" in another.stdout) == (1, True)
    assert newcomer.processes() == []


def test_a_service_that_does_not_start_is_shown_with_its_log(newcomer: Newcomer) -> None:
    failed = newcomer.run("--once", MODEL_DIR="/nonexistent")

    assert failed.returncode == 1, failed.stdout
    assert "the service ended with code" in failed.stdout
    assert "nonexistent" in failed.stdout
    assert newcomer.processes() == []
