"""How a model gets into the registry, and how one becomes the champion."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from app.adapters.memory import MemoryModelRegistry
from app.domain.model_card import ModelCard, card_to_json
from app.domain.registry import Alias, Change
from app.errors import ModelInUse, ModelRefused, ModelUnknown, NothingBefore, PromotionRefused
from app.ports import ModelCheck, ModelFiles
from app.registry import point, register, remove, roll_back
from tests.builders import NOW
from tests.small_models import SmallModel

SOUND = ModelCheck(parity=0.0, self_check=0.0, milliseconds=0.1)


class Checker:
    """ModelChecker that says what it was told to, and how often it was asked."""

    def __init__(self, shown: ModelCheck = SOUND) -> None:
        self.shown = shown
        self.asked = 0

    async def check(self, files: ModelFiles) -> ModelCheck:
        self.asked += 1
        return self.shown


def with_card(model: SmallModel, change: Callable[[ModelCard], ModelCard]) -> ModelFiles:
    return replace(model.files, card=card_to_json(change(model.card)).encode())


def much_worse(card: ModelCard) -> ModelCard:
    return replace(card, metrics={**card.metrics, "roc_auc": 0.51})


@pytest.fixture
def store() -> MemoryModelRegistry:
    return MemoryModelRegistry()


async def promote(store: MemoryModelRegistry, model: SmallModel, **options: bool) -> str | None:
    change = Change(Alias.CHAMPION, model.version, "ada", "better", **options)
    return (await point(store, Checker(), change)).change.version


async def champion(store: MemoryModelRegistry) -> str | None:
    return (await store.named())[Alias.CHAMPION]


async def test_a_model_is_checked_and_kept(store: MemoryModelRegistry, small_model: SmallModel) -> None:
    checker = Checker()

    done = await register(store, checker, small_model.files, NOW, "ada")

    assert (done.card, done.is_new, checker.asked) == (small_model.card, True, 1)
    assert await store.files(small_model.version) == small_model.files


async def test_the_same_model_trained_again_was_there_already(
    store: MemoryModelRegistry, small_model: SmallModel
) -> None:
    await register(store, Checker(), small_model.files, NOW, "ada")
    again = with_card(small_model, lambda card: replace(card, created_at=NOW + timedelta(days=1)))

    assert not (await register(store, Checker(), again, NOW, "ada")).is_new


async def test_the_same_model_with_another_card_is_refused(store: MemoryModelRegistry, small_model: SmallModel) -> None:
    await register(store, Checker(), small_model.files, NOW, "ada")
    other = with_card(small_model, lambda card: replace(card, threshold=0.5))

    with pytest.raises(ModelRefused, match="is registered already, with another card"):
        await register(store, Checker(), other, NOW, "ada")


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (replace(SOUND, parity=1e-6), "what the service would serve differs from what the model says by 1e-06"),
        (replace(SOUND, self_check=0.25), "differs by 0.25 from the scores on its own card"),
        (replace(SOUND, parity=float("inf")), "by inf"),
    ],
)
@pytest.mark.parametrize("is_forced", [False, True])
async def test_an_unsound_model_is_never_registered_nor_promoted(
    store: MemoryModelRegistry, small_model: SmallModel, shown: ModelCheck, words: str, is_forced: bool
) -> None:
    await store.add(small_model.card, small_model.files, NOW, "ada")
    change = Change(Alias.CHAMPION, small_model.version, "ada", "must be", is_forced=is_forced)

    with pytest.raises(ModelRefused, match=words):
        await register(MemoryModelRegistry(), Checker(shown), small_model.files, NOW, "ada")
    with pytest.raises(ModelRefused, match=words):
        await point(store, Checker(shown), change)
    assert await champion(store) is None


async def test_a_version_that_is_not_of_the_model_is_refused(
    store: MemoryModelRegistry, small_model: SmallModel
) -> None:
    with pytest.raises(ModelRefused, match="the version on its card is not"):
        await register(store, Checker(), with_card(small_model, lambda card: replace(card, version="best")), NOW, "ada")


async def test_the_first_champion_is_measured_against_nobody(
    store: MemoryModelRegistry, small_model: SmallModel
) -> None:
    await store.add(small_model.card, with_card(small_model, much_worse), NOW, "ada")

    assert await promote(store, small_model) == small_model.version


async def test_a_model_that_falls_behind_the_champion_needs_force(
    store: MemoryModelRegistry, small_model: SmallModel, other_model: SmallModel
) -> None:
    await store.add(small_model.card, small_model.files, NOW, "ada")
    await store.add(other_model.card, with_card(other_model, much_worse), NOW, "ada")
    await promote(store, small_model)

    with pytest.raises(PromotionRefused, match=r"is not promoted: ROC-AUC is 0.5100, below the"):
        await promote(store, other_model)
    assert await champion(store) == small_model.version
    assert await promote(store, other_model, is_forced=True) == other_model.version
    assert [one.change.is_forced for one in await store.changes()] == [False, True]


async def test_force_that_was_not_needed_is_not_noted(store: MemoryModelRegistry, small_model: SmallModel) -> None:
    await store.add(small_model.card, small_model.files, NOW, "ada")
    await promote(store, small_model, is_forced=True)

    assert [one.change.is_forced for one in await store.changes()] == [False]


async def test_behind_a_champion_whose_card_cannot_be_read_force_is_needed(
    store: MemoryModelRegistry, small_model: SmallModel, other_model: SmallModel
) -> None:
    await store.add(small_model.card, replace(small_model.files, card=b"{}"), NOW, "ada")
    await store.point(Change(Alias.CHAMPION, small_model.version, "ada", ""))
    await store.add(other_model.card, other_model.files, NOW, "ada")

    with pytest.raises(PromotionRefused, match="the card of the champion"):
        await promote(store, other_model)
    assert await promote(store, other_model, is_forced=True) == other_model.version


async def test_a_challenger_and_a_shadow_pass_no_gates(store: MemoryModelRegistry, small_model: SmallModel) -> None:
    await store.add(small_model.card, small_model.files, NOW, "ada")
    checker = Checker(replace(SOUND, parity=1.0))

    for alias in (Alias.CHALLENGER, Alias.SHADOW):
        await point(store, checker, Change(alias, small_model.version, "ada", ""))
    assert checker.asked == 0


@pytest.mark.parametrize("alias", Alias)
async def test_a_model_that_is_not_there_is_named_by_nothing(store: MemoryModelRegistry, alias: Alias) -> None:
    with pytest.raises(ModelUnknown, match="there is no model logistic-000000000000"):
        await point(store, Checker(), Change(alias, "logistic-000000000000", "ada", ""))


async def test_a_roll_back_brings_back_what_was_before_whatever_its_figures(
    store: MemoryModelRegistry, small_model: SmallModel, other_model: SmallModel
) -> None:
    await store.add(small_model.card, with_card(small_model, much_worse), NOW, "ada")
    await store.add(other_model.card, other_model.files, NOW, "ada")
    await promote(store, small_model)
    await promote(store, other_model)

    done = [await roll_back(store, Checker(), Alias.CHAMPION, changed_by="bob", reason="worse") for _ in range(2)]

    assert [one.change for one in done] == [
        Change(Alias.CHAMPION, version, "bob", "worse", is_rollback=True) for version in (small_model.version, None)
    ]
    with pytest.raises(NothingBefore, match="there is nothing to roll back to: champion has named no other"):
        await roll_back(store, Checker(), Alias.CHAMPION, changed_by="bob", reason="")


async def test_a_roll_back_to_an_unsound_model_is_refused(
    store: MemoryModelRegistry, small_model: SmallModel, other_model: SmallModel
) -> None:
    for model in (small_model, other_model):
        await store.add(model.card, model.files, NOW, "ada")
        await promote(store, model)

    with pytest.raises(ModelRefused):
        await roll_back(store, Checker(replace(SOUND, parity=1.0)), Alias.CHAMPION, changed_by="bob", reason="")
    assert await champion(store) == other_model.version


async def test_a_roll_back_to_a_deleted_model_says_so(
    store: MemoryModelRegistry, small_model: SmallModel, other_model: SmallModel
) -> None:
    for model in (small_model, other_model):
        await store.add(model.card, model.files, NOW, "ada")
        await promote(store, model)
    await remove(store, small_model.version)

    with pytest.raises(NothingBefore, match=f"champion named {small_model.version} before, which was deleted"):
        await roll_back(store, Checker(), Alias.CHAMPION, changed_by="bob", reason="")


async def test_a_model_in_use_cannot_be_deleted_and_the_refusal_names_the_aliases(
    store: MemoryModelRegistry, small_model: SmallModel
) -> None:
    await store.add(small_model.card, small_model.files, NOW, "ada")
    await promote(store, small_model)
    await store.point(Change(Alias.SHADOW, small_model.version, "ada", ""))

    with pytest.raises(ModelInUse, match=f"{small_model.version} is champion and shadow"):
        await remove(store, small_model.version)
    with pytest.raises(ModelUnknown):
        await remove(store, "logistic-000000000000")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_card_with_a_figure_that_is_no_number_is_never_a_card(
    store: MemoryModelRegistry, small_model: SmallModel, number: str
) -> None:
    fields = json.loads(small_model.files.card)
    fields["metrics"]["roc_auc"] = "here"
    card = json.dumps(fields).replace('"here"', number).encode()

    with pytest.raises(ValueError, match="no finite number"):
        await register(store, Checker(), replace(small_model.files, card=card), NOW, "ada")
