"""The registry of models over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from io import BytesIO
from zipfile import ZipFile

import httpx
import pytest
from fastapi import FastAPI

from app.adapters.memory import MemoryModelRegistry
from app.domain.model_card import ModelCard, card_to_json
from app.domain.registry import Alias
from app.model_bundle import MAX_BUNDLE_BYTES, from_bundle, to_bundle
from app.ports import ModelCheck, ModelFiles
from app.transport.http.running import MAX_TRANSFERS
from tests.small_models import SmallModel
from tests.transport.application import client_of, running_app, running_of
from tests.transport.eventually import eventually

PROBLEM = "application/problem+json"
ADMIN_KEY = "an-admin-key-of-the-environment-0"
MODELS = "/api/v1/models"
CHAMPION = f"{MODELS}/aliases/champion"
EVENT = {"id": "127", "ts": 192322800, "dep": "Boys"}


class Checker:
    """ModelChecker that finds everything sound once it may go on; remembers how many were with it at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def check(self, files: ModelFiles) -> ModelCheck:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.may_go_on.wait()
        self.inside -= 1
        return ModelCheck(0.0, 0.0, 0.1)


@pytest.fixture(scope="module")
async def whole_app(small_model: SmallModel) -> AsyncIterator[FastAPI]:
    async with running_app(ADMIN_API_KEY=ADMIN_KEY, MODEL_DIR=small_model.folder) as started:
        yield started


@pytest.fixture
def checker() -> Checker:
    return Checker()


@pytest.fixture
async def app(whole_app: FastAPI, checker: Checker) -> AsyncIterator[FastAPI]:
    """With an empty registry, and models that are all sound."""
    running = running_of(whole_app)
    running.active.registry = MemoryModelRegistry()
    await running.active.read()
    whole_app.state.running = replace(running, checker=checker)
    yield whole_app
    whole_app.state.running = running


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        client.headers["X-API-Key"] = ADMIN_KEY
        yield client


async def send(client: httpx.AsyncClient, bundle: bytes) -> httpx.Response:
    return await client.post(MODELS, content=bundle, headers={"content-type": "application/zip"})


async def registered(client: httpx.AsyncClient, model: SmallModel) -> str:
    assert (await send(client, to_bundle(model.files))).status_code == 201
    return model.version


async def promoted(client: httpx.AsyncClient, version: str | None, **more: object) -> httpx.Response:
    return await client.put(CHAMPION, json={"version": version, **more})


def is_refused(response: httpx.Response, status: int) -> str:
    """What the problem says."""
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text
    return str(response.json()["detail"])


def worse(model: SmallModel) -> bytes:
    card: ModelCard = replace(model.card, metrics={**model.card.metrics, "roc_auc": 0.51})
    return to_bundle(replace(model.files, card=card_to_json(card).encode()))


async def serving(client: httpx.AsyncClient) -> str:
    return str((await client.get(f"{MODELS}/serving")).json()["version"])


async def test_an_uploaded_model_is_listed_read_and_downloaded_as_it_was_sent(
    client: httpx.AsyncClient, other_model: SmallModel
) -> None:
    sent = await send(client, to_bundle(other_model.files))
    again = await send(client, to_bundle(other_model.files))
    listed = (await client.get(MODELS)).json()
    card = await client.get(f"{MODELS}/{other_model.version}")
    bundle = await client.get(f"{MODELS}/{other_model.version}/download")

    told = sent.json()
    assert (sent.status_code, again.status_code, listed) == (201, 201, [told])
    assert {name: told[name] for name in ("version", "name", "sha256", "aliases")} == {
        "version": other_model.version,
        "name": "logistic",
        "sha256": other_model.card.model_sha256,
        "aliases": [],
    }
    assert (told["metrics"], told["first_day"]) == (dict(other_model.card.metrics), str(other_model.card.fit.first_day))
    assert card.content == other_model.files.card
    assert from_bundle(bundle.content) == other_model.files
    assert bundle.headers["content-disposition"] == f'attachment; filename="{other_model.version}.zip"'


