"""Instances that share the events: one leaves, and one that is lost is replaced."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.stack import (
    FOCUS,
    PATIENCE_SECONDS,
    PROJECT,
    REJECTED,
    Device,
    Stack,
    device_at,
    eventually,
    running_stack,
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Stack]:
    """One instance of a group."""
    with running_stack(MQTT_SHARED_GROUP="shop") as stack:
        yield stack


@pytest.fixture
def device(shared: Stack) -> Iterator[Device]:
    with device_at(shared) as device:
        yield device


def command(stack: Stack, *arguments: str) -> tuple[int, str]:
    """Exit code and last line of what a command of the product says."""
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        env=stack.variables | {"LOG_LEVEL": "ERROR"},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


def focus(customer_id: str) -> bytes:
    return json.dumps({"id": customer_id, "ts": 1, "dep": "Boys"}).encode()


def test_a_drained_instance_has_left_the_broker_and_is_no_longer_ready(shared: Stack, device: Device) -> None:
    device.publish(FOCUS, focus("127"))
    device.hears_about("127")

    answer = command(shared, "drain")

    assert answer == (0, "service-under-test has left the broker, and can be stopped")
    assert "can be stopped" in shared.readiness()["problems"]["broker"]
    assert command(shared, "drain") == answer
    assert command(shared, "adopt") == (3, "service-under-test is running: python -m app drain service-under-test")
    os.kill(shared.service.pid, signal.SIGTERM)
    eventually(lambda: shared.service.has_ended, "the service ended")
    assert shared.service.exit_code == 0
    shared.service.stop()
    shared.service.start()
    shared.wait_until_ready()


def test_the_events_of_a_lost_instance_are_finished_by_whoever_adopts_it(shared: Stack, device: Device) -> None:
    customers = [str(number) for number in range(300, 320)]
    os.kill(shared.service.pid, signal.SIGKILL)
    shared.service.stop()
    for customer in customers:
        device.publish(FOCUS, focus(customer)).wait_for_publish()

    lost = command(shared, "drain")
    adopted = command(shared, "adopt")
    again = command(shared, "adopt")

    assert lost == (
        3,
        "nobody answers as service-under-test; what waits for a lost instance: python -m app adopt service-under-test",
    )
    assert adopted == (0, "service-under-test: 20 events finished, session ended")
    assert again == (3, "the broker knows no service-under-test")
    assert all(len(device.hears_about(customer)) == 1 for customer in customers)
    shared.service.start()
    shared.wait_until_ready()


def test_a_forgotten_customer_is_known_again_only_from_the_central(shared: Stack, device: Device) -> None:
    device.publish(FOCUS, focus("411"))
    device.publish(FOCUS, b'{"id": "411", "ts": 1}')
    device.hears(lambda heard: any(one.topic == REJECTED for one in heard), "the dead letter")
    device.hears_about("411")

    code, told = command(shared, "customer", "forget", "411")

    assert (code, told) == (0, "customer_info: 1 rows deleted")
    for table in ("decision", "dead_letter", "customer_info", "customer_fetch"):
        assert shared.query(f"SELECT count(*) FROM {table} WHERE customer_id::text = '411'") == [0]
