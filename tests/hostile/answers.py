"""What an answer over HTTP may be, and what it says has been done."""

import json
from uuid import UUID

from tests.hostile.bodies import MARK
from tests.hostile.inputs import Input
from tests.hostile.oracle import Decided, Entered, Ledger, Refused, outcome_of
from tests.hostile.senders import Answer
from tests.hostile.wire import Heard

TYPES = {
    "application/json", "application/problem+json", "text/plain; charset=utf-8", "text/html; charset=utf-8", "",
    "text/css; charset=utf-8", "text/plain; version=1.0.0; charset=utf-8", "text/plain; version=0.0.4; charset=utf-8",
}  # fmt: skip
TOO_MANY = 429
NOT_HTTP = b"Invalid HTTP request received."  # said by uvicorn, before the application is asked


def problem(one: Input, answer: Answer) -> str | None:
    """What is wrong with the answer."""
    if answer.status >= 500:
        return f"answered with {answer.status}: {answer.body[:300]!r}"
    if answer.status == 0:
        return None if one.may_vanish else "no answer"
    kind = answer.headers.get("content-type", "")
    if kind not in TYPES and not kind.startswith("multipart/byteranges"):
        return f"answered with the type {kind!r}"
    if kind.startswith("text/html") and MARK.encode() in answer.body:
        return f"text from outside in HTML: {answer.body[:300]!r}"
    if any(MARK in value for name, value in answer.headers.items() if name != "location"):
        return f"text from outside in a header: {answer.headers}"
    if kind and NOT_HTTP not in answer.body and answer.headers.get("x-content-type-options") != "nosniff":
        return f"browsers may guess the type of {answer.status} {kind}"
    return _disagreement(one, answer)


def _disagreement(one: Input, answer: Answer) -> str | None:
    if one.kind is None or answer.status == TOO_MANY:
        return None
    refused = isinstance(outcome_of(one, "", one.body), Refused)
    if answer.status != (422 if refused else 200):
        what = "refused" if refused else "accepted"
        return f"answered with {answer.status} an event that is {what}: {answer.body[:300]!r}"
    return None


def account(ledger: Ledger, one: Input, answer: Answer) -> None:
    """Note what the answer says has been done, or what may have been done where there is none."""
    if answer.status == 0:
        if one.kind != "entry":
            ledger.expect(Decided(None), one, is_sure=False)
        if one.kind != "focus":
            ledger.expect(Entered(), one, is_sure=False)
        return
    if answer.status != 200 or answer.headers.get("content-type") != "application/json":
        return
    document = json.loads(answer.body) if answer.body else None
    if not isinstance(document, dict):
        return
    if "decision" in document:
        if one.is_dry_run:
            ledger.dry_runs += 1
        else:
            ledger.expect(Decided(UUID(document["decision"]["id"])), one)
    elif "context_source" in document:
        ledger.expect(Entered(), one)


def hear_result(ledger: Ledger, heard: Heard) -> None:
    """Note a result that was published."""
    ledger.seen_results.add(UUID(heard.user["decision-id"]))
