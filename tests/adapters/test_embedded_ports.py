"""Ports for the programs that the service starts itself."""

import socket
from collections.abc import Iterator

import pytest

from app.embedded.ports import LOOPBACK, SERVER_PORTS, free_port


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((LOOPBACK, free_port())) as server:
        yield server.getsockname()[1]


def test_no_port_is_given_twice_nor_one_that_a_connection_could_be_lent() -> None:
    given = [free_port() for _ in range(200)]

    assert len(set(given)) == len(given)
    assert set(given) <= set(SERVER_PORTS)


def test_the_preferred_port_is_given_unless_it_is_taken(taken: int) -> None:
    free = free_port()

    assert free_port(free) == free
    assert free_port(taken) != taken
