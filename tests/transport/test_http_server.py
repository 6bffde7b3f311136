"""What the HTTP server makes of requests that lie about themselves."""

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from app.events import MAX_BODY_BYTES
from app.transport.http.server import BoundedProtocol
from tests.transport.server import PATIENCE_SECONDS, served

Address = tuple[str, int]
HEAD = b"POST /mock_focus HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\n"
EVENT = b'{"id": "127", "ts": 192322800, "dep": "Boys"}'


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with served() as address:
        yield address


def answer(address: Address, *parts: bytes) -> bytes:
    """All that the server says to these bytes, before it closes the connection; it may do so before it has them all."""
    said = b""
    with socket.create_connection(address, PATIENCE_SECONDS) as connection:
        with suppress(OSError):
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                said += piece
    return said


def statuses(said: bytes) -> list[int]:
    """The status of each answer."""
    return [int(part.split(b" ", 2)[1]) for part in said.split(b"HTTP/1.1")[1:] for part in [b"HTTP/1.1" + part]]


def is_alive(address: Address) -> bool:
    return answer(address, b"GET /healthcheck HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n").endswith(b"OK")


def chunked(*bodies: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in (*bodies, b""))


def test_a_body_in_chunks_is_read_whole(address: Address) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    said = answer(address, head, chunked(EVENT[:10], EVENT[10:]))

    assert statuses(said) == [200]


def test_a_body_in_chunks_is_refused_when_they_are_too_much_together(address: Address) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    said = answer(address, head, chunked(*[b" " * 1024] * (MAX_BODY_BYTES // 1024), EVENT))

    assert statuses(said) == [422]
    assert b"too_large" in said


def test_a_body_shorter_than_was_said_is_no_event(address: Address) -> None:
    said = answer(address, HEAD + b"Content-Length: 1000\r\n\r\n" + EVENT)

    assert statuses(said) in ([], [400])
    assert is_alive(address)


def test_what_comes_after_the_length_that_was_said_is_no_part_of_the_body(address: Address) -> None:
    said = answer(address, HEAD + b"Content-Length: %d\r\n\r\n" % len(EVENT) + EVENT + b" " * 100 + b"\r\n\r\n")

    assert statuses(said) == [200, 400]
    assert is_alive(address)


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"99999999999999999999999999", b"1, 2", b"abc"])
def test_a_length_that_is_none_is_refused(address: Address, length: bytes) -> None:
    said = answer(address, HEAD + b"Content-Length: %b\r\n\r\n" % length + EVENT)

    assert statuses(said) in ([], [400], [422])
    assert is_alive(address)


def test_two_ways_to_say_where_a_body_ends_are_not_both_believed(address: Address) -> None:
    hidden = b"0\r\n\r\nDELETE /api/v1/keys/x HTTP/1.1\r\nHost: service\r\n\r\n"
    said = answer(
        address, HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + hidden
    )

    assert len(statuses(said)) == 1
    assert is_alive(address)


def test_a_head_without_end_is_refused(address: Address) -> None:
    said = answer(address, b"GET /healthcheck HTTP/1.1\r\nHost: service\r\n", b"X-Filler: %b\r\n" % (b"x" * 40_000))

    assert statuses(said) in ([400], [])  # a connection that is reset takes the answer with it
    assert is_alive(address)


def test_a_route_without_a_body_does_not_read_the_one_that_comes(address: Address) -> None:
    head = b"GET /healthcheck HTTP/1.1\r\nHost: service\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    said = answer(address, head % (1024 * 1024), b"x" * 1024)

    assert statuses(said) == [200]
    assert is_alive(address)


class Hurried(BoundedProtocol):
    head_seconds = 0.2


@pytest.fixture(scope="module")
def hurried() -> Iterator[Address]:
    with served(Hurried) as address:
        yield address


@pytest.mark.parametrize("said", [b"", b"GET /heal", b"GET /healthcheck HTTP/1.1\r\nHost: service\r\n"])
def test_a_head_is_not_waited_for_without_end(hurried: Address, said: bytes) -> None:
    with socket.create_connection(hurried, PATIENCE_SECONDS) as connection:
        connection.sendall(said)

        assert connection.recv(65536) == b""


def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for_without_end(hurried: Address) -> None:
    def drip(connection: socket.socket) -> bytes:
        said = b""
        with suppress(OSError):
            while piece := connection.recv(65536):
                said += piece
                connection.sendall(b"x")
        return said

    with socket.create_connection(hurried, PATIENCE_SECONDS) as connection:
        connection.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: service\r\nContent-Length: 1000\r\n\r\n")

        assert statuses(drip(connection)) == [200]


def test_who_asks_again_is_answered_on_the_same_connection(hurried: Address) -> None:
    asked = b"GET /healthcheck HTTP/1.1\r\nHost: service\r\n"
    said = answer(hurried, asked, b"\r\n", asked, b"Connection: close\r\n\r\n")

    assert statuses(said) == [200, 200]
