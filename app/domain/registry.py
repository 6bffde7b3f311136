"""Which models there are, which of them does what, and what a model must show before it may do it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.model_card import ModelCard

# Figures in which a model must not fall behind the champion, and whether more of them is better.
GATED = {"roc_auc": True, "pr_auc_over_base_rate": True, "log_loss_over_that_of_base_rate": False}


class Alias(StrEnum):
    """What a model is there for: the champion decides, a challenger is to succeed it, a shadow only watches."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model of the registry; `created_by` is who registered it."""

    card: ModelCard
    registered_at: datetime
    created_by: str
    bytes: int


@dataclass(frozen=True, slots=True)
class AliasChange:
    """From this time on the alias named this version; None: no model, so the one that the service was started with."""

    alias: Alias
    version: str | None
    since: datetime
    changed_by: str
    reason: str
    is_forced: bool = False


def current(changes: Sequence[AliasChange], alias: Alias, at: datetime | None = None) -> str | None:
    """The version that an alias names, now or at a time. `changes` are in the order of their time."""
    found = [one for one in changes if one.alias is alias and (at is None or one.since <= at)]
    return found[-1].version if found else None


def before_last(changes: Sequence[AliasChange], alias: Alias) -> str | None:
    """The version that the alias named before it named the present one.

    Raises LookupError where it never named another.
    """
    versions = [one.version for one in changes if one.alias is alias]
    others = [version for version in [None, *versions] if versions and version != versions[-1]]
    if not others:
        raise LookupError(f"{alias} has never named another model")
    return others[-1]


def objections(candidate: ModelCard, champion: ModelCard | None) -> list[str]:
    """Why the candidate should not succeed the champion: each figure below what chance explains, as a sentence.

    Figures are put in relation to the base rate, since two models may have been measured on different months.
    """
    if champion is None:
        return []
    found = []
    for name, is_more_better in GATED.items():
        ours, theirs = candidate.metrics.get(name), champion.intervals.get(name)
        if ours is None or theirs is None:
            found.append(f"{name} is not on both cards")
        elif (ours < theirs[0]) if is_more_better else (ours > theirs[1]):
            found.append(f"{name} is {ours:.4f}, outside the champion's {theirs[0]:.4f} to {theirs[1]:.4f}")
    return found
