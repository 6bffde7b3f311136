"""What fails, and what becomes of the events meanwhile."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from tests.e2e.stack import FOCUS, REJECTED, Device, Stack, device_at, eventually, running_stack
from tests.postgres import open_directory

EVENTS = 60


@pytest.fixture(scope="module")
def shaken() -> Iterator[Stack]:
    """A stack for faults; each test leaves it running."""
    with running_stack() as stack:
        yield stack


@pytest.fixture
def device(shaken: Stack) -> Iterator[Device]:
    with device_at(shaken) as device:
        yield device


def send(device: Device, customer_ids: Sequence[str]) -> None:
    """One focus event for each customer."""
    for customer_id in customer_ids:
        device.publish(FOCUS, json.dumps({"id": customer_id, "ts": 1_700_000_000, "dep": "Boys"}).encode())


def results_of(device: Device, customer_ids: Sequence[str]) -> dict[str, set[bytes]]:
    """The distinct results of each customer, once there is one for each."""
    wanted = set(customer_ids)
    results: dict[str, set[bytes]] = {}

    def all_there(messages: Sequence[object]) -> bool:
        results.clear()
        for message in device.heard:
            if message.topic != REJECTED:
                results.setdefault(json.loads(message.payload)["customer"]["id"], set()).add(bytes(message.payload))
        return wanted <= results.keys()

    device.hears(all_there, f"a result for each of {len(wanted)} customers")
    return {customer_id: results[customer_id] for customer_id in customer_ids}


def customers(first: int) -> list[str]:
    return [str(number) for number in range(first, first + EVENTS)]


def test_a_killed_service_finishes_after_its_restart_what_it_had_begun(shaken: Stack, device: Device) -> None:
    ids = customers(1)
    send(device, ids[:40])
    device.hears(lambda heard: len(heard) >= 10, "the first results")
    os.kill(shaken.service.pid, signal.SIGKILL)
    shaken.service.stop()
    send(device, ids[40:])
    shaken.service.start()

    results = results_of(device, ids)

    assert Counter(map(len, results.values())) == {1: EVENTS}
    shaken.wait_until_ready()


def test_a_restarted_broker_has_forgotten_no_event(shaken: Stack, device: Device) -> None:
    ids = customers(101)
    send(device, ids[:20])
    results_of(device, ids[:20])
    shaken.service.stop()
    sent = [
        device.publish(FOCUS, json.dumps({"id": one, "ts": 1_700_000_000, "dep": "Men"}).encode()) for one in ids[20:]
    ]
    for info in sent:
        info.wait_for_publish(30)
    shaken.broker.stop()
    shaken.broker.start()
    shaken.service.start()

    results = results_of(device, ids)

    assert Counter(map(len, results.values())) == {1: EVENTS}
    shaken.wait_until_ready()


def test_a_service_that_sees_its_broker_restart_comes_back_by_itself(shaken: Stack, device: Device) -> None:
    ids = customers(201)
    send(device, ids[:20])
    shaken.broker.stop()
    eventually(lambda: "broker" in shaken.readiness().get("problems", {}), "the broker was missed")
    shaken.broker.start()
    shaken.wait_until_ready()
    send(device, ids[20:])

    results = results_of(device, ids)

    assert Counter(map(len, results.values())) == {1: EVENTS}


def test_events_that_are_sent_while_the_broker_restarts_have_their_results(shaken: Stack, device: Device) -> None:
    ids = customers(501)
    send(device, ids[:20])
    shaken.broker.stop()
    send(device, ids[20:40])
    shaken.broker.start()
    send(device, ids[40:])

    results = results_of(device, ids)

    assert Counter(map(len, results.values())) == {1: EVENTS}
    shaken.wait_until_ready()


def test_events_wait_while_the_database_is_away(shaken: Stack, device: Device) -> None:
    ids = customers(301)
    send(device, ids[:20])
    shaken.postgres.stop("immediate")
    send(device, ids[20:])
    eventually(lambda: "database" in shaken.readiness().get("problems", {}), "the database was missed")
    eventually(lambda: "database" in device.statuses[-1]["problems"], "the status topic told of it")
    shaken.postgres.start()

    results = results_of(device, ids)

    assert Counter(map(len, results.values())) == {1: EVENTS}
    shaken.wait_until_ready()
    eventually(lambda: device.statuses[-1]["ready"], "the status topic told that all is well")
    assert {one["client_id"] for one in device.statuses} == {"service-under-test"}


def test_a_service_asked_to_stop_ends_with_code_0_and_leaves_nothing_undone(shaken: Stack, device: Device) -> None:
    ids = customers(401)
    send(device, ids)
    device.hears(lambda heard: len(heard) >= 5, "the first results")
    process = shaken.service
    os.kill(process.pid, signal.SIGTERM)
    eventually(lambda: process.has_ended, "the service ended")

    assert process.exit_code == 0
    process.stop()
    process.start()
    results = results_of(device, ids)
    assert Counter(map(len, results.values())) == {1: EVENTS}
    assert len(device.heard) == EVENTS
    shaken.wait_until_ready()


def test_a_service_ends_with_code_0_although_broker_and_database_are_away(shaken: Stack) -> None:
    process = shaken.service
    shaken.broker.stop()
    shaken.postgres.stop("immediate")
    eventually(
        lambda: {"broker", "broker_entry_events", "database"} <= shaken.readiness().get("problems", {}).keys(),
        "broker and database were missed",
    )
    os.kill(process.pid, signal.SIGTERM)
    eventually(lambda: process.has_ended, "the service ended")

    assert process.exit_code == 0
    process.stop()
    shaken.postgres.start()
    shaken.broker.start()
    process.start()
    shaken.wait_until_ready()


def test_a_service_started_first_waits_for_broker_database_and_tables() -> None:
    with open_directory() as folder:
        stack = Stack(folder)
        try:
            stack.service.start()
            eventually(lambda: stack.readiness().get("status") == "not ready", "the service answered")
            assert {"broker", "database"} <= stack.readiness()["problems"].keys()
            stack.postgres.start()
            eventually(lambda: "database" not in stack.readiness()["problems"], "the database was found")
            assert "python -m app migrate" in stack.readiness()["problems"]["migrations"]
            stack.load()
            stack.broker.start()
            stack.wait_until_ready()
            with device_at(stack) as device:
                send(device, ["127"])
                assert device.hears_about("127")
        finally:
            stack.stop()
