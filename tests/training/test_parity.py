"""What the service says of every customer and every candidate is what training would say."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from app.adapters.csv_files import catalogue_coupons, customer_contexts, read_folder
from app.adapters.scorer_sklearn import load_model, read_classifier, read_files
from app.domain.catalogue import Catalogue
from app.domain.customer import CustomerContext, Gender
from app.domain.department import DOCUMENTED_DEPARTMENTS, DepartmentNames
from app.domain.features import Floats, coupon_matrix, customer_matrix, encode
from app.settings import BUILT_IN_MODEL
from app.training.names import ModelName
from tests.small_models import train_small

DATA = Path(__file__).parents[2] / "data4db"
TODAY = date(2026, 11, 21)
NOBODY = CustomerContext("", Gender.UNKNOWN, 0, 0, 0, 0, 0, 0, 0)
ROUNDING = 1e-12  # of sums in another order


@dataclass(frozen=True)
class Shop:
    """The shipped shop, as the service knows it."""

    customers: list[CustomerContext]
    catalogue: Catalogue


@pytest.fixture(scope="module")
def shop() -> Shop:
    dataset = read_folder(DATA)
    coupons = catalogue_coupons(dataset, DepartmentNames.with_aliases({}))
    return Shop(list(customer_contexts(dataset, NOBODY).values()), Catalogue(coupons))


@pytest.fixture(scope="module", params=["shipped", ModelName.HIST_GRADIENT_BOOSTING, ModelName.BLEND])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model of each kind."""
    if request.param == "shipped":
        return BUILT_IN_MODEL
    return train_small(tmp_path_factory.mktemp(request.param), 1, request.param).folder


def pairs_of_training(shop: Shop, department: str) -> Floats:
    """Each customer with each candidate, one row for each pair, as training encodes them."""
    coupons = coupon_matrix(shop.catalogue.screening(department, TODAY).candidates)
    customers = customer_matrix(shop.customers)
    return encode(customers.repeat(len(coupons), axis=0), np.tile(coupons, (len(customers), 1)))


@pytest.mark.parametrize("department", DOCUMENTED_DEPARTMENTS)
def test_training_and_service_encode_every_pair_alike(shop: Shop, department: str) -> None:
    screening = shop.catalogue.screening(department, TODAY)
    served = [encode(customer_matrix([customer]), screening.features) for customer in shop.customers]

    assert np.abs(np.concatenate(served) - pairs_of_training(shop, department)).max() == 0


@pytest.mark.parametrize("department", DOCUMENTED_DEPARTMENTS)
async def test_the_service_says_what_the_model_says_of_every_pair(shop: Shop, folder: Path, department: str) -> None:
    scorer = load_model(folder)
    screening = shop.catalogue.screening(department, TODAY)
    served = await scorer.score(shop.customers, [screening] * len(shop.customers))
    model = read_classifier(read_files(folder), folder)

    of_training = model.predict_proba(pairs_of_training(shop, department))[:, 1]
    assert np.abs(np.concatenate([one.values for one in served]) - of_training).max() < ROUNDING
