"""A retailer small enough to train on in a blink: campaigns one after the other, and who buys what."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

CAMPAIGNS, CUSTOMERS, COUPONS, ITEMS = 6, 40, 8, 24
FIRST_DAY = pd.Timestamp("2026-01-05")
LONG = 28  # days from the first of one campaign to that of the next


def tables(seed: int = 1) -> dict[str, pd.DataFrame]:
    """All of them, with all columns; customer c likes the category c % 4, coupon k is good for items of k % 4."""
    rng = np.random.default_rng(seed)
    start = FIRST_DAY + pd.to_timedelta(LONG * np.arange(CAMPAIGNS), "D")
    items, customers = np.arange(ITEMS), np.arange(CUSTOMERS)
    who = rng.integers(CUSTOMERS, size=3000)
    likes = rng.random(3000) < 0.7
    what = np.where(likes, who % 4 + 4 * rng.integers(ITEMS // 4, size=3000), rng.integers(ITEMS, size=3000))
    offers = rows(seed)
    used = offers[offers["y"] == 1]
    return {
        "campaigns": pd.DataFrame(
            {
                "campaign_id": range(CAMPAIGNS),
                "campaign_type": ["Type A", "Type B"] * (CAMPAIGNS // 2),
                "start_date": start,
                "end_date": start + pd.Timedelta(days=20),
            }
        ),
        "coupon_items": pd.DataFrame(
            {
                "coupon_id": np.repeat(np.arange(COUPONS), 3),
                "item_id": [k % 4 + 4 * n for k in range(COUPONS) for n in range(3)],
            }
        ),
        "items": pd.DataFrame(
            {
                "item_id": items,
                "brand_id": items % 5,
                "category": [f"category {item % 4}" for item in items],
                "brand_type": np.where(items % 3 == 0, "Private", "National"),
                "department": items % 2,
                "product_type": items % 8,
                "package_size": ["1 KG"] * ITEMS,
            }
        ),
        "customers": pd.DataFrame(
            {"customer_id": customers, "age": np.array(["19-24", "25-34", "65+"])[customers % 3], "kids": customers % 4}
        ),
        "transactions": pd.DataFrame(
            {
                "transaction_timestamp": FIRST_DAY + pd.to_timedelta(rng.integers(-30, 150, 3000), "D"),
                "customer_id": who,
                "item_id": what,
                "quantity": 1,
                "sales_value": rng.random(3000).round(2) * 9,
                "retail_disc": rng.integers(0, 2, 3000),
                "coupon_disc": rng.integers(0, 2, 3000) * 0.5,
                "coupon_match_disc": 0.0,
            }
        ),
        "redemptions": used[["campaign_id", "customer_id", "coupon_id"]].assign(
            redemption_date=used["start_date"] + pd.Timedelta(days=5)
        ),
    }


def rows(seed: int = 1) -> pd.DataFrame:
    """Every coupon offered to every customer in every campaign; those who like its items redeem 4 in 10."""
    rng = np.random.default_rng(seed + 1)
    campaign, customer, coupon = (
        axis.ravel() for axis in np.meshgrid(*map(np.arange, (CAMPAIGNS, CUSTOMERS, COUPONS)), indexing="ij")
    )
    start = FIRST_DAY + pd.to_timedelta(LONG * campaign, "D")
    chance = np.where(customer % 4 == coupon % 4, 0.4, 0.03)
    return pd.DataFrame(
        {
            "group": campaign * 1000 + customer,
            "customer_id": customer,
            "coupon_id": coupon,
            "campaign_id": campaign,
            "campaign_type": np.array(["Type A", "Type B"])[campaign % 2],
            "start_date": start,
            "end_date": start + pd.Timedelta(days=20),
            "y": (rng.random(len(campaign)) < chance).astype(np.int64),
        }
    )


def parted(seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, pd.DataFrame]]:
    """Labelled rows of all campaigns but the last, the last one's, and what was known before it."""
    offers, known = rows(seed), tables(seed)
    is_last = offers["campaign_id"] == CAMPAIGNS - 1
    return offers[~is_last], offers[is_last], before(known, offers.loc[is_last, "start_date"].iloc[0])


def before(known: Mapping[str, pd.DataFrame], day: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """What the tables held on a day."""
    dates = {"transactions": "transaction_timestamp", "redemptions": "redemption_date"}
    return {name: table[table[dates[name]] < day] if name in dates else table for name, table in known.items()}
