"""Models: how one gets into the registry, and how one becomes the champion."""

from datetime import datetime

from app.domain.model_card import ModelCard, card_from_json
from app.domain.registry import Alias, AliasChange, before_last, current, objections
from app.errors import ModelInUse, ModelRefused, ModelUnknown, PromotionRefused
from app.ports import ModelChecker, ModelFiles, ModelRegistry

SAME_SCORE = 1e-9  # probabilities that differ by less are the same


async def register(
    registry: ModelRegistry, checker: ModelChecker, files: ModelFiles, now: datetime, created_by: str
) -> tuple[ModelCard, bool]:
    """Check a model and keep it; its card, and whether it is new here.

    Raises ModelRefused, DatabaseUnavailable.
    """
    await _check(checker, files)
    card = card_from_json(files.card.decode())
    return card, await registry.add(card, files, now, created_by)


async def point(
    registry: ModelRegistry,
    checker: ModelChecker,
    alias: Alias,
    version: str,
    *,
    changed_by: str,
    reason: str,
    is_forced: bool = False,
) -> AliasChange:
    """Let an alias name a version. To be champion a model is checked again, and must not fall behind the present one.

    `is_forced` lets it fall behind, never be unsound. Raises ModelUnknown, ModelRefused, PromotionRefused,
    DatabaseUnavailable.
    """
    files = await registry.files(version)
    if files is None:
        raise ModelUnknown(version)
    if alias is Alias.CHAMPION:
        await _check(checker, files)
        found = objections(card_from_json(files.card.decode()), await _champion(registry))
        if found and not is_forced:
            raise PromotionRefused(version, found)
    change = await registry.point(alias, version, changed_by, reason, is_forced=is_forced)
    if change is None:
        raise ModelUnknown(version)
    return change


async def roll_back(registry: ModelRegistry, alias: Alias, *, changed_by: str, reason: str) -> AliasChange:
    """Let an alias name again what it named before; once more, and it names the present one again.

    Raises ModelUnknown where that was deleted or there is none, DatabaseUnavailable.
    """
    try:
        version = before_last(await registry.changes(), alias)
    except LookupError as error:
        raise ModelUnknown(str(error)) from error
    change = await registry.point(alias, version, changed_by, reason, is_forced=False)
    if change is None:
        raise ModelUnknown(version or "")
    return change


async def remove(registry: ModelRegistry, version: str) -> None:
    """Delete a model. Raises ModelUnknown, ModelInUse, DatabaseUnavailable."""
    if await registry.remove(version):
        return
    changes = await registry.changes()
    named = [alias for alias in Alias if current(changes, alias) == version]
    if not named:
        raise ModelUnknown(version)
    raise ModelInUse(f"{version} is {' and '.join(named)}: let the alias name another model first")


async def _champion(registry: ModelRegistry) -> ModelCard | None:
    version = current(await registry.changes(), Alias.CHAMPION)
    files = None if version is None else await registry.files(version)
    return None if files is None else card_from_json(files.card.decode())


async def _check(checker: ModelChecker, files: ModelFiles) -> None:
    shown = await checker.check(files)
    if shown.parity > SAME_SCORE:
        raise ModelRefused(f"what the service would serve differs from what the model says by {shown.parity:.2g}")
    if shown.self_check > SAME_SCORE:
        raise ModelRefused(f"the model differs by {shown.self_check:.2g} from the scores on its own card")
