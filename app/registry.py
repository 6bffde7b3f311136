"""Models: how one gets into the registry, and how one becomes the champion."""

from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.model_card import ModelCard, card_from_json
from app.domain.registry import Alias, AliasChange, Change, before, flaw, objections
from app.errors import ModelInUse, ModelRefused, ModelUnknown, NothingBefore, PromotionRefused
from app.model_bundle import check_sizes
from app.ports import ModelCheck, ModelChecker, ModelFiles, ModelRegistry

SAME_SCORE = 1e-9  # probabilities that differ by less are the same


@dataclass(frozen=True, slots=True)
class Registered:
    """A model that is in the registry; whether it is new there, and how long it takes to score 190 candidates."""

    card: ModelCard
    is_new: bool
    milliseconds: float


async def register(
    registry: ModelRegistry, checker: ModelChecker, files: ModelFiles, now: datetime, created_by: str
) -> Registered:
    """Check a model and keep it. Raises ModelRefused, DatabaseUnavailable."""
    card, shown = await _checked(checker, files)
    is_new = await registry.add(card, files, now, created_by)
    if not is_new:
        _check_same(card, await registry.files(card.version))
    return Registered(card, is_new, shown.milliseconds)


async def point(registry: ModelRegistry, checker: ModelChecker, change: Change) -> AliasChange:
    """Let an alias name a version. To be champion a model is checked again, and must not fall behind the present one.

    A forced one may fall behind, never be unsound; it counts as forced only if it does. Raises ModelUnknown,
    ModelRefused, PromotionRefused, DatabaseUnavailable.
    """
    if change.alias is Alias.CHAMPION and change.version is not None:
        card, _ = await _checked(checker, await _files(registry, change.version))
        found = await _objections(registry, card)
        if found and not change.is_forced:
            raise PromotionRefused(card.version, found)
        change = replace(change, is_forced=bool(found))
    return await _pointed(registry, change)


async def roll_back(
    registry: ModelRegistry, checker: ModelChecker, alias: Alias, *, changed_by: str, reason: str
) -> AliasChange:
    """Let an alias name again what it named before; once more, and it names what it named before that.

    A model is checked again before it becomes the champion. Raises NothingBefore, ModelRefused, DatabaseUnavailable.
    """
    try:
        version = before(await registry.changes(), alias)
    except LookupError as error:
        raise NothingBefore(f"there is nothing to roll back to: {error}") from error
    try:
        if alias is Alias.CHAMPION and version is not None:
            await _checked(checker, await _files(registry, version))
        return await _pointed(registry, Change(alias, version, changed_by, reason, is_rollback=True))
    except ModelUnknown as error:
        raise NothingBefore(f"{alias} named {version} before, which was deleted: promote another by name") from error


async def remove(registry: ModelRegistry, version: str) -> None:
    """Delete a model. Raises ModelUnknown, ModelInUse, DatabaseUnavailable."""
    if await registry.remove(version):
        return
    aliases = [alias for alias, named in (await registry.named()).items() if named == version]
    if not aliases:
        raise ModelUnknown(version)
    raise ModelInUse(f"{version} is {' and '.join(aliases)}: let the alias name another model first")


async def _files(registry: ModelRegistry, version: str) -> ModelFiles:
    files = await registry.files(version)
    if files is None:
        raise ModelUnknown(version)
    return files


async def _pointed(registry: ModelRegistry, change: Change) -> AliasChange:
    done = await registry.point(change)
    if done is None:
        raise ModelUnknown(change.version or "")
    return done


async def _objections(registry: ModelRegistry, card: ModelCard) -> list[str]:
    version = (await registry.named())[Alias.CHAMPION]
    files = None if version is None else await registry.files(version)
    if files is None:
        return []
    try:
        return objections(card, card_from_json(files.card.decode()))
    except ValueError:
        return [f"the card of the champion, {version}, is not one of this version of the service"]


async def _checked(checker: ModelChecker, files: ModelFiles) -> tuple[ModelCard, ModelCheck]:
    """The card of a model that has shown to be sound. The checker reads all files first: here they are known to be."""
    check_sizes(files)
    shown = await checker.check(files)
    if not shown.parity <= SAME_SCORE:
        raise ModelRefused(f"what the service would serve differs from what the model says by {shown.parity:.2g}")
    if not shown.self_check <= SAME_SCORE:
        raise ModelRefused(f"the model differs by {shown.self_check:.2g} from the scores on its own card")
    card = card_from_json(files.card.decode())
    if (problem := flaw(card)) is not None:
        raise ModelRefused(problem)
    return card, shown


def _check_same(card: ModelCard, stored: ModelFiles | None) -> None:
    """Training again makes the same model and the same card at another time; one with other figures is another card."""
    if stored is None:
        return
    try:
        known = card_from_json(stored.card.decode())
    except ValueError:
        known = None
    if known is None or replace(known, created_at=card.created_at, libraries=card.libraries) != card:
        raise ModelRefused(f"{card.version} is registered already, with another card: delete that one first")
