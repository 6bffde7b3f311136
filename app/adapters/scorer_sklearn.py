"""The model in the process, made by scikit-learn and described by its card.

Nothing here imports scikit-learn before a model is built from its file: that takes a second and 80 MB. A linear model
is scored by the weights of its card, boosted trees by the splits and leaves in the file beside it.
"""

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from lzma import LZMAError
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary
from zipfile import BadZipFile

import numpy as np

from app.adapters.model_parts import flaw_of_parts
from app.domain.customer import CustomerContext
from app.domain.eligibility import Screening
from app.domain.features import (
    ENCODING_VERSION,
    FEATURE_NAMES,
    Floats,
    customer_matrix,
    encode,
)
from app.domain.linear import LinearModel
from app.domain.model_card import ALLOWED_TYPES, CARD_FILE, MODEL_FILE, TREES_FILE, ModelCard, card_from_json
from app.domain.probe import probe
from app.domain.trees import PreparedCoupons, TreeModel, trees_from_bytes
from app.errors import ModelRefused
from app.ports import ModelFiles, Scores

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

SCORER = "in_process"
SHOWN_NAMES = 10

# What skops, numpy and scikit-learn raise for a file that is damaged or made up; its refused types are a TypeError.
UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BadZipFile,
    EOFError,
    ImportError,
    LookupError,
    LZMAError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TokenError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

Predict = Callable[[Floats, Screening], Floats]


