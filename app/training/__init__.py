"""From a purchase and coupon history to a model: for the service, or for anybody's data frames."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from app.domain.features import Floats


def train(
    train: "pd.DataFrame", tables: Mapping[str, "pd.DataFrame"], meta: Mapping[str, str]
) -> "Callable[[pd.DataFrame], Floats]":
    """Learn from labelled rows; the scorer gives one probability of redemption for each row, in their order.

    A row is one candidate coupon of one decision: `group`, `customer_id`, `coupon_id`, `y` (1 where it was redeemed);
    where there are campaigns, `campaign_id`, `campaign_type`, `start_date`, `end_date`; any other column describes it.
    All tables are optional: `campaigns`, `coupon_items`, `items`, `customers`, `transactions`, `redemptions`. `meta` is
    not looked at: what is done depends on what is there, never on the name of a data set. Raises DatasetRefused for
    rows or tables that cannot be read, or have nothing to learn from.
    """
    from app.training.frame_trainer import train_on_frames

    return train_on_frames(train, tables)
