"""One service process, started as often as it is killed; every life has a log of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from app.embedded.ports import LOOPBACK, free_port
from app.embedded.process import ChildProcess
from app.errors import EmbeddedFailed

ServiceKind = Literal["product", "broken"]
COMMANDS = {"product": ("-m", "app", "serve", "--host", LOOPBACK), "broken": ("-m", "tests.chaos.broken_service")}
HTTP_SECONDS = 2.0
COMMAND_SECONDS = 90.0
LOOK_AGAIN_SECONDS = 0.02
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def holds_in_time(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition comes to hold within so many seconds."""
    never, deadline = threading.Event(), monotonic() + seconds
    while not condition():
        if monotonic() > deadline:
            return False
        never.wait(LOOK_AGAIN_SECONDS)
    return True


class Service:
    """An instance with a client id and an HTTP port that it keeps over its lives."""

    def __init__(self, client_id: str, variables: Mapping[str, str], logs: Path, kind: ServiceKind = "product") -> None:
        self.client_id = client_id
        self.port = free_port()
        self.environment = {**variables, "MQTT_CLIENT_ID": client_id, "PORT": str(self.port)}
        self.kind = kind
        self.started_at = 0.0
        self.is_frozen = False
        self.is_wanted = False
        self._logs = logs
        self._lives = 0
        self._process: ChildProcess | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 when there is no process."""
        process = self._process
        with suppress(EmbeddedFailed):  # it may be stopped meanwhile
            return process.pid if process is not None and not process.has_ended else 0
        return 0

    def start(self) -> None:
        """A new life."""
        self._lives += 1
        self.is_wanted = True
        log = self._logs / f"{self.client_id}.{self._lives}.log"
        self._process = ChildProcess(self.client_id, [sys.executable, *COMMANDS[self.kind]], log, self.environment)
        self.started_at = monotonic()
        self._process.start()

    def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        self.stop()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        if self.pid:
            os.kill(self.pid, number)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)
        self.is_frozen = False

    def terminate(self, patience_seconds: float) -> tuple[int | None, float]:
        """SIGTERM: the exit code (None: it had to be killed), and how long it took."""
        began = monotonic()
        self.signal(signal.SIGTERM)
        process = self._process
        assert process is not None
        has_ended = holds_in_time(lambda: process.has_ended, patience_seconds)
        code, seconds = process.exit_code if has_ended else None, monotonic() - began
        self.stop()
        return code, seconds

    def stop(self) -> None:
        """End what is left of it; nobody expects it to be ready."""
        self.is_wanted = False
        if self.is_frozen:
            self.thaw()
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def command(self, *arguments: str) -> int:
        """The exit code of a command of the product, in the environment of the service."""
        self._lives += 1
        log = self._logs / f"{self.client_id}.{self._lives}.{arguments[0]}.log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "app", *arguments]
            return subprocess.run(
                command, env=self.environment, stdout=output, stderr=output, timeout=COMMAND_SECONDS, check=False
            ).returncode

    def tail(self) -> str:
        """The end of the log."""
        return self._process.log_tail() if self._process is not None else ""

    def get(self, path: str) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON answer; status 0 when nobody answers."""
        connection = HTTPConnection(LOOPBACK, self.port, timeout=HTTP_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        except (OSError, HTTPException, ValueError):
            return 0, {}
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Whether it says that it is ready; a broken one has nothing to say."""
        return self.kind == "broken" or self.get("/readyz")[0] == 200

    def size(self) -> Mapping[str, int]:
        """Resident bytes, open files and threads; nothing when there is no process."""
        home = Path("/proc", str(self.pid))
        try:
            pages = int((home / "statm").read_text().split()[1])
            status = (home / "status").read_text()
            files = len(list((home / "fd").iterdir()))
        except (OSError, IndexError):
            return {}
        threads = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads:"))
        return {"rss": pages * PAGE_BYTES, "files": files, "threads": threads}