@dataclass(frozen=True, slots=True)
class SklearnScorer:
    """Scores with a model that scikit-learn has made.

    `predict` takes a customer, shape (C,), and a screening with n candidates to probabilities, shape (n,).
    """

    card: ModelCard
    predict: Predict

    @property
    def threshold(self) -> float:
        """Below this probability of redemption the card advises to offer nothing."""
        return self.card.threshold

    @property
    def version(self) -> str:
        """The model's version, as decisions name it."""
        return self.card.version

    async def score(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> Sequence[Scores]:
        """Score the candidates of screening i for customer i, at once: the work is too short to leave the loop."""
        known = customer_matrix(customers)
        return [
            Scores(self._probabilities(known[index], screening), SCORER, self.version, self.threshold)
            for index, screening in enumerate(screenings)
        ]

    def expect(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> None:
        """See Model: nothing, since scoring takes less than keeping scores would."""

    def close(self) -> None:
        """See Model: nothing is held."""

    def _probabilities(self, customer: Floats, screening: Screening) -> Floats:
        return self.predict(customer, screening) if screening.candidates else np.empty(0)


def load_model(folder: Path) -> SklearnScorer:
    """The scorer made of the files of a model in the folder. Raises ModelRefused as `build_scorer` does."""
    return build_scorer(read_files(folder), folder)


def read_files(folder: Path) -> ModelFiles:
    """The files of a model. Raises ModelRefused where one cannot be read."""
    trees = folder / TREES_FILE
    return ModelFiles(
        card=_read(folder / CARD_FILE), model=_read(folder / MODEL_FILE), trees=_read(trees) if trees.exists() else None
    )


def build_scorer(files: ModelFiles, where: Path) -> SklearnScorer:
    """The scorer made of the files of a model, which come from the folder `where`, or would in a folder.

    Raises ModelRefused for files that are missing, damaged, not those of the card, hostile, or made for other features
    than this version encodes.
    """
    card = checked_card(files.card, where / CARD_FILE)
    _check_digest(files.model, card.model_sha256, where / MODEL_FILE)
    linear = None if card.linear is None else _by_weights(LinearModel.of(card.linear))
    trees = None if card.trees_sha256 is None else _by_trees(_trees_of(files, card, where), where / TREES_FILE)
    if linear is not None and trees is not None:
        return SklearnScorer(card, _blended(linear, trees, card.linear_weight))
    return SklearnScorer(card, linear or trees or reference(files, where))


def read_classifier(files: ModelFiles, where: Path) -> "ClassifierMixin":
    """The model itself. Raises ModelRefused as `build_scorer` does."""
    card = checked_card(files.card, where / CARD_FILE)
    _check_digest(files.model, card.model_sha256, where / MODEL_FILE)
    return build_classifier(files.model, where / MODEL_FILE)


def reference(files: ModelFiles, where: Path) -> Predict:
    """What the model itself says, slowly. Raises ModelRefused as `build_scorer` does."""
    return _by_asking(files.model, where / MODEL_FILE)


def _trees_of(files: ModelFiles, card: ModelCard, where: Path) -> bytes:
    path = where / TREES_FILE
    if files.trees is None:
        raise ModelRefused(f"{path} is missing")
    _check_digest(files.trees, str(card.trees_sha256), path)
    return files.trees


def _blended(linear: Predict, trees: Predict, weight: float) -> Predict:
    return lambda customer, screening: weight * linear(customer, screening) + (1 - weight) * trees(customer, screening)


def _by_weights(model: LinearModel) -> Predict:
    return lambda customer, screening: model.probabilities(customer, screening.features)


def _by_trees(data: bytes, path: Path) -> Predict:
    try:
        model = TreeModel(trees_from_bytes(data))
    except UNREADABLE as error:
        raise ModelRefused(f"{path} is damaged or holds no trees: {error}") from error
    prepared: WeakKeyDictionary[Screening, PreparedCoupons] = WeakKeyDictionary()

    def predict(customer: Floats, screening: Screening) -> Floats:
        coupons = prepared.get(screening)
        if coupons is None:
            coupons = prepared[screening] = model.prepare(screening.features)
        return model.probabilities(customer, coupons)

    return predict


def _by_asking(data: bytes, path: Path) -> Predict:
    model = asked_classifier(data, path)
    return lambda customer, screening: probabilities_of(model, customer, screening.features)


def asked_classifier(data: bytes, path: Path) -> "ClassifierMixin":
    """As `build_classifier`; and it was asked for probabilities, and gave some. Raises ModelRefused."""
    model = build_classifier(data, path)
    customers, coupons = probe()
    try:
        found = np.concatenate([probabilities_of(model, customer, coupons) for customer in customers])
    except UNREADABLE as error:
        raise ModelRefused(f"{path} cannot score: {error}") from error
    if found.shape != (len(customers) * len(coupons),) or not ((found >= 0) & (found <= 1)).all():
        raise ModelRefused(f"{path} gives no probability")
    return model


def probabilities_of(model: "ClassifierMixin", customer: Floats, coupons: Floats) -> Floats:
    """What the model itself says of its second class, which is redemption: shape (n,), of n coupons."""
    return np.asarray(model.predict_proba(encode(customer[np.newaxis], coupons))[:, 1], dtype=np.float64)


def checked_card(data: bytes, path: Path) -> ModelCard:
    """The card, if it is that of a model for the features of this version. Raises ModelRefused."""
    try:
        card = card_from_json(data.decode())
    except ValueError as error:
        raise ModelRefused(f"{path} is no model card: {error}") from error
    if card.encoding_version != ENCODING_VERSION:
        raise ModelRefused(
            f"{card.version} was made for encoding {card.encoding_version} of the features, this is {ENCODING_VERSION}"
        )
    if card.features != FEATURE_NAMES:
        missing, unknown = set(FEATURE_NAMES) - set(card.features), set(card.features) - set(FEATURE_NAMES)
        names = ", ".join(sorted(missing | unknown)[:SHOWN_NAMES]) or "their order"
        raise ModelRefused(f"{card.version} was made for other features than this version encodes: {names}")
    return card


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelRefused(f"cannot read {path}: {error.strerror}") from error


def _check_digest(data: bytes, digest: str, path: Path) -> None:
    if sha256(data).hexdigest() != digest:
        raise ModelRefused(f"{path} is not the file that its card describes: its sha256 differs")


def build_classifier(data: bytes, path: Path) -> "ClassifierMixin":
    """The classifier in a file of skops.

    Types are checked before anything of the file is built, and what was built before it is asked anything. Raises
    ModelRefused.
    """
    from skops.io import get_untrusted_types, loads

    try:
        if hostile := sorted(set(get_untrusted_types(data=data)) - set(ALLOWED_TYPES)):
            raise ModelRefused(f"{path} holds types that a model needs not: {', '.join(hostile[:SHOWN_NAMES])}")
        model = loads(data, trusted=list(ALLOWED_TYPES))
    except UNREADABLE as error:
        raise ModelRefused(f"{path} is damaged or no model: {error}") from error
    if (problem := flaw_of_parts(model)) is not None:
        raise ModelRefused(f"{path} {problem}")
    if not hasattr(model, "predict_proba") or list(getattr(model, "classes_", [])) != [0, 1]:
        raise ModelRefused(
            f"{path} holds no classifier of redeemed or not: it needs predict_proba, and the classes 0 and 1"
        )
    if getattr(model, "n_features_in_", None) != len(FEATURE_NAMES):
        fitted_on = getattr(model, "n_features_in_", "no")
        raise ModelRefused(f"{path} was fitted on {fitted_on} features, this version has {len(FEATURE_NAMES)}")
    names = getattr(model, "feature_names_in_", None)
    if names is not None and tuple(names) != FEATURE_NAMES:
        raise ModelRefused(
            f"{path} was fitted on columns of other names, or in another order, than `history rows` writes"
        )
    return model
