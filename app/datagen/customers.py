"""The customers of the artificial shop: who they are, and the hidden traits that make them buy and redeem."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.datagen.products import CATEGORY_NAMES
from app.domain.customer import Gender
from app.domain.department import DOCUMENTED_DEPARTMENTS
from app.domain.features import Floats
from app.domain.history import Customers

WOMEN = 0.54  # of the customers
USUAL_PRICE = 30.0
PRICE_LEVEL_SPREAD = 0.45  # of the log price
PRICE_LEVEL_OF_YOUNG, PRICE_LEVEL_OF_SENIOR, PRICE_LEVEL_OF_DEAL_PRONE = -0.3, 0.1, -0.1  # added to the log price
VISITS_PER_YEAR, VISITS_SPREAD = 26, 0.4
OWN_TASTE_SPREAD = 0.25  # what neither age nor gender says
CATEGORY_TASTE_SPREAD = 0.3
JOINED_BEFORE = 0.7  # of the customers; the others join while the history runs

# How much a woman, a man, somebody young, a parent, a senior likes each department.
LIKING = {
    "Boys": (0.3, -0.1, -0.6, 1.2, 0.2),
    "Girls": (0.5, -0.5, -0.6, 1.2, 0.3),
    "Men": (-0.5, 0.8, 0.1, 0.0, 0.3),
    "Sports": (-0.1, 0.3, 1.0, 0.1, -0.6),
    "Women": (0.8, -0.5, 0.3, 0.0, 0.2),
}


@dataclass(frozen=True, slots=True, eq=False)
class Traits:
    """What makes customers act, and no context tells; each array has one row for each customer.

    `life` has the columns young, parent, senior, from 0 to 1; `department_taste` one for each department,
    `category_taste` one for each category. `price_level` is the log of the price that suits them. `deal_proneness` and
    the tastes are around 0. `visits_per_day` is above 0; `joined` is the first day, counted from the history's start.
    """

    life: Floats
    department_taste: Floats
    category_taste: Floats
    price_level: Floats
    deal_proneness: Floats
    visits_per_day: Floats
    joined: Floats


def make_customers(
    rng: np.random.Generator, count: int, start: np.datetime64, end: np.datetime64
) -> tuple[Customers, Traits]:
    """Customers with the ids 1 to `count` and ages from 18 to 79 on the day `end`, where the history ends."""
    is_female = rng.random(count) < WOMEN
    ages = 18 + 62 * rng.beta(1.6, 2.0, count)
    born = end - np.ceil(ages * 365.25).astype("timedelta64[D]")
    life = np.column_stack([_step(30 - ages), np.exp(-(((ages - 39) / 9) ** 2)), _step(ages - 55)])
    deal_proneness = rng.normal(0, 1, count)
    days = float((end - start).astype(np.int64))
    traits = Traits(
        life=life,
        department_taste=_department_taste(rng, is_female, life),
        category_taste=rng.normal(0, CATEGORY_TASTE_SPREAD, (count, len(CATEGORY_NAMES))),
        price_level=_price_level(rng, life, deal_proneness),
        deal_proneness=deal_proneness,
        visits_per_day=np.exp(rng.normal(np.log(VISITS_PER_YEAR / 365), VISITS_SPREAD, count)),
        joined=np.where(rng.random(count) < JOINED_BEFORE, 0.0, days * rng.random(count)),
    )
    genders = tuple(Gender.FEMALE if female else Gender.MALE for female in is_female)
    return Customers(tuple(str(index + 1) for index in range(count)), genders, born), traits


def _department_taste(rng: np.random.Generator, is_female: NDArray[np.bool_], life: Floats) -> Floats:
    liking = np.array([LIKING[name] for name in DOCUMENTED_DEPARTMENTS])
    people = np.column_stack([is_female, ~is_female, life])
    own_taste = rng.normal(0, OWN_TASTE_SPREAD, (len(life), len(DOCUMENTED_DEPARTMENTS)))
    return np.asarray(people @ liking.T + own_taste)


def _price_level(rng: np.random.Generator, life: Floats, deal_proneness: Floats) -> Floats:
    of_life = PRICE_LEVEL_OF_YOUNG * life[:, 0] + PRICE_LEVEL_OF_SENIOR * life[:, 2]
    of_deals = PRICE_LEVEL_OF_DEAL_PRONE * deal_proneness
    own_level = rng.normal(np.log(USUAL_PRICE), PRICE_LEVEL_SPREAD, len(life))
    return np.asarray(own_level + of_life + of_deals)


def _step(years: Floats) -> Floats:
    """From 0 to 1 where the years pass 0."""
    return 1 / (1 + np.exp(-years / 3))
