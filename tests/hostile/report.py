"""A whole attack on a running stack, and what is to be said of it."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.e2e.stack import Stack
from tests.hostile.campaign import Campaign
from tests.hostile.inputs import Input
from tests.hostile.judge import judge, look_around

MEGABYTE = 1024 * 1024


async def attack(
    stack: Stack, inputs: Iterable[Input], tell: Callable[[int], None] = lambda sent: None
) -> dict[str, Any]:
    """Send the inputs and account for them. Raises CampaignFailed."""
    before = await look_around(stack)
    campaign = Campaign(stack)
    started = time.monotonic()
    async with campaign.connected():
        await campaign.send(inputs, tell)
        seconds = time.monotonic() - started
        counted = await judge(campaign, before)
    ledger = campaign.ledger
    return {
        "inputs": campaign.sent,
        "inputs_a_second": round(campaign.sent / seconds),
        "over_mqtt": ledger.over_mqtt,
        "over_http": dict(sorted(campaign.statuses.items())),
        "events_read": counted["events"],
        "decisions": counted["decisions"],
        "dead_letters": counted["dead_letters"],
        "entries": counted["entries"],
        "dry_runs": ledger.dry_runs,
        "refused_by_the_broker": campaign.refused_by_broker,
        "http_without_an_answer": campaign.unanswered,
        "canaries_answered": f"{campaign.canaries} of {campaign.canaries}",
        "slowest_canary_seconds": round(campaign.slowest_canary, 2),
        "topics": sorted(ledger.seen_topics),
        "memory_mb": {what: size // MEGABYTE for what, size in _memory(campaign.rss).items()},
    }


def _memory(rss: list[int]) -> dict[str, int]:
    return {"first": rss[0], "last": rss[-1], "most": max(rss)}
