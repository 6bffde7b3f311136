"""A broker on this machine, for `run` and for tests."""

import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from app.embedded.ports import LOOPBACK, answers, is_free
from app.embedded.process import ChildProcess
from app.errors import EmbeddedFailed

SHIPPED_CONFIGURATION = Path(__file__).with_name("mosquitto.conf")
REPLACED = ("include_dir", "persistence_location", "user")
SYSTEM_FOLDERS = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))
START_SECONDS = 15.0


def find_mosquitto(folders: str | None = None) -> str | None:
    """The broker's program in these folders (as in PATH); by default in PATH and where systems put daemons."""
    if folders is not None:
        return shutil.which("mosquitto", path=folders)
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=SYSTEM_FOLDERS)


class EmbeddedBroker:
    """A broker on 127.0.0.1 that takes anyone: mosquitto where the machine has one, else amqtt in a child process.

    mosquitto runs with the shipped configuration and keeps sessions, queued and retained messages in `data_dir`.
    amqtt is for a first look: MQTT 3.1.1 only (no properties, no shared subscriptions, no reason for a refusal), no
    persistence (a restart forgets every session and queue), no limits on queues. No promise of this service about lost
    or repeated events holds on it.
    """

    kind: Literal["mosquitto", "amqtt"]

    def __init__(self, data_dir: Path, port: int, *, program_folders: str | None = None) -> None:
        self.port = port
        self.host = LOOPBACK
        self.data_dir = data_dir.absolute()
        program = find_mosquitto(program_folders)
        self.kind = "mosquitto" if program else "amqtt"
        command = (
            [program, "-c", str(self._configuration_path)]
            if program
            else [sys.executable, "-m", "app.embedded.amqtt_broker", str(port)]
        )
        self.process = ChildProcess(f"the broker ({self.kind})", command, self.data_dir / "broker.log")

    def start(self) -> None:
        """Start the broker and wait until it takes connections. Raises EmbeddedFailed."""
        if not is_free(self.port):
            raise EmbeddedFailed(f"{self.process.name} cannot be started: port {self.port} is taken")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if self.kind == "mosquitto":
            self._write_configuration()
        with ExitStack() as undo:
            undo.callback(self.process.stop)
            self.process.start()
            self._wait_until_it_answers()
            undo.pop_all()

    def stop(self) -> None:
        """Stop the broker; mosquitto saves its state. Does nothing when it does not run."""
        self.process.stop()

    @property
    def _configuration_path(self) -> Path:
        return self.data_dir / "mosquitto.conf"

    def _write_configuration(self) -> None:
        self._configuration_path.write_text(_configuration(self.port, self.data_dir))

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.port):
            self.process.check()
            if time.monotonic() > deadline:
                raise self.process.failure(f"does not answer on port {self.port} after {START_SECONDS:.0f} s")
            time.sleep(0.02)


def _configuration(port: int, data_dir: Path) -> str:
    shipped = SHIPPED_CONFIGURATION.read_text().splitlines()
    kept = [line for line in shipped if not line.startswith(REPLACED)]
    here = [f"listener {port} {LOOPBACK}", "allow_anonymous true", f"persistence_location {data_dir}"]
    if os.geteuid() == 0:
        # mosquitto started by root would become a user who cannot reach data below a closed home directory.
        here.append("user root")
    return "\n".join([*kept, *here, ""])
