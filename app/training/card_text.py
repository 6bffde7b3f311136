"""A model's card, to be read."""

import math
from collections.abc import Iterator

from app.domain.model_card import DataWindow, ModelCard

SHOWN = (
    *("roc_auc", "pr_auc", "log_loss", "log_loss_of_base_rate", "mean_prediction_over_base", "calibration_error"),
    *("lift_of_top_tenth", "hit_at_1", "hit_at_1_by_chance", "ndcg"),
)


def card_text(card: ModelCard) -> str:
    """The card in plain lines."""
    return "\n".join(_lines(card))


def _lines(card: ModelCard) -> Iterator[str]:
    yield f"{card.version}, trained {card.created_at:%Y-%m-%d %H:%M %Z}"
    yield ""
    yield f"use          {card.intended_use}"
    for index, limit in enumerate(card.limits):
        yield f"{'' if index else 'limits':12} {limit}"
    yield f"data         sha256 {card.data_sha256}; {card.data_licence}"
    for name, window in (("fit", card.fit), ("calibration", card.calibration), ("validation", card.validation)):
        yield f"{name:12} {_window(window)}"
    yield f"model        sha256 {card.model_sha256}; seed {card.seed}"
    for name, settings in card.settings.items():
        yield f"{'':12} {name}: {', '.join(f'{key}={value:g}' for key, value in settings.items())}"
    yield f"calibrated   {'by a sigmoid on the calibration period' if card.is_calibrated else 'not here'}"
    yield f"threshold    {card.threshold}: {card.threshold_reason}"
    yield f"features     {len(card.features)}, encoding {card.encoding_version}"
    yield f"made with    {', '.join(f'{name} {version}' for name, version in card.libraries.items())}"
    yield ""
    yield f"{'figure':28}{'model':>10}{'95 % interval':>20}" + "".join(f"{name:>14}" for name in card.baselines)
    for name in SHOWN:
        if name not in card.metrics or name not in card.intervals:
            continue
        low, high = card.intervals[name]
        interval = f"{low:.4f} to {high:.4f}"
        rivals = "".join(f"{figures.get(name, math.nan):>14.4f}" for figures in card.baselines.values())
        yield f"{name:28}{card.metrics[name]:>10.4f}{interval:>20}{rivals}"


def _window(window: DataWindow | None) -> str:
    if window is None:
        return "none: the model was made elsewhere"
    return f"{window.first_day} to {window.last_day}: {window.rows:,} coupons, {window.positives:,} redeemed"
