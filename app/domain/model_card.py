"""What is known of a model: where it comes from, what it was measured at, and what it may be used with."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from itertools import pairwise

# Of scikit-learn, beside what skops trusts by itself.
ALLOWED_TYPES = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)
MODEL_FILE, TREES_FILE, CARD_FILE = "model.skops", "trees.npz", "card.json"  # of a folder that holds a model


@dataclass(frozen=True, slots=True)
class DataWindow:
    """Coupons handed out from `first_day` to `last_day`, both included: how many, and how many were redeemed."""

    rows: int
    positives: int
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class LinearForm:
    """A linear model, whole: log odds = intercept + the sum of weight times feature, in the order of the features."""

    intercept: float
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """How values of one kind were spread: `shares` of them up to the first edge, between two, above the last."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The passport of a model artefact; made by training, checked at load.

    With a `linear` form the service scores without the artefact, as with trees, which are a file of their own with the
    digest `trees_sha256`; both are None for a model of another kind. A model that has both is a blend: the mean of
    their probabilities, that of the linear form with the weight `linear_weight`.

    `data_sha256` is of the history that the model was trained on, `model_sha256` of the artefact's bytes. `fit`,
    `calibration` and `validation` follow each other in time; `metrics`, their 95 % `intervals` and those of the
    `baselines` were measured on the last. `threshold` is a probability. `settings` are those of the model's parts.
    `self_check` is what the model says of `app.domain.probe`. `distributions` are those of the score and the features
    in the validation period, for drift to be seen.
    """

    name: str
    version: str
    created_at: datetime
    features: tuple[str, ...]
    encoding_version: int
    data_sha256: str
    seed: int
    fit: DataWindow
    calibration: DataWindow | None
    validation: DataWindow
    is_calibrated: bool
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    baselines: Mapping[str, Mapping[str, float]]
    threshold: float
    threshold_reason: str
    settings: Mapping[str, Mapping[str, float]]
    libraries: Mapping[str, str]
    model_sha256: str
    self_check: tuple[float, ...]
    distributions: Mapping[str, Distribution]
    intended_use: str
    limits: tuple[str, ...]
    data_licence: str
    linear: LinearForm | None = None
    linear_weight: float = 1.0
    trees_sha256: str | None = None


def card_to_json(card: ModelCard) -> str:
    """The card as JSON text; times and days in ISO 8601. Raises ValueError for a metric that is no number."""
    return json.dumps(asdict(card), indent=2, allow_nan=False, default=_iso) + "\n"


def card_from_json(text: str) -> ModelCard:
    """The card that `card_to_json` wrote. Raises ValueError saying what is wrong with the text."""
    try:
        fields = json.loads(text, parse_float=_finite, parse_constant=_finite)
        if not isinstance(fields, dict):
            raise ValueError("the card is no JSON object")
        return ModelCard(
            name=str(fields["name"]),
            version=str(fields["version"]),
            created_at=datetime.fromisoformat(fields["created_at"]),
            features=tuple(map(str, fields["features"])),
            encoding_version=int(fields["encoding_version"]),
            data_sha256=str(fields["data_sha256"]),
            seed=int(fields["seed"]),
            fit=_window(fields["fit"]),
            calibration=None if fields["calibration"] is None else _window(fields["calibration"]),
            validation=_window(fields["validation"]),
            is_calibrated=bool(fields["is_calibrated"]),
            metrics=_figures(fields["metrics"]),
            intervals={str(name): _interval(value) for name, value in fields["intervals"].items()},
            baselines={str(name): _figures(figures) for name, figures in fields["baselines"].items()},
            threshold=_probability(fields["threshold"]),
            threshold_reason=str(fields["threshold_reason"]),
            settings={str(name): _figures(one) for name, one in fields["settings"].items()},
            libraries={str(name): str(version) for name, version in fields["libraries"].items()},
            model_sha256=str(fields["model_sha256"]),
            self_check=tuple(map(_probability, fields["self_check"])),
            distributions={str(name): _distribution(one) for name, one in fields["distributions"].items()},
            intended_use=str(fields["intended_use"]),
            limits=tuple(map(str, fields["limits"])),
            data_licence=str(fields["data_licence"]),
            linear=_linear(fields.get("linear"), len(fields["features"])),
            linear_weight=_probability(fields.get("linear_weight", 1.0)),
            trees_sha256=None if fields.get("trees_sha256") is None else str(fields["trees_sha256"]),
        )
    except KeyError as error:
        raise ValueError(f"the card says nothing of {error}") from error
    except (AttributeError, TypeError) as error:
        raise ValueError(f"the card has a field of another kind: {error}") from error
    except (OverflowError, RecursionError) as error:
        raise ValueError(f"the card is not made of plain fields: {error}") from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


def _window(fields: Mapping[str, object]) -> DataWindow:
    rows, positives = fields["rows"], fields["positives"]
    if not isinstance(rows, int) or not isinstance(positives, int):
        raise TypeError("rows and positives are whole numbers")
    first_day, last_day = (date.fromisoformat(str(fields[name])) for name in ("first_day", "last_day"))
    return DataWindow(rows, positives, first_day, last_day)


def _linear(fields: Mapping[str, object] | None, count: int) -> LinearForm | None:
    if fields is None:
        return None
    intercept, weights = fields["intercept"], fields["weights"]
    if not isinstance(intercept, float | int) or not isinstance(weights, list):
        raise TypeError("the linear form is a number and a list of numbers")
    form = LinearForm(float(intercept), tuple(map(float, weights)))
    if len(form.weights) != count or not all(map(math.isfinite, (form.intercept, *form.weights))):
        raise ValueError(f"the linear form needs {count} weights, all of them finite")
    return form


def _figures(fields: Mapping[str, float]) -> Mapping[str, float]:
    return {str(name): float(value) for name, value in fields.items()}


def _interval(value: Sequence[float]) -> tuple[float, float]:
    low, high = value
    return float(low), float(high)


def _distribution(fields: Mapping[str, Sequence[float]]) -> Distribution:
    found = Distribution(tuple(map(float, fields["edges"])), tuple(map(_probability, fields["shares"])))
    if len(found.shares) != len(found.edges) + 1:
        raise ValueError("a distribution has one share more than edges")
    if not all(map(math.isfinite, found.edges)) or any(one >= next_one for one, next_one in pairwise(found.edges)):
        raise ValueError("the edges of a distribution are finite, each above the one before")
    return found


def _probability(value: float) -> float:
    probability = float(value)
    if not math.isfinite(probability) or not 0 <= probability <= 1:
        raise ValueError(f"{probability} is no probability")
    return probability


def _iso(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
