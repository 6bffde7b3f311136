"""The logs of all parts, searched for customers after a day on which much went wrong."""

import asyncio
import json

import asyncpg
import httpx

from app.utils.log_config import customer_hash
from tests.e2e.stack import ENTRY, FOCUS, REJECTED, Stack, device_at, eventually, running_stack

KEY = "a key that is for tests alone"
KNOWN, REFUSED, FORBIDDEN, ASKED = "Wilhelmina-90210", "Ottokar-31337", "Kunigunde-60606", "Leopoldine-47114"


def forbid(stack: Stack, customer_id: str) -> None:
    """Let the database refuse this customer's decisions, and quote their rows."""

    async def constrain() -> None:
        connection = await asyncpg.connect(stack.postgres.url)
        try:
            await connection.execute(f"ALTER TABLE decision ADD CHECK (customer_id <> '{customer_id}')")
        finally:
            await connection.close()

    asyncio.run(constrain())


def focus(customer_id: str, **fields: object) -> bytes:
    return json.dumps({"id": customer_id, "ts": 1_700_000_000, "dep": "Boys", **fields}).encode()


def test_no_log_of_any_part_names_a_customer() -> None:
    with running_stack(LOG_LEVEL="DEBUG", LOG_HASH_KEY=KEY) as stack, device_at(stack) as device:
        forbid(stack, FORBIDDEN)
        device.publish(ENTRY, focus(KNOWN))
        device.publish(FOCUS, focus(KNOWN))
        device.hears_about(KNOWN)
        device.publish(FOCUS, focus(REFUSED, ts="never"))
        device.publish(FOCUS, focus(FORBIDDEN))
        device.hears(lambda heard: sum(one.topic == REJECTED for one in heard) == 2, "two dead letters")
        stack.central.stop()
        with httpx.Client(base_url=stack.url, trust_env=False, timeout=30) as client:
            client.get(f"/customers/{ASKED}?id={ASKED}")
            asked = [client.post("/mock_entry", content=focus(f"{ASKED}-{number}")) for number in range(6)]
            asked.append(client.post(f"/mock_focus?customer={ASKED}", content=focus(FORBIDDEN)))
        stack.postgres.stop()
        eventually(lambda: "database" in stack.readiness().get("problems", {}), "the database was missed")
        stack.service.stop()
        logs = {path.relative_to(stack.folder).as_posix(): path.read_text() for path in stack.folder.rglob("*.log")}

    service, database = (next(text for name, text in logs.items() if part in name) for part in ("service", "postgres"))
    assert [answer.status_code for answer in asked] == [200] * 6 + [500]
    assert {"event refused", "event failed", "part is not ready", "answered"} <= {
        json.loads(line)["event"] for line in service.splitlines()
    }
    assert "violates check constraint" in database
    assert [one for one in (REFUSED, FORBIDDEN) if customer_hash(KEY, one) not in service] == []
    assert [
        (name, who) for name, text in logs.items() for who in (KNOWN, REFUSED, FORBIDDEN, ASKED) if who in text
    ] == []