async def test_a_promotion_counts_at_once_and_the_next_decision_names_the_version(
    client: httpx.AsyncClient, small_model: SmallModel, other_model: SmallModel
) -> None:
    before = (await client.post("/mock_focus", json=EVENT)).json()["decision"]
    done = await promoted(client, await registered(client, other_model), reason="better")
    after = (await client.post("/mock_focus", json={**EVENT, "ts": 2})).json()["decision"]

    told = done.json()
    assert (done.status_code, told["version"], told["reason"], told["is_forced"]) == (
        200,
        other_model.version,
        "better",
        False,
    )
    assert [one["model_version"] for one in (before, after)] == [small_model.version, other_model.version]
    assert [one["deployment"] for one in (before, after)] == [
        f"default@{small_model.version}",
        f"default@{other_model.version}",
    ]


async def test_a_decision_of_the_model_before_is_told_without_asking_the_one_after(
    client: httpx.AsyncClient, small_model: SmallModel, other_model: SmallModel
) -> None:
    answer = (await client.post("/mock_focus", json={**EVENT, "ts": 3})).json()["decision"]
    await promoted(client, await registered(client, other_model))

    told = (await client.get(f"/api/v1/decisions/{answer['id']}")).json()

    assert (told["model_version"], told["score"], told["candidates"]) == (
        small_model.version,
        answer["score"],
        None,
    )
    assert told["not_remade"] == f"made with model {small_model.version}; now {other_model.version} is in service"


async def test_the_history_tells_what_ran_at_any_time(
    client: httpx.AsyncClient, small_model: SmallModel, other_model: SmallModel
) -> None:
    one, other = await registered(client, small_model), await registered(client, other_model)
    times = [(await promoted(client, version)).json()["since"] for version in (one, other)]
    back = (await client.post(f"{CHAMPION}/rollback", json={"reason": "worse"})).json()

    history = (await client.get(CHAMPION)).json()
    named = [
        (await client.get(f"{MODELS}/aliases", params={"at": at})).json()["champion"]
        for at in ("2000-01-01T00:00:00", *times, back["since"])
    ]
    now = (await client.get(f"{MODELS}/aliases")).json()
    assert [entry["version"] for entry in history] == [one, other, one]
    assert (history[0]["is_rollback"], history[0]["reason"], history[0]["changed_by"]) == (
        True,
        "worse",
        back["changed_by"],
    )
    assert named == [None, one, other, one]
    assert now == {"champion": one, "challenger": None, "shadow": None}
    assert datetime.fromisoformat(back["since"]).tzinfo is not None


async def test_two_roll_backs_go_two_back_and_a_third_is_refused(
    client: httpx.AsyncClient, small_model: SmallModel, other_model: SmallModel
) -> None:
    for model in (other_model, small_model):
        await promoted(client, await registered(client, model))

    versions = [(await client.post(f"{CHAMPION}/rollback", json={})).json()["version"] for _ in range(2)]
    third = await client.post(f"{CHAMPION}/rollback", json={})

    assert versions == [other_model.version, None]
    assert "Refused: there is nothing to roll back to" in is_refused(third, 409)
    assert await serving(client) == small_model.version


async def test_a_model_that_falls_behind_is_refused_with_figures_and_passes_by_force_with_a_reason(
    client: httpx.AsyncClient, small_model: SmallModel, other_model: SmallModel
) -> None:
    await promoted(client, await registered(client, small_model))
    assert (await send(client, worse(other_model))).status_code == 201

    refused = is_refused(await promoted(client, other_model.version), 409)
    unexplained = await promoted(client, other_model.version, force=True)
    forced = await promoted(client, other_model.version, force=True, reason="a trial")

    assert "ROC-AUC is 0.5100, below the" in refused
    assert unexplained.status_code == 422
    assert (forced.status_code, forced.json()["is_forced"]) == (200, True)


