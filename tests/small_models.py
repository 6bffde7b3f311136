"""Models of a small shop. `python -m tests.small_models FOLDER SEED` trains one."""

import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.base import ClassifierMixin

from app.adapters.model_check import try_model
from app.adapters.scorer_sklearn import probabilities_of, read_files
from app.datagen.generate import generate
from app.domain.features import FEATURE_NAMES
from app.domain.model_card import ModelCard, card_to_json
from app.domain.probe import probe
from app.domain.registry import version_of
from app.model_bundle import by_name
from app.ports import ModelCheck, ModelFiles
from app.training.artefact import model_bytes
from app.training.names import ModelName
from app.training.service_model import Order, train

CREATED_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SmallModel:
    """A model in a folder."""

    folder: Path
    card: ModelCard

    @property
    def version(self) -> str:
        return self.card.version

    @property
    def files(self) -> ModelFiles:
        return read_files(self.folder)


def train_small(folder: Path, seed: int, name: ModelName = ModelName.LOGISTIC) -> SmallModel:
    """Train on a shop of 100 customers; another seed makes another shop."""
    shop = generate(seed, customers=100, products=60, coupons=40)
    order = replace(Order(), name=name, seed=seed)
    return SmallModel(folder, train(shop.history, order, out=folder, created_at=CREATED_AT))


class DirectChecker:
    """ModelChecker in the process of the test, which starts none."""

    async def check(self, files: ModelFiles) -> ModelCheck:
        """See ModelChecker."""
        with TemporaryDirectory() as folder:
            for name, content in by_name(files).items():
                (Path(folder) / name).write_bytes(content)
            return try_model(Path(folder))


def files_of(card: ModelCard, model: bytes, trees: bytes | None = None) -> ModelFiles:
    """The files of a model with its card, whatever it is, and a version as it ought to be."""
    digest = sha256(model).hexdigest()
    fitting = replace(
        card,
        version=version_of(card.name, digest),
        model_sha256=digest,
        trees_sha256=None if trees is None else sha256(trees).hexdigest(),
    )
    return ModelFiles(card_to_json(fitting).encode(), model, trees)


def files_with(card: ModelCard, model: ClassifierMixin, trees: bytes | None = None) -> ModelFiles:
    """The files of a model that scikit-learn has fitted, served by itself, or by these trees."""
    customers, coupons = probe()
    scores = np.concatenate([probabilities_of(model, customer, coupons) for customer in customers])
    return files_of(
        replace(card, linear=None, linear_weight=1.0, self_check=tuple(scores.tolist())), model_bytes(model), trees
    )


def rows(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Features and whether redeemed, at random: shapes (count, D) and (count,)."""
    rng = np.random.default_rng(5)
    features = rng.normal(0.3, 2, (count, len(FEATURE_NAMES)))
    return features, features[:, 0] + rng.normal(0, 1, count) > 0.8


if __name__ == "__main__":
    train_small(Path(sys.argv[1]), int(sys.argv[2]))
