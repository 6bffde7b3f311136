"""Child processes that are stopped with their parent."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.errors import EmbeddedFailed

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class ChildProcess:
    """One command in a session of its own (Ctrl-C reaches the parent alone), writing to a log file.

    On Linux the child is asked to stop when the thread that started it ends, so start it from one that stays.
    """

    def __init__(
        self, name: str, command: Sequence[str], log_path: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._command = list(command)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the command. Raises EmbeddedFailed."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("wb") as log:
            try:
                self._process = subprocess.Popen(  # noqa: S603
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    start_new_session=True,
                    preexec_fn=_stop_with_parent(),
                )
            except OSError as error:
                raise EmbeddedFailed(f"{self.name} cannot be started: {error}") from error

    @property
    def pid(self) -> int:
        """The process id. Raises EmbeddedFailed when there is no process."""
        if self._process is None:
            raise EmbeddedFailed(f"{self.name} does not run")
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process has been started and is no longer there."""
        return self._process is not None and self._process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        """The code the process has ended with; None before."""
        return self._process.poll() if self._process is not None else None

    def check(self) -> None:
        """Raises EmbeddedFailed when the process has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise self.failure(f"ended with code {self._process.returncode}")

    def failure(self, problem: str) -> EmbeddedFailed:
        """The error that says what happened to this process, with the end of its log."""
        return EmbeddedFailed(f"{self.name} {problem}; the end of {self.log_path}:\n{self.log_tail()}")

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the log."""
        if not self.log_path.is_file():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, patience_seconds: float = 15) -> None:
        """Ask the process to stop (SIGTERM), kill it when it does not in time; does nothing when there is none."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _stop_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: the child may do as little as possible before exec
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