async def test_a_model_in_use_is_not_deleted_and_one_that_is_not_is(
    client: httpx.AsyncClient, other_model: SmallModel
) -> None:
    version = await registered(client, other_model)
    await client.put(f"{MODELS}/aliases/shadow", json={"version": version})
    refused = await client.delete(f"{MODELS}/{version}")
    await client.put(f"{MODELS}/aliases/shadow", json={"version": None})
    gone = await client.delete(f"{MODELS}/{version}")

    assert f"{version} is shadow" in is_refused(refused, 409)
    assert (gone.status_code, gone.content, (await client.get(MODELS)).json()) == (204, b"", [])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"{MODELS}/logistic-0", None),
        ("GET", f"{MODELS}/logistic-0/download", None),
        ("DELETE", f"{MODELS}/logistic-0", None),
        *(("PUT", f"{MODELS}/aliases/{alias}", {"version": "logistic-0"}) for alias in Alias),
    ],
)
async def test_a_model_that_is_not_there_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    assert is_refused(await client.request(method, path, json=body), 404) == "Refused: there is no model logistic-0."


@pytest.mark.parametrize("version", ["%00", "a%0Ab", "..", "%2e%2e%2fetc", "a b", "ż", "x" * 81])
async def test_what_cannot_be_a_version_is_refused_wherever_it_stands(client: httpx.AsyncClient, version: str) -> None:
    by_path = await client.get(f"{MODELS}/{version}/download")
    by_body = await promoted(client, version)

    assert by_path.status_code in (404, 422)
    assert by_path.headers["content-type"] == PROBLEM
    is_refused(by_body, 422)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"version": 7}',
        b'{"version": "a", "reason": "a\\u0000"}',
        b'{"version": "a", "reason": "' + b"x" * 501 + b'"}',
        b'{"version": "a", "forced": true}',
        b'{"version": "' + b"x" * 20_000 + b'"}',
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    is_refused(await client.put(CHAMPION, content=body), 422)


@pytest.mark.parametrize("path", [f"{MODELS}/aliases?at=yesterday", f"{MODELS}/aliases/king", f"{MODELS}/aliases/%00"])
async def test_a_question_that_makes_no_sense_is_refused(client: httpx.AsyncClient, path: str) -> None:
    is_refused(await client.get(path), 422)


def bundle_with(**contents: bytes) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w") as bundle:
        for name, content in contents.items():
            bundle.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no zip file"),
        (b'{"version": 1}', "no zip file"),
        (bundle_with(card_json=b"{}"), "must hold card.json and model.skops"),
        (bundle_with(card_json=b"{}", model_skops=b"", setup_py=b""), "a file that no model has: 'setup.py'"),
        (bytes(MAX_BUNDLE_BYTES + 1), "the bundle is larger than 32 MiB"),
    ],
    ids=["nothing", "JSON", "half of it", "more than it", "too large"],
)
async def test_what_is_no_bundle_is_refused_and_nothing_is_kept(
    client: httpx.AsyncClient, checker: Checker, body: bytes, why: str
) -> None:
    assert why in is_refused(await send(client, body), 422)
    assert (checker.most, (await client.get(MODELS)).json()) == (0, [])


async def test_a_card_whose_version_is_a_path_is_refused(client: httpx.AsyncClient, small_model: SmallModel) -> None:
    fields = {**json.loads(small_model.files.card), "name": "../../etc", "version": "../../etc-0"}
    files = replace(small_model.files, card=json.dumps(fields).encode())

    assert "the name on its card is not made of" in is_refused(await send(client, to_bundle(files)), 422)


async def test_few_models_are_in_work_at_a_time_and_others_are_answered_meanwhile(
    client: httpx.AsyncClient, checker: Checker, small_model: SmallModel
) -> None:
    checker.may_go_on.clear()
    bundle = to_bundle(small_model.files)
    sent = [asyncio.ensure_future(send(client, bundle)) for _ in range(5)]
    await eventually(lambda: checker.inside == MAX_TRANSFERS)

    decided = await client.post("/mock_focus", json={**EVENT, "ts": 9})
    checker.may_go_on.set()
    answers = await asyncio.gather(*sent)

    assert decided.status_code == 200
    assert {answer.status_code for answer in answers} == {201}
    assert checker.most == MAX_TRANSFERS
