"""From a history to a model, and what it is worth."""

import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.progress import telling
from app.domain.registry import NAME
from app.errors import DatasetRefused
from app.training.names import ModelName

if TYPE_CHECKING:
    from app.domain.history import History
    from app.domain.model_card import ModelCard

SHOWN = ("roc_auc", "pr_auc", "log_loss", "calibration_error", "mean_prediction_over_base", "hit_at_1", "ndcg")

Data = Annotated[
    Path | None, typer.Option(help="What `history import` has written; default: the history of the artificial shop.")
]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same model and figures.", min=0, max=2**32 - 1)]
OfferCost = Annotated[
    float | None, typer.Option(help="What an offer costs, as a share of a redemption's worth.", min=0, max=1)
]
Licence = Annotated[str | None, typer.Option(help="What may be done with the data; for the card.")]
Run = Annotated[Path, typer.Argument(help="A folder that `train` or `package` has written.")]


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise typer.BadParameter("must be made of 1 to 64 letters, digits, - and _, and not begin with - or _")
    return text


def train(
    data: Data = None,
    model: Annotated[
        ModelName, typer.Option(help="What kind of model; auto: the simplest that does as well as the best.")
    ] = ModelName.LOGISTIC,
    trials: Annotated[
        int | None, typer.Option(help="Settings to try beside the usual; default: 4 where kinds are compared.", min=0)
    ] = None,
    seed: Seed = None,
    out: Annotated[Path, typer.Option(help="Folder to write the model's files to.")] = Path("model"),
    offer_cost: OfferCost = None,
    licence: Licence = None,
) -> None:
    """Train a model on a history, and measure it on the last months of that history."""
    from datetime import UTC

    from app.training import service_model

    used_seed = _seed(seed)
    used_trials = trials
    if trials is None:
        used_trials = service_model.DEFAULT_TRIALS if model in (ModelName.AUTO, ModelName.BLEND) else 0
    order = service_model.Order(model, used_trials or 0, used_seed, _licence(data, licence), offer_cost)
    history = _history(data, used_seed)
    with telling() as progress:
        card = service_model.train(history, order, out=out, created_at=datetime.now(UTC), progress=progress)
    _tell(out, card)


def package(
    file: Annotated[Path, typer.Argument(help="A classifier in skops' format, fitted on what `history rows` writes.")],
    learnt_until: Annotated[
        datetime, typer.Option(help="It has learnt from before this day; measured on all after.", formats=["%Y-%m-%d"])
    ],
    data: Data = None,
    name: Annotated[str, typer.Option(help="What to call it.", callback=_name)] = "custom",
    seed: Seed = None,
    out: Annotated[Path, typer.Option(help="Folder to write the model's files to.")] = Path("model"),
    offer_cost: OfferCost = None,
    licence: Licence = None,
) -> None:
    """Give a card to a classifier that you have fitted yourself, so that it can be registered and promoted."""
    from datetime import UTC

    import numpy as np

    from app.adapters.scorer_sklearn import asked_classifier
    from app.training import service_model

    try:
        _without_names_of_features()
        model = asked_classifier(file.read_bytes(), file)
    except OSError as error:
        raise DatasetRefused(f"cannot read {file}: {error.strerror}") from error
    used_seed = _seed(seed)
    order = service_model.Order(seed=used_seed, data_licence=_licence(data, licence), cost_over_value=offer_cost)
    day, now = np.datetime64(learnt_until.date(), "D"), datetime.now(UTC)
    with telling() as progress:
        card = service_model.package(
            _history(data, used_seed), name, model, day, order, out=out, created_at=now, progress=progress
        )
    _tell(out, card)


def evaluate(
    run: Run,
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: `evaluation` in the run.")] = None,
) -> None:
    """Measure a model on coupons handed out after those it was trained on: figures, plots, one report."""
    from app.adapters.scorer_sklearn import checked_card, read_classifier, read_files
    from app.domain.model_card import CARD_FILE
    from app.training.evaluation import summary, write_evaluation
    from app.training.runs import evaluate_run

    _without_names_of_features()
    files = read_files(run)
    card, classifier = checked_card(files.card, run / CARD_FILE), read_classifier(files, run)
    folder = run / "evaluation" if out is None else out
    with telling() as progress:
        evaluation, judged = evaluate_run(
            card,
            classifier,
            lambda seed: _history(data, seed),
            str(data or "the artificial shop"),
            progress,
        )
    write_evaluation(evaluation, judged, folder)
    for line in summary(evaluation, SHOWN):
        typer.echo(line)
    typer.echo(f"{folder}/report.html")


def compare(run: Run, other: Annotated[Path, typer.Argument(help="Another run.")]) -> None:
    """Say which of two evaluated models is better, figure by figure, and whether chance explains it."""
    from app.training.runs import comparison

    for line in comparison(run, other, SHOWN):
        typer.echo(line)


def _without_names_of_features() -> None:
    """A model that was fitted on a data frame warns at each question that it is asked with plain numbers."""
    warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)


def _tell(out: Path, card: "ModelCard") -> None:
    typer.echo(f"{out}: {card.version}; `python -m app model register {out}` or MODEL_DIR={out} puts it to use")


def _licence(data: Path | None, licence: str | None) -> str:
    return licence or ("artificial data, free to use" if data is None else "the retailer's own")


def _seed(seed: int | None) -> int:
    from app.datagen.generate import DEFAULT_SEED

    return DEFAULT_SEED if seed is None else seed


def _history(data: Path | None, seed: int) -> "History":
    if data is None:
        from app.datagen.generate import generate

        typer.echo("making the history of the artificial shop", err=True)
        return generate(seed).history
    from app.adapters.history_store import HISTORY_FILE, load_history

    return load_history(data / HISTORY_FILE)
