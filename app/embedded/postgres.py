"""A PostgreSQL of our own on 127.0.0.1, for a machine that has none, and for tests.

The server's directory holds `cluster` (the data), `postgres.log` (of the last start), `lock` (held while the server is
ours) and, where needed, `software` (a copy of the programs for the account that the server runs under).
"""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Literal
from urllib.parse import quote

from app.embedded.accounts import can_reach, unprivileged_account
from app.embedded.postgres_software import Software, find_software
from app.errors import EmbeddedFailed

HOST = "127.0.0.1"
NAME = "recommendation"  # of the role and of the database
START_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.02
LOG_LINES = 8
SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}

INITDB_OPTIONS = (
    *("--username=postgres", "--auth-local=reject", "--auth-host=scram-sha-256"),
    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
# The role takes over the password that initdb gave to the superuser, who then has none and cannot log in. It may read
# the server's files, because the documented COPY statements do.
FIRST_STATEMENTS = b"""\
CREATE ROLE recommendation LOGIN CREATEDB IN ROLE pg_read_server_files
UPDATE pg_authid SET rolpassword = (SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres') \
WHERE rolname = 'recommendation'
ALTER ROLE postgres PASSWORD NULL
CREATE DATABASE recommendation OWNER recommendation
"""
TERSE = ("-c", "log_error_verbosity=terse")  # the details of errors quote rows, and those name customers
NOT_DURABLE = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


class EmbeddedPostgres:
    """One server with its data in `data_dir`, as a child process of this one.

    As root, the server runs under another account; where that cannot reach `data_dir`, the directory becomes a link to
    one in /var/tmp. Not `durable` means that the data need not outlive a crash of the machine.
    """

    def __init__(self, data_dir: Path, port: int, *, password: str, durable: bool = True) -> None:
        self.url = f"postgresql://{NAME}:{quote(password, safe='')}@{HOST}:{port}/{NAME}"
        self._directory = data_dir
        self._port = port
        self._password = password
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the server, while it runs and was started by this object."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> str:
        """Start the server, the first time with a new cluster, and return the URL of its database.

        Does nothing when it runs already. Raises EmbeddedFailed.
        """
        if self.pid is not None:
            return self.url
        with ExitStack() as undo:
            undo.callback(self.stop, "immediate")
            try:
                self._start()
            except OSError as error:
                raise EmbeddedFailed(f"PostgreSQL cannot be started in {self._directory}: {error}") from error
            undo.pop_all()
        return self.url

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server, if this object started it, and wait for its end; the data stays.

        Fast ends all connections; immediate also leaves recovery to the next start.
        """
        if self._process is not None:
            _end(self._process, SIGNALS[mode])
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _start(self) -> None:
        account = unprivileged_account()
        if self._directory.is_symlink() and not self._directory.exists():
            self._directory.unlink()
        self._directory.mkdir(parents=True, exist_ok=True)
        if not can_reach(self._directory, account):
            _link_to_reachable(self._directory)
        home = self._directory.resolve()
        self._lock = self._lock or _acquire_lock(home)
        software = find_software(account, home)
        cluster = home / "cluster"
        if not cluster.exists():
            _create_cluster(software, cluster, self._password, self._durable)
        _end_predecessor(cluster)
        self._process = self._spawn(software, cluster)
        self._wait_until_ready(cluster, self._process)
        self._log_in(software)

    def _spawn(self, software: Software, cluster: Path) -> "subprocess.Popen[bytes]":
        options = (
            "-c",
            f"port={self._port}",
            "-c",
            f"listen_addresses={HOST}",
            "-c",
            "unix_socket_directories=",
            *TERSE,
        )
        with (software.home / "postgres.log").open("wb") as log:
            return software.spawn(
                "postgres", "-D", str(cluster), *options, *(() if self._durable else NOT_DURABLE), log=log
            )

    def _wait_until_ready(self, cluster: Path, process: "subprocess.Popen[bytes]") -> None:
        def is_ready() -> bool:
            if process.poll() is not None:
                raise EmbeddedFailed(f"PostgreSQL does not start:\n{_last_lines(cluster.parent / 'postgres.log')}")
            lines = _lines(cluster / "postmaster.pid")
            return lines[:1] == [str(process.pid)] and lines[7:8] == ["ready"]

        _wait_until(is_ready, START_SECONDS, "PostgreSQL to become ready")

    def _log_in(self, software: Software) -> None:
        software.run(
            "psql",
            *("--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--command=SELECT 1"),
            *(f"--host={HOST}", f"--port={self._port}", f"--username={NAME}", f"--dbname={NAME}"),
            environment={"PGPASSWORD": self._password, "PGCONNECT_TIMEOUT": "10"},
        )


def _link_to_reachable(directory: Path) -> None:
    if directory.is_symlink() or any(directory.iterdir()):
        raise EmbeddedFailed(f"the account that PostgreSQL runs under cannot reach {directory.resolve()}")
    reachable = Path(tempfile.mkdtemp(prefix="recommendation-postgres-", dir="/var/tmp"))
    reachable.chmod(0o755)
    directory.rmdir()
    directory.symlink_to(reachable)


def _acquire_lock(home: Path) -> IO[bytes]:
    lock = (home / "lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise EmbeddedFailed(f"another process runs the PostgreSQL in {home}: stop that one first") from error
    return lock


def _create_cluster(software: Software, cluster: Path, password: str, durable: bool) -> None:
    """Make the cluster under another name first: one that was interrupted halfway is never started."""
    unfinished = cluster.with_name("cluster.unfinished")
    password_file = cluster.with_name("password")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password_file.touch(mode=0o600)
    try:
        password_file.write_text(password)
        if software.account is not None:
            os.chown(unfinished, software.account.uid, software.account.gid)
            os.chown(password_file, software.account.uid, software.account.gid)
        options = (*INITDB_OPTIONS, *(() if durable else ("--no-sync",)))
        software.run("initdb", f"--pgdata={unfinished}", f"--pwfile={password_file}", *options)
    finally:
        password_file.unlink()
    single_user = ("--single", "-D", str(unfinished), "-c", "exit_on_error=on", "postgres")
    software.run("postgres", *single_user, stdin=FIRST_STATEMENTS)
    unfinished.rename(cluster)


def _end_predecessor(cluster: Path) -> None:
    """Stop the server of this cluster whose starter was killed; forget a process id that means another process now."""
    pid_file = cluster / "postmaster.pid"
    pid = "".join(_lines(pid_file)[:1])
    command_line = Path("/proc", pid, "cmdline")
    if not pid.isdecimal() or not command_line.exists():
        return
    if os.fsencode(cluster) not in command_line.read_bytes().split(b"\0"):
        pid_file.unlink()
        return
    os.kill(int(pid), signal.SIGINT)
    _wait_until(lambda: not pid_file.exists(), STOP_SECONDS, f"the server of an earlier run (process {pid}) to end")


def _end(process: "subprocess.Popen[bytes]", first: signal.Signals) -> None:
    for number in (first, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def _wait_until(is_done: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise EmbeddedFailed(f"waited {seconds:.0f} s for {what}, in vain")
        time.sleep(POLL_SECONDS)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []


def _last_lines(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_LINES:])
