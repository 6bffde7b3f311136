"""The products of the artificial shop."""

from collections.abc import Sequence

import numpy as np

from app.datagen.vocabulary import CARE, CATEGORIES, COLOURS, STYLES, VENDORS, Category
from app.domain.coupon import Product
from app.domain.department import DOCUMENTED_DEPARTMENTS

CATEGORY_NAMES = tuple(category.name for categories in CATEGORIES.values() for category in categories)
PRICE_SPREAD = 0.25  # of the log price, within a category and vendor


def make_products(rng: np.random.Generator, count: int) -> tuple[Product, ...]:
    """Products with the ids 1 to `count`, spread evenly over the departments and their categories."""
    return tuple(_product(rng, index) for index in range(count))


def _product(rng: np.random.Generator, index: int) -> Product:
    round_of_departments, department_index = divmod(index, len(DOCUMENTED_DEPARTMENTS))
    department = DOCUMENTED_DEPARTMENTS[department_index]
    categories = CATEGORIES[department]
    category = categories[round_of_departments % len(categories)]
    vendor = _any(rng, tuple(VENDORS))
    style, colour, care = _any(rng, STYLES), _any(rng, COLOURS), _any(rng, CARE)
    material, item = _any(rng, category.materials), _any(rng, category.items)
    return Product(
        product_id=str(index + 1),
        name=f"{vendor} {style} {material} {item}, {colour}",
        category=category.name,
        sizes=category.sizes,
        vendor=vendor,
        description=f"{style} {item.lower()} in {colour.lower()} {material.lower()}, {care}.",
        buy_price=_price(rng, category, vendor),
        department=department,
    )


def _price(rng: np.random.Generator, category: Category, vendor: str) -> float:
    """Ends in .49 or .99."""
    raw = category.price * VENDORS[vendor] * float(np.exp(rng.normal(0, PRICE_SPREAD)))
    return round(max(1.0, round(raw * 2) / 2) - 0.01, 2)


def _any(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]
