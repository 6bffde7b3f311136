"""Which models there are, which of them does what, and what a model must show before it may do it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from itertools import chain

from app.domain.model_card import ModelCard

# Figures in which a model must not fall behind the champion: what people call them, and whether more of them is better.
GATED = {
    "roc_auc": ("ROC-AUC", True),
    "pr_auc_over_base_rate": ("PR-AUC over the base rate", True),
    "log_loss_over_that_of_base_rate": ("log-loss over that of the base rate", False),
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{64}")
DIGITS_OF_VERSION = 12


class Alias(StrEnum):
    """What a model is there for: the champion decides, a challenger is to succeed it, a shadow only watches."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model of the registry; `created_by` is who registered it.

    `card` is None where this version of the service cannot read it.
    """

    version: str
    card: ModelCard | None
    registered_at: datetime
    created_by: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Change:
    """What an alias is to name, who wants it and why; no version: the model that the service was started with.

    `is_forced`: though it falls behind the champion; `is_rollback`: because the alias named it before.
    """

    alias: Alias
    version: str | None
    changed_by: str
    reason: str
    is_forced: bool = False
    is_rollback: bool = False


@dataclass(frozen=True, slots=True)
class AliasChange:
    """From this time on the alias named that version."""

    since: datetime
    change: Change


def named_at(changes: Sequence[AliasChange], at: datetime | None = None) -> dict[Alias, str | None]:
    """The version that each alias names, now or at a time. `changes` are in the order of their time."""
    found: dict[Alias, str | None] = dict.fromkeys(Alias)
    for one in changes:
        if at is None or one.since <= at:
            found[one.change.alias] = one.change.version
    return found


def before(changes: Sequence[AliasChange], alias: Alias) -> str | None:
    """The version to roll back to: the alias named it before the present one, and was not rolled back from it.

    So each roll back goes one further back. Raises LookupError where the alias never named another.
    """
    past: list[str | None] = [None]
    for change in (one.change for one in changes if one.change.alias is alias):
        while change.is_rollback and len(past) > 1 and past[-1] != change.version:
            past.pop()
        if past[-1] != change.version:
            past.append(change.version)
    if len(past) < 2:
        raise LookupError(f"{alias} has named no other model before")
    return past[-2]


def flaw(card: ModelCard) -> str | None:
    """What is wrong with what a card says of the model itself: its name, its version, its texts."""
    if not NAME.fullmatch(card.name):
        return "the name on its card is not made of 1 to 64 letters, digits, - and _"
    if not DIGEST.fullmatch(card.model_sha256):
        return "the sha256 on its card is none"
    wanted = version_of(card.name, card.model_sha256)
    if card.version != wanted:
        return f"the version on its card is not {wanted}, as its name and sha256 have it"
    if not card.self_check:
        return "its card holds no scores to check the model by"
    if not all(text.isprintable() for text in _texts(asdict(card))):
        return "a text on its card cannot be printed"
    return None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from chain.from_iterable(map(_texts, (*value, *value.values())))
    elif isinstance(value, tuple):
        yield from chain.from_iterable(map(_texts, value))


def version_of(name: str, model_sha256: str) -> str:
    """The version of a model: one artefact, one version."""
    return f"{name}-{model_sha256[:DIGITS_OF_VERSION]}"


def objections(candidate: ModelCard, champion: ModelCard | None) -> list[str]:
    """Why the candidate should not succeed the champion: each figure worse than chance explains, as a sentence.

    Figures are put in relation to the base rate, since two models may have been measured on different months.
    """
    if champion is None:
        return []
    found = []
    for name, (words, is_more_better) in GATED.items():
        ours, interval = candidate.metrics.get(name), champion.intervals.get(name)
        if ours is None or interval is None:
            found.append(f"{words} is not on {'its card' if ours is None else 'the card of the champion'}")
        elif (ours < interval[0]) if is_more_better else (ours > interval[1]):
            direction = "below" if is_more_better else "above"
            low, high = interval
            found.append(f"{words} is {ours:.4f}, {direction} the {low:.4f} to {high:.4f} of the champion")
    return found
