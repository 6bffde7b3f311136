"""What `run` is made of, without the service."""

import os
import signal
import socket
import sys
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from app.embedded.dataset import Visit, fingerprint, load_once, visits
from app.embedded.ports import answers, free_port, is_free
from app.embedded.process import ChildProcess
from app.embedded.watch import StopRequested, Watch
from app.errors import DatasetRefused, EmbeddedFailed

NOVEMBER = date(2026, 11, 1)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "customer_info.csv").write_text("gender,customer_id\nF,7\nM,8\nF,9\n")
    (tmp_path / "coupon_info.csv").write_text("coupon_id,department\n1,Boys\n2,Boys\n3,Women\n")
    return tmp_path


def child(tmp_path: Path, code: str) -> ChildProcess:
    return ChildProcess("the child", [sys.executable, "-c", code], tmp_path / "child.log")


def test_customers_come_in_turn_to_departments_that_have_coupons(shop: Path) -> None:
    assert visits(shop) == [Visit("7", "Boys"), Visit("8", "Women"), Visit("9", "Boys")]


@pytest.mark.parametrize(
    ("name", "text"),
    [("customer_info.csv", "id\n7\n"), ("coupon_info.csv", "coupon_id,department\n"), ("customer_info.csv", "")],
    ids=["no such column", "no coupons", "an empty file"],
)
def test_a_shop_that_nobody_can_come_to_is_refused(shop: Path, name: str, text: str) -> None:
    (shop / name).write_text(text)

    with pytest.raises(DatasetRefused):
        visits(shop)


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetRefused, match="no CSV files"):
        fingerprint(tmp_path, "embedded", NOVEMBER)


def test_files_database_and_month_tell_one_loading_from_another(shop: Path) -> None:
    first = fingerprint(shop, "embedded", NOVEMBER)
    same_month = fingerprint(shop, "embedded", date(2026, 11, 30))
    others = {
        fingerprint(shop, "postgresql://elsewhere", NOVEMBER),
        fingerprint(shop, "embedded", date(2026, 12, 1)),
    }
    (shop / "coupon_info.csv").write_text("coupon_id,department\n1,Men\n")
    others.add(fingerprint(shop, "embedded", NOVEMBER))

    assert same_month == first
    assert len(others - {first}) == 3


def test_what_was_loaded_is_not_loaded_again(tmp_path: Path) -> None:
    loaded: list[str] = []

    answers_given = [
        load_once(tmp_path / "stamp", wanted, tmp_path, partial(loaded.append, wanted)) for wanted in ("a", "a", "b")
    ]

    assert (answers_given, loaded) == ([True, False, True], ["a", "b"])


def test_a_loading_that_failed_is_done_again(tmp_path: Path) -> None:
    def fail() -> None:
        raise DatasetRefused

    load_once(tmp_path / "stamp", "a", tmp_path, lambda: None)
    with pytest.raises(DatasetRefused):
        load_once(tmp_path / "stamp", "b", tmp_path, fail)

    assert load_once(tmp_path / "stamp", "a", tmp_path, lambda: None)


def test_another_shop_is_not_loaded_over_the_first(tmp_path: Path) -> None:
    load_once(tmp_path / "stamp", "a", tmp_path / "one", lambda: None)

    with pytest.raises(DatasetRefused, match=r"holds the shop of .*/one: remove it to run that of .*/other"):
        load_once(tmp_path / "stamp", "b", tmp_path / "other", lambda: pytest.fail("loaded"))


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        port = free_port(taken)

        assert answers(taken)
        assert not is_free(taken)
        assert port != taken
        assert is_free(port)


def test_a_free_port_is_kept() -> None:
    port = free_port()

    assert free_port(port) == port


def test_a_child_that_ends_by_itself_ends_the_wait(tmp_path: Path) -> None:
    watch = Watch()
    process = child(tmp_path, "print('the reason'); raise SystemExit(4)")
    process.start()
    watch.add(process)

    with pytest.raises(EmbeddedFailed, match=r"(?s)the child ended with code 4.*the reason"):
        watch.wait_until(lambda: False, seconds=10)


def test_a_wait_says_whether_it_was_in_time() -> None:
    watch = Watch()

    assert watch.wait_until(lambda: True, seconds=10)
    assert not watch.wait_until(lambda: False, seconds=0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_wait_and_not_the_process(number: signal.Signals) -> None:
    watch = Watch()
    before = signal.getsignal(number)

    with watch.signals():
        os.kill(os.getpid(), number)
        with pytest.raises(StopRequested):
            watch.stay()

    assert signal.getsignal(number) is before


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    process = child(
        tmp_path,
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()",
    )
    process.start()
    assert Watch().wait_until(lambda: process.log_tail() == "deaf", seconds=10)
    pid = process.pid

    process.stop(patience_seconds=0)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    process = ChildProcess("the child", [str(tmp_path / "nothing")], tmp_path / "child.log")

    with pytest.raises(EmbeddedFailed, match="the child cannot be started"):
        process.start()
    process.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent is gone")
def test_a_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from app.embedded.process import ChildProcess;"
        "inner = ChildProcess('inner', [sys.executable, '-c', 'import signal; signal.pause()'], Path(sys.argv[1]));"
        "inner.start(); print(inner.pid, flush=True); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    parent = ChildProcess(
        "the parent", [sys.executable, "-c", script, str(tmp_path / "inner.log")], tmp_path / "parent.log"
    )
    parent.start()
    assert Watch().wait_until(lambda: parent.has_ended, seconds=10)
    inner = int(parent.log_tail())

    assert Watch().wait_until(lambda: not is_alive(inner), seconds=10)


def is_alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"
