"""The harness itself: its lines do to a connection what they say, and it finds out a service that loses events."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from app.embedded.ports import LOOPBACK
from tests.chaos import wire
from tests.chaos.__main__ import main, open_worlds, play
from tests.chaos.loop import LoopThread
from tests.chaos.proxy import FaultProxy
from tests.chaos.remote import Mode, RemoteServer, central_answer, scorer_answer
from tests.chaos.run import Parameters, ids_in_logs
from tests.chaos.scenarios import ALL, BY_NAME
from tests.chaos.service import holds_in_time
from tests.chaos.shop import Shop
from tests.chaos.world import WorldPlan

PATIENCE_SECONDS = 20.0
SILENCE_SECONDS = 0.2


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread("test")
    yield loop
    loop.close()


@pytest.fixture
def far() -> Iterator[socket.socket]:
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        yield listener


@pytest.fixture
def line(loop: LoopThread, far: socket.socket) -> Iterator[FaultProxy]:
    line = FaultProxy(loop, far.getsockname()[1])
    yield line
    line.close()


@pytest.fixture
def ends(line: FaultProxy, far: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of one connection over the line."""
    with ExitStack() as undo:
        near = undo.enter_context(socket.create_connection((LOOPBACK, line.port), timeout=PATIENCE_SECONDS))
        other = undo.enter_context(far.accept()[0])
        other.settimeout(PATIENCE_SECONDS)
        yield near, other


def is_cut(end: socket.socket) -> bool:
    try:
        return end.recv(1) == b""
    except ConnectionResetError:
        return True


def is_silent(end: socket.socket) -> bool:
    end.settimeout(SILENCE_SECONDS)
    try:
        end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(PATIENCE_SECONDS)
    return False


def test_a_line_forwards_both_ways(ends: tuple[socket.socket, socket.socket]) -> None:
    near, other = ends
    near.sendall(b"ping")
    assert other.recv(4) == b"ping"
    other.sendall(b"pong")
    assert near.recv(4) == b"pong"


def test_a_reset_reaches_both_ends_and_spares_new_connections(
    line: FaultProxy, far: socket.socket, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, other = ends
    line.reset()
    assert is_cut(near)
    assert is_cut(other)
    with socket.create_connection((LOOPBACK, line.port), timeout=PATIENCE_SECONDS) as again, far.accept()[0] as new:
        again.sendall(b"x")
        assert new.recv(1) == b"x"


def test_a_blackhole_swallows_and_its_lines_are_cut_afterwards(
    line: FaultProxy, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, other = ends
    line.blackhole(True)
    near.sendall(b"x")
    assert is_silent(other)
    line.blackhole(False)
    assert is_cut(near)


def test_what_is_held_arrives_after_all(line: FaultProxy, ends: tuple[socket.socket, socket.socket]) -> None:
    near, other = ends
    line.hold(True)
    near.sendall(b"x")
    assert is_silent(other)
    line.hold(False)
    assert other.recv(1) == b"x"


def test_a_refusing_line_cuts_each_new_connection(line: FaultProxy) -> None:
    line.refuse(True)
    with socket.socket() as near:
        near.settimeout(PATIENCE_SECONDS)
        assert near.connect_ex((LOOPBACK, line.port)) != 0 or is_cut(near)


@pytest.mark.parametrize("mode", ["500", "garbage", "huge", "wrong ids", "out of range"])
def test_a_sick_server_answers_as_it_is_told(loop: LoopThread, mode: Mode) -> None:
    server = RemoteServer(loop, scorer_answer)
    try:
        server.turn(mode)
        answer = httpx.post(f"http://{LOOPBACK}:{server.port}/", json={"coupons": [{"coupon_id": 7}]}, trust_env=False)
    finally:
        server.close()

    seen = {
        "500": answer.status_code == 500,
        "garbage": b"\x00\xff" in answer.content,
        "huge": len(answer.content) > 10_000_000,
        "wrong ids": b'"no-7"' in answer.content,
        "out of range": b"1.7" in answer.content,
    }
    assert [name for name, is_so in seen.items() if is_so] == [mode]


@pytest.mark.parametrize("mode", ["hang", "down"])
def test_a_server_that_hangs_or_is_down_gives_no_answer(loop: LoopThread, mode: Mode) -> None:
    server = RemoteServer(loop, central_answer)
    try:
        server.turn(mode)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{LOOPBACK}:{server.port}/get_context/1", timeout=SILENCE_SECONDS, trust_env=False)
    finally:
        server.close()


def test_packets_are_read_in_whatever_pieces_they_arrive() -> None:
    properties = wire.message_properties("event-1", b"corr")
    packet = wire.publish("a/b", 258, properties, b"body" * 100, is_again=True)
    buffer, messages = bytearray(), []
    for byte in packet + packet:
        buffer.append(byte)
        messages += [wire.read_publish(first, body) for first, body in wire.frames(buffer)]

    expected = wire.Received("a/b", b"body" * 100, 258, True, {"event-id": "event-1"}, b"corr")
    assert messages == [expected, expected]


def test_a_shop_makes_named_and_unnamed_events_and_some_to_be_refused() -> None:
    shop = Shop(1)
    events = [shop.next() for _ in range(200)]

    assert len({event.name for event in events}) == 200
    assert sum(event.expected == "dead letter" for event in events) == 8
    assert sum(b"event-id" in event.properties for event in events) == 96
    assert 0 < sum(shop.is_sent_twice(event) for event in events) < 20


def test_ids_of_customers_are_found_in_logs(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("all well\ncust-7f3a-abc-000123 was here\n")
    (tmp_path / "b.log").write_text('{"customer_id": "17"}\ncust-7f3a-other-1\n')

    assert list(ids_in_logs(tmp_path, "abc")) == ["a: custN was here", 'b: {"customer_id": "N"}']


def test_every_scenario_has_a_short_and_a_long_form() -> None:
    assert all(scenario.full for scenario in ALL)
    assert main(["--list"]) == 0


def test_a_service_that_acknowledges_on_receipt_is_found_out() -> None:
    with open_worlds() as worlds:
        report = play(BY_NAME["kill"], Parameters(faults=2, rate=100), worlds, WorldPlan(service="broken"))

    assert report.counted is not None
    assert report.verdict == "bad"
    assert report.counted.lost > 0
    assert report.counted.conflicting > 0


def test_waiting_ends_when_it_is_in_vain() -> None:
    assert not holds_in_time(lambda: False, 0.05)
