"""TCP ports of this machine."""

import itertools
import os
import socket

LOOPBACK = "127.0.0.1"
# Below the ports that Linux, macOS and Windows lend to outgoing connections: what a server leaves while it restarts
# is not taken by somebody's connection meanwhile.
SERVER_PORTS = range(20_000, 32_768)

# Each process begins somewhere else, so that two which start together do not meet.
_in_turn = itertools.islice(itertools.cycle(SERVER_PORTS), os.getpid() * 101 % len(SERVER_PORTS), None)


def is_free(port: int) -> bool:
    """Whether nothing listens on this port of the loopback interface, or on all interfaces."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(preferred: int = 0) -> int:
    """The preferred port when nothing listens on it, else the next one that is free: never one port twice in a row.

    Raises OSError when there is none.
    """
    if preferred and is_free(preferred):
        return preferred
    for port in itertools.islice(_in_turn, len(SERVER_PORTS)):
        if is_free(port):
            return port
    raise OSError(f"no free port between {SERVER_PORTS.start} and {SERVER_PORTS.stop - 1}")


def answers(port: int) -> bool:
    """Whether a connection to this port of the loopback interface is accepted."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False
