"""After a campaign: is every input accounted for, and is everything that was there still there?"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import httpx

from tests.e2e.stack import ENTRY, FOCUS, PREDICTION, REJECTED, Stack
from tests.hostile.campaign import Campaign, CampaignFailed
from tests.hostile.oracle import Ledger

STATUS = f"{PREDICTION}/status"
TOPICS = {ENTRY, FOCUS, PREDICTION, REJECTED, STATUS}
UNTOUCHED = {"coupon_info", "product_info", "coupon_product", "api_key", "alembic_version"}
LOOK_AGAIN_SECONDS = 0.1
SAMPLE = re.compile(r"^recommendation_(\w+?)_total(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
RSS_GROWTH, RSS_ROOM_BYTES = 1.25, 64 * 1024 * 1024

Tables = dict[str, int]
Logged = dict[UUID, bool]  # whether its result is to be published


@dataclass(frozen=True, slots=True)
class Before:
    """What there was before a campaign."""

    counted: Counter[str]
    tables: Tables
    logged: Logged


async def look_around(stack: Stack) -> Before:
    """See what there is before a campaign."""
    return Before(counters(stack), await tables(stack), await logged(stack))


def counters(stack: Stack) -> Counter[str]:
    """The sums of the service's counters, over their labels."""
    text = httpx.get(f"{stack.url}/metrics", trust_env=False, timeout=30).text
    sums: Counter[str] = Counter()
    for name, value in SAMPLE.findall(text):
        sums[name] += int(float(value))
    return sums


async def tables(stack: Stack) -> Tables:
    """All tables but the partitions of days, and the rows of those that no event may change."""
    async with _connection(stack) as connection:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        found = {row[0]: 0 for row in names if not re.fullmatch(r"decision_\d{8}", row[0])}
        for name in found.keys() & UNTOUCHED:
            found[name] = await connection.fetchval(f'SELECT count(*) FROM "{name}"')
        return found


async def logged(stack: Stack) -> Logged:
    """All decisions."""
    async with _connection(stack) as connection:
        rows = await connection.fetch("SELECT decision_id, is_to_be_published FROM decision")
        return {UUID(bytes=row[0].bytes): row[1] for row in rows}


@asynccontextmanager
async def _connection(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(stack.postgres.url)
    try:
        yield connection
    finally:
        await connection.close()


async def judge(campaign: Campaign, before: Before) -> Counter[str]:
    """What the service has counted in the campaign. Raises CampaignFailed with everything that is wrong."""
    ledger = campaign.ledger
    counted = await _settled(campaign, before)
    campaign.look()
    problems = [
        *_miscounted(ledger, counted, read_anew=campaign.has_lost_connections),
        *_letters(ledger),
        *await _decisions(campaign, before),
        *_topics(ledger),
        *_memory(campaign.rss),
    ]
    if (after := await tables(campaign.stack)) != before.tables:
        problems.append(f"tables were {before.tables}, and are {after}")
    problems += [f"{path} answers no longer" for path in ("/livez", "/readyz") if not _is_fine(campaign.stack, path)]
    if problems:
        blamed = [ledger.first_input[key] for key in ledger.letters if not ledger.seen_letters[key]]
        raise CampaignFailed("; ".join(problems), blamed[:100])
    return counted


def _is_fine(stack: Stack, path: str) -> bool:
    return httpx.get(f"{stack.url}{path}", trust_env=False).status_code == 200


async def _settled(campaign: Campaign, before: Before) -> Counter[str]:
    """The counters, when all that is sure to come has come, or patience has ended."""
    ledger, deadline = campaign.ledger, time.monotonic() + campaign.patience_seconds
    while True:
        counted = counters(campaign.stack)
        counted.subtract(before.counted)
        sure = (ledger.decisions.total(), ledger.letters.total(), ledger.entries)
        reached = (counted["decisions"], counted["dead_letters"], counted["entries"])
        heard = sum(ledger.seen_letters[key] > 0 for key in ledger.letters)
        is_done = all(a >= b for a, b in zip(reached, sure, strict=True)) and heard == len(ledger.letters)
        if is_done or time.monotonic() > deadline:
            return counted
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


def _miscounted(ledger: Ledger, counted: Counter[str], *, read_anew: bool) -> list[str]:
    ranges = {
        "decisions": (ledger.decisions.total(), ledger.possible_decisions.total()),
        "dead_letters": (ledger.letters.total(), ledger.possible_letters.total()),
        "entries": (ledger.entries, ledger.possible_entries),
    }
    problems = [
        f"{name}: {counted[name]} counted, {sure} expected and {possible} possible"
        for name, (sure, possible) in ranges.items()
        if not sure <= counted[name] <= sure + possible
    ]
    outcomes = sum(counted[name] for name in ranges) + ledger.dry_runs
    if counted["events"] < outcomes or (counted["events"] > outcomes and not read_anew):
        problems.append(f"{counted['events']} events read, {outcomes} outcomes")
    return problems + [f"{name}: {counted[name]}" for name in ("publish_failures", "batch_retries") if counted[name]]


def _letters(ledger: Ledger) -> list[str]:
    expected = ledger.letters + ledger.possible_letters
    found = {
        "are missing": [key for key in ledger.letters if not ledger.seen_letters[key]],
        "are about nothing that was sent": [key for key in ledger.seen_letters if key not in expected],
        "came more often than sent for": [k for k, copies in ledger.seen_letters.items() if copies > expected[k] > 0],
    }
    return [f"{len(keys)} dead letters {what}" for what, keys in found.items() if keys]


async def _decisions(campaign: Campaign, before: Before) -> list[str]:
    """What is wrong with the log, once the results of the last requests have had time to be published."""
    deadline = time.monotonic() + campaign.patience_seconds
    while True:
        problems = _wrong_in_log(campaign.ledger, await logged(campaign.stack), before.logged)
        if not problems or time.monotonic() > deadline:
            return problems
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


def _wrong_in_log(ledger: Ledger, now: Logged, earlier: Logged) -> list[str]:
    to_be_published = {decision_id for decision_id, is_to_be_published in now.items() if is_to_be_published}
    sure = {key for key in ledger.decisions if key is not None}
    possible = {key for key in ledger.possible_decisions if key is not None}
    nameless = ledger.decisions[None] + ledger.possible_decisions[None]
    problems = []
    if missing := sure - now.keys():
        problems.append(f"{len(missing)} decisions are not in the log")
    if len(unknown := now.keys() - earlier.keys() - sure - possible) > nameless:
        problems.append(f"{len(unknown)} decisions in the log that nobody asked for, {nameless} at most are expected")
    if unheard := to_be_published - earlier.keys() - ledger.seen_results:
        problems.append(f"{len(unheard)} results were not published")
    if invented := ledger.seen_results - to_be_published:
        problems.append(f"{len(invented)} results that are not in the log")
    return problems


def _topics(ledger: Ledger) -> list[str]:
    unknown = ledger.seen_topics.keys() - TOPICS
    return [f"published on {sorted(unknown)}"] if unknown else []


def _memory(rss: list[int]) -> list[str]:
    settled, last = rss[len(rss) // 5], rss[-1]
    bound = settled * RSS_GROWTH + RSS_ROOM_BYTES
    return [f"memory grew from {settled} to {last} bytes"] if last > bound else []
