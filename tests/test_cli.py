"""The command line, as people type it."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from app import main
from app.adapters.postgres import migrations
from app.adapters.postgres.database import Database
from app.adapters.postgres.keys import PostgresApiKeys
from app.adapters.scorer_sklearn import load_model
from app.cli import cli
from app.cli.models import account
from app.domain.access import ApiKey, Role, digest_of
from app.embedded.ports import LOOPBACK, free_port
from app.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    DatasetRefused,
    MigrationRefused,
    ModelInUse,
    ModelRefused,
    PromotionRefused,
)
from app.main import app_or_exit
from app.settings import EXIT_CODE, MISSING, documented_variables, file_variables, variable_names
from app.training.artefact import write_artefact
from app.utils.log_config import customer_hash
from tests.small_models import DirectChecker, SmallModel

PROJECT = Path(__file__).parents[1]
PATIENCE_SECONDS = 60
SECRET = "s3cr3t-that-nobody-may-see"
COMMANDS = (
    "serve",
    "run",
    "migrate",
    "load",
    "export",
    "central",
    "datagen",
    "train",
    "schema",
    "config",
    "customer",
    "key",
    "drift",
    "drain",
    "adopt",
)
BROKER_VARIABLES = ("MQTT_HOST", "ENTRY_EVENT_TOPIC_NAME", "FOCUS_EVENT_TOPIC_NAME", "COUPON_PREDICTION_TOPIC_NAME")
DATABASE_VARIABLES = ("DB_HOST", "DB_NAME", "DB_USER", "DB_PASSWORD")
ALL_MISSING = "".join(f"{MISSING.format(name=name)}\n" for name in BROKER_VARIABLES + DATABASE_VARIABLES)
OURS = {name for _, _, field in documented_variables() for name in (*variable_names(field), *file_variables(field))}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def database(environment: pytest.MonkeyPatch, database_url: str) -> str:
    """A migrated, empty database that the environment names."""
    environment.setenv("DATABASE_URL", database_url)
    return database_url


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shop."""
    folder = tmp_path_factory.mktemp("shop")
    result = invoke("datagen", "--out", str(folder), "--customers", "30", "--products", "25", "--coupons", "10")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def shop(made: Path, tmp_path: Path) -> Path:
    """A copy of the small shop, to spoil."""
    return Path(shutil.copytree(made, tmp_path / "shop"))


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


async def run(*arguments: str) -> Result:
    """Invoke a command beside the test's own event loop."""
    return await asyncio.to_thread(invoke, *arguments)


def python(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python without the service's variables, or in just this environment."""
    inherited = {name: value for name, value in os.environ.items() if name not in OURS}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=inherited if environment is None else dict(environment),
        text=True,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def count(url: str, table: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
    finally:
        await connection.close()


async def revision(url: str) -> str | None:
    connection = await asyncpg.connect(url)
    try:
        return await migrations.current(connection)
    finally:
        await connection.close()


def test_help_lists_the_commands() -> None:
    result = python("-m", "app", "--help")

    assert (result.returncode, result.stderr) == (0, "")
    assert [command for command in COMMANDS if f" {command} " not in result.stdout] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = invoke(command, "--help")

    assert result.exit_code == 0
    assert "Usage: " in result.output


@pytest.mark.parametrize("command", [["-m", "app", "serve"], ["-m", "uvicorn", "app.main:app"]], ids=" ".join)
def test_in_an_empty_environment_all_that_is_missing_is_said_and_the_exit_code_is_78(command: list[str]) -> None:
    result = python(*command, environment={})

    assert (result.returncode, result.stderr) == (EXIT_CODE, ALL_MISSING)
    assert result.stderr.startswith(
        "Cannot read MQTT_HOST env variable. Please, make sure it is set before starting the service.\n"
    )


def test_the_missing_variables_of_a_command_are_said_with_the_exit_code_78() -> None:
    result = python("-m", "app", "migrate")

    assert result.returncode == EXIT_CODE
    assert result.stderr == "".join(f"{MISSING.format(name=name)}\n" for name in DATABASE_VARIABLES)


def test_what_else_goes_wrong_is_a_sentence_and_the_exit_code_3(tmp_path: Path) -> None:
    result = python(
        "-m", "app", "load", str(tmp_path), environment={**os.environ, "DATABASE_URL": "postgresql://nowhere/x"}
    )

    assert (result.returncode, result.stdout) == (3, "")
    assert "must have one file products.csv or product_info.csv" in result.stderr
    assert "Traceback" not in result.stderr


def test_importing_the_service_and_its_commands_does_nothing_and_loads_no_model() -> None:
    code = "import app.main, app.cli, sys; print('sklearn' in sys.modules, 'scipy' in sys.modules)"

    result = python("-c", code, environment={})

    assert (result.returncode, result.stdout, result.stderr) == (0, "False False\n", "")


def test_the_application_is_made_when_it_is_asked_for(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TESTING_NO_MQTT", "true")
    environment.setenv("TESTING_NO_POSTGRES", "true")

    assert isinstance(main.app, FastAPI)
    assert not hasattr(main, "application")


def test_an_application_without_its_variables_ends_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        app_or_exit()

    assert caught.value.code == EXIT_CODE
    assert capsys.readouterr().err == ALL_MISSING


def test_config_shows_every_variable_and_no_secret(environment: pytest.MonkeyPatch) -> None:
    values = {
        "MQTT_HOST": "broker-1,broker-2:1884",
        "MQTT_PASSWORD": SECRET,
        "ENTER_TOPIC": "shop/entry",
        "FOCUS_TOPIC": "shop/focus",
        "COUPON_PREDICTION_TOPIC": "shop/prediction",
        "DATABASE_URL": f"postgresql://service:{SECRET}@db/cache",
        "DB_PASSWORD": SECRET,
        "ADMIN_API_KEY": f"{SECRET}-and-some-more",
        "CLIENT_CONTEXT_URL": f"http://service:{SECRET}@central:8001/v1",
        "DEPARTMENT_ALIASES": "Lads=Boys",
    }
    for name, value in values.items():
        environment.setenv(name, value)

    result = invoke("config")

    shown = dict(line.split("=", 1) for line in result.output.splitlines())
    assert result.exit_code == 0
    assert list(shown) == [name for name, _, _ in documented_variables()]
    assert SECRET not in result.output
    assert (shown["MQTT_PASSWORD"], shown["DATABASE_URL"]) == ("**********", "**********")
    assert shown["CLIENT_CONTEXT_URL"] == "http://**********@central:8001/v1"
    assert (shown["MQTT_HOST"], shown["ENTRY_EVENT_TOPIC_NAME"]) == ("broker-1,broker-2:1884", "shop/entry")
    assert (shown["DEPARTMENT_ALIASES"], shown["PREDICTION_THRESHOLD"]) == ("Lads=Boys", "")


def test_config_says_what_is_missing_beside_what_is_there() -> None:
    result = invoke("config")

    assert isinstance(result.exception, ConfigurationError)
    assert "LOG_LEVEL=INFO\n" in result.output


def test_the_database_can_be_named_by_the_second_family_of_variables(
    environment: pytest.MonkeyPatch, database_url: str
) -> None:
    url = urlsplit(database_url)
    parts = {"HOST": url.hostname, "PORT": url.port, "DB": url.path[1:], "USER": url.username, "PASSWORD": url.password}
    for name, value in parts.items():
        environment.setenv(f"POSTGRES_{name}", str(value))

    assert invoke("migrate").output == "nothing to do\n"


def test_the_password_of_the_database_can_come_from_a_file(
    environment: pytest.MonkeyPatch, database_url: str, tmp_path: Path
) -> None:
    url = urlsplit(database_url)
    (tmp_path / "password").write_text(f"{url.password}\n")
    parts = {"HOST": url.hostname, "PORT": url.port, "DB": url.path[1:], "USER": url.username}
    for name, value in parts.items():
        environment.setenv(f"POSTGRES_{name}", str(value))
    environment.setenv("POSTGRES_PASSWORD_FILE", str(tmp_path / "password"))

    assert invoke("migrate").output == "nothing to do\n"


def test_a_file_that_should_hold_a_secret_and_cannot_be_read_is_said_with_the_exit_code_78(tmp_path: Path) -> None:
    for command in (["-m", "app", "migrate"], ["-m", "app", "config"], ["-m", "uvicorn", "app.main:app"]):
        result = python(*command, environment={"DB_PASSWORD_FILE": str(tmp_path)})

        assert result.returncode == EXIT_CODE
        assert result.stderr == f"Cannot use DB_PASSWORD_FILE env variable: {tmp_path} cannot be read.\n"


def test_the_hash_of_a_customer_is_printed_to_search_a_log_for(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LOG_HASH_KEY", SECRET)

    assert invoke("customer", "hash", " 127 ").output == f"{customer_hash(SECRET, '127')}\n"
    assert invoke("customer", "hash", "--", "-127").output == f"{customer_hash(SECRET, '-127')}\n"


@pytest.mark.parametrize("nobody", ["", " ", "a\nb", "x" * 65])
def test_what_is_the_id_of_nobody_is_not_forgotten(nobody: str) -> None:
    result = invoke("customer", "forget", nobody)

    assert result.exit_code == 2
    assert "must be printable, 1 to 64 characters" in result.output


def test_without_the_key_of_the_log_no_hash_can_be_printed() -> None:
    result = python("-m", "app", "customer", "hash", "127")

    assert (result.returncode, result.stdout) == (EXIT_CODE, "")
    assert result.stderr == f"{MISSING.format(name='LOG_HASH_KEY')}\n"


def test_datagen_makes_the_same_shop_of_the_same_seed(made: Path, tmp_path: Path) -> None:
    sizes = ("--customers", "30", "--products", "25", "--coupons", "10")
    again = invoke("datagen", "--out", str(tmp_path / "again"), *sizes)
    other = invoke("datagen", "--out", str(tmp_path / "other"), *sizes, "--seed", "7", "--year", "2001")

    assert again.output == f"{tmp_path / 'again'}: 30 customers, 25 products, 10 coupons\n"
    assert contents(tmp_path / "again") == contents(made)
    assert contents(tmp_path / "other") != contents(made)
    assert b",2001-" in contents(tmp_path / "other")["coupon_info.csv"]
    assert other.exit_code == 0


def test_datagen_writes_the_history_where_that_is_asked_for(tmp_path: Path) -> None:
    sizes = ("--customers", "30", "--products", "25", "--coupons", "10")
    result = invoke("datagen", "--out", str(tmp_path / "shop"), *sizes, "--history", str(tmp_path / "history"))

    assert result.exit_code == 0
    assert list((tmp_path / "history").iterdir())
    assert result.output.endswith(f"{tmp_path / 'history'}: purchases and coupon use\n")


def test_the_tables_are_made_and_taken_away(environment: pytest.MonkeyPatch, empty_database_url: str) -> None:
    environment.setenv("DATABASE_URL", empty_database_url)

    up, again, down = invoke("migrate"), invoke("migrate"), invoke("migrate", "--down", "base")

    applied = [line.removeprefix("applied: ") for line in up.output.splitlines()]
    assert applied[-1] == migrations.head()
    assert again.output == "nothing to do\n"
    assert down.output.splitlines() == [f"undone: {name}" for name in reversed(applied)]


def test_a_revision_that_nobody_knows_is_refused(database: str) -> None:
    result = invoke("migrate", "--to", "9999_unknown")

    assert isinstance(result.exception, MigrationRefused)


def test_a_folder_is_loaded_and_written_back_identical(database: str, shop: Path, tmp_path: Path) -> None:
    loaded = invoke("load", str(shop))
    exported = invoke("export", str(tmp_path / "back"))

    assert (loaded.exit_code, exported.exit_code) == (0, 0), loaded.output
    assert "30" in loaded.output
    assert f"{tmp_path / 'back' / 'customer_info.csv'}: 30 rows" in exported.output
    assert contents(tmp_path / "back") == contents(shop)


async def test_a_dry_run_of_load_reports_and_changes_nothing(database: str, shop: Path) -> None:
    result = await run("load", str(shop), "--dry-run")

    assert result.exit_code == 0
    assert "dry run: nothing was changed" in result.output
    assert await count(database, "coupon_info") == 0


async def test_rows_that_are_refused_are_shown_and_the_others_loaded(database: str, shop: Path) -> None:
    with (shop / "customer_info.csv").open("a") as file:
        file.write("900,F,-5,1,1,1,1,1,1\nx7,F,5,1,1,1,1,1,1\n")

    result = await run("load", str(shop))

    assert result.exit_code == 3
    assert 'refused: customer_info.csv, line 32: age "-5" must be from 0 to 150\n' in result.output
    assert 'refused: customer_info.csv, line 33: customer_id "x7" must be a whole number\n' in result.output
    assert await count(database, "customer_info") == 30


async def test_coupons_that_have_all_expired_are_moved_where_that_is_asked_for(database: str, shop: Path) -> None:
    old = (shop / "coupon_info.csv").read_text().replace(",2026-", ",2001-")
    (shop / "coupon_info.csv").write_text(old)

    silent, asked = await run("load", str(shop)), await run("load", str(shop), "--shift-dates")

    assert "WARNING: all coupons have expired" in silent.output
    assert "their dates were moved by" in asked.output


def test_a_folder_without_the_files_is_refused(database: str, tmp_path: Path) -> None:
    result = invoke("load", str(tmp_path))

    assert isinstance(result.exception, DatasetRefused)


@pytest.mark.parametrize("wait", ["0", "0.3"])
def test_that_the_database_is_away_is_said_without_its_password(environment: pytest.MonkeyPatch, wait: str) -> None:
    environment.setenv("DATABASE_URL", f"postgresql://u:{SECRET}@{LOOPBACK}:{free_port()}/x")

    result = invoke("migrate", "--wait", wait)

    assert isinstance(result.exception, DatabaseUnavailable)
    assert SECRET not in str(result.exception)


async def test_a_command_that_may_wait_does_its_work_at_once_when_it_can(database: str, shop: Path) -> None:
    result = await run("load", str(shop), "--wait", "5")

    assert result.exit_code == 0
    assert await revision(database) == migrations.head()


def test_the_generated_files_of_this_repository_are_fresh() -> None:
    result = invoke("schema", "--check")

    assert (result.exit_code, result.output) == (0, "")


def test_training_makes_a_model_that_the_service_can_use(tmp_path: Path) -> None:
    result = invoke("train", "--out", str(tmp_path / "model"))

    assert result.exit_code == 0, result.output
    scorer = load_model(tmp_path / "model")
    assert result.output.splitlines()[-1].startswith(f"{tmp_path / 'model'}: {scorer.version}; ")


async def stored_keys(url: str) -> list[ApiKey]:
    async with Database.open(url, size=1) as database:
        return list(await PostgresApiKeys(database).all())


async def test_a_key_is_made_and_shown_this_once_and_only_a_digest_of_it_is_stored(database: str) -> None:
    made = await run("key", "create", "--role", "operate", "--name", "till 7", "--expires-days", "30")
    listed = await run("key", "list")

    (key,) = await stored_keys(database)
    key_id, _, secret = made.stdout.strip().partition(".")
    assert (made.exit_code, key.key_id, key.role, key.name) == (0, key_id, Role.OPERATE, "till 7")
    assert key.digest == digest_of(secret)
    assert secret not in made.stderr
    assert listed.stdout.split() == [key_id, "operate", "valid", "until", f"{key.expires_at:%Y-%m-%d}", "till", "7"]


async def test_a_key_is_revoked_by_its_id(database: str) -> None:
    made = await run("key", "create", "--role", "admin")
    key_id = made.stdout.partition(".")[0]
    revoked, listed = await run("key", "revoke", key_id), await run("key", "list")

    (key,) = await stored_keys(database)
    assert (revoked.exit_code, revoked.stdout) == (0, f"revoked: {key_id}\n")
    assert key.revoked_at is not None
    assert listed.stdout == f"{key_id}  admin    revoked {key.revoked_at:%Y-%m-%d}\n"


async def test_a_key_that_nobody_made_cannot_be_revoked(database: str) -> None:
    result = await run("key", "revoke", "rk_nobody")

    assert (result.exit_code, result.stdout) == (3, "")
    assert "there is no key rk_nobody" in result.stderr


def test_without_any_key_the_list_says_how_to_make_the_first(database: str) -> None:
    result = invoke("key", "list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "python -m app key create --role admin" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [[], ["--role", "root"], ["--role", "read", "--name", "a\nb"], ["--role", "read", "--expires-days", "0"]],
)
async def test_a_key_that_makes_no_sense_is_refused(database: str, arguments: list[str]) -> None:
    result = await run("key", "create", *arguments)

    assert result.exit_code == 2
    assert await stored_keys(database) == []


@pytest.fixture
def model(small_model: SmallModel) -> SmallModel:
    """A small model."""
    return small_model


async def run_model(*arguments: str) -> Result:
    """Invoke a command on models, which are checked in this process: to start one for each takes seconds."""
    return await asyncio.to_thread(CliRunner().invoke, cli, ["model", *arguments], obj=DirectChecker())


def one_line(result: Result) -> str:
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    return line


async def test_a_model_goes_from_a_folder_into_service_and_back(
    database: str, model: SmallModel, other_model: SmallModel
) -> None:
    nothing = await run_model("list")
    added = one_line(await run_model("register", str(model.folder)))
    again = one_line(await run_model("register", str(model.folder)))
    await run_model("register", str(other_model.folder))
    promoted = [
        one_line(await run_model("promote", version, "--reason", why))
        for version, why in ((model.version, ""), (other_model.version[:-3], "better"))
    ]
    back = one_line(await run_model("rollback", "--reason", "worse"))
    listed = (await run_model("list")).stdout.splitlines()
    history = (await run_model("history")).stdout.splitlines()

    assert (nothing.stdout, "model register DIR" in nothing.stderr) == ("", True)
    assert added.startswith(f"{model.version}: registered; it scores 190 coupons in ")
    assert again.startswith(f"{model.version}: was there already; ")
    assert f" champion is {model.version}, by " in promoted[0]
    assert f" champion is {other_model.version}, by " in promoted[1]
    assert promoted[1].endswith(": better")
    assert f" champion is {model.version} (rolled back), by " in back
    assert [line.split()[0] for line in listed] == [model.version, other_model.version]
    assert [line.endswith(" champion") for line in listed] == [True, False]
    assert history == [back, *reversed(promoted)]


async def test_what_ran_at_a_time_is_told(database: str, model: SmallModel) -> None:
    await run_model("register", str(model.folder))
    await run_model("promote", model.version, "--alias", "shadow")

    long_ago = (await run_model("history", "--at", "2000-01-01")).stdout.splitlines()
    tomorrow = (await run_model("history", "--at", "2200-01-01")).stdout.splitlines()

    started_with = "the model that the service was started with"
    assert [line.split(maxsplit=1)[1] for line in long_ago] == [started_with, "no model", "no model"]
    assert tomorrow[2].split() == ["shadow", model.version]


async def test_the_history_of_nothing_says_who_decides(database: str) -> None:
    result = await run_model("history")

    assert (result.exit_code, result.stdout) == (0, "")
    assert "the model that the service was started with decides" in result.stderr


async def test_a_model_that_falls_behind_needs_force_and_a_reason(
    database: str, model: SmallModel, other_model: SmallModel, tmp_path: Path
) -> None:
    worse = replace(other_model.card, metrics={**other_model.card.metrics, "roc_auc": 0.51})
    write_artefact(tmp_path, other_model.files.model, worse)
    for folder in (model.folder, tmp_path):
        await run_model("register", str(folder))
    await run_model("promote", model.version)

    refused = await run_model("promote", other_model.version)
    unexplained = await run_model("promote", other_model.version, "--force")
    forced = await run_model("promote", other_model.version, "--force", "--reason", "a trial")

    assert isinstance(refused.exception, PromotionRefused)
    assert "ROC-AUC is 0.5100, below the" in str(refused.exception)
    assert unexplained.exit_code == 2
    assert " (forced), by " in one_line(forced)


def test_what_is_refused_ends_with_a_sentence_and_code_3(database: str, tmp_path: Path) -> None:
    environment = {**os.environ, "DATABASE_URL": database}
    results = [
        python("-m", "app", "model", *arguments, environment=environment)
        for arguments in (["promote", "logistic-0"], ["register", str(tmp_path)], ["rollback"])
    ]

    assert [(result.returncode, result.stdout) for result in results] == [(3, "")] * 3
    assert [result.stderr for result in results] == [
        "there is no model 'logistic-0': `python -m app model list` shows what there is\n",
        f"cannot read {tmp_path / 'card.json'}: No such file or directory\n",
        "there is nothing to roll back to: champion has named no other model before\n",
    ]


async def test_the_beginning_of_a_version_must_be_that_of_one_alone(
    database: str, model: SmallModel, other_model: SmallModel
) -> None:
    for one in (model, other_model):
        await run_model("register", str(one.folder))

    result = await run_model("promote", "logistic")

    assert isinstance(result.exception, ModelRefused)
    assert "2 models begin with 'logistic'" in str(result.exception)


async def test_a_card_is_shown_from_a_folder_and_from_the_registry_alike(database: str, model: SmallModel) -> None:
    await run_model("register", str(model.folder))

    from_folder, from_registry = (
        await run_model("card", str(model.folder)),
        await run_model("card", model.version),
    )

    assert from_folder.exit_code == 0
    assert from_folder.stdout == from_registry.stdout
    assert from_folder.stdout.startswith(f"{model.version}, trained 2026-01-01 12:00 UTC\n")


async def test_a_card_that_would_write_to_the_terminal_is_not_shown(model: SmallModel, tmp_path: Path) -> None:
    write_artefact(tmp_path, b"", replace(model.card, intended_use="\x1b[2J"))

    result = await run_model("card", str(tmp_path))

    assert isinstance(result.exception, ModelRefused)
    assert result.stdout == ""


async def test_a_card_without_some_of_the_figures_is_shown_with_the_others(model: SmallModel, tmp_path: Path) -> None:
    write_artefact(tmp_path, b"", replace(model.card, metrics={"roc_auc": 0.7}, baselines={"none": {}}))

    result = await run_model("card", str(tmp_path))

    assert result.exit_code == 0
    assert "roc_auc" in result.stdout
    assert "log_loss" not in result.stdout


async def test_a_model_is_downloaded_as_it_was_registered_and_into_no_other_model(
    database: str, model: SmallModel, tmp_path: Path
) -> None:
    await run_model("register", str(model.folder))

    first, second = [await run_model("download", model.version, str(tmp_path / "out")) for _ in range(2)]

    assert first.exit_code == 0
    assert contents(tmp_path / "out") == contents(model.folder)
    assert isinstance(second.exception, ModelRefused)


async def test_a_model_is_deleted_unless_an_alias_names_it(database: str, model: SmallModel) -> None:
    await run_model("register", str(model.folder))
    await run_model("promote", model.version)
    in_use = await run_model("delete", model.version)
    await run_model("rollback")
    gone = await run_model("delete", model.version)

    assert isinstance(in_use.exception, ModelInUse)
    assert gone.stdout == f"deleted: {model.version}\n"
    assert await count(database, "model") == 0


def test_an_account_without_a_name_is_named_by_its_number() -> None:
    def nobody(error: Exception) -> str:
        raise error

    names = [account(partial(nobody, error)) for error in (KeyError("uid not found"), OSError("No username set"))]

    assert names == [f"uid {os.getuid()}"] * 2
    assert account(lambda: "ada\x1b") == "'ada\\x1b'"


@pytest.mark.parametrize("reason", ["a\nb", "\x1b[2J", "x" * 501])
async def test_a_reason_that_is_no_line_is_refused(database: str, model: SmallModel, reason: str) -> None:
    result = await run_model("promote", model.version, "--reason", reason)

    assert result.exit_code == 2


def test_a_model_that_cannot_be_used_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    for name in ("card.json", "model.skops"):
        (tmp_path / name).write_bytes(b"{}")
    environment = {**os.environ, **dict.fromkeys(("TESTING_NO_MQTT", "TESTING_NO_POSTGRES"), "true")}

    result = python("-m", "app", "serve", environment={**environment, "MODEL_DIR": str(tmp_path)})

    where = tmp_path / "card.json"
    assert (result.returncode, result.stdout, result.stderr) == (
        EXIT_CODE,
        "",
        f"Cannot use MODEL_DIR env variable: {where} is no model card: the card says nothing of 'name'.\n",
    )


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, None])
def test_so_does_any_other_model_that_is_none(
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: bytes | None,
) -> None:
    for name in ("TESTING_NO_MQTT", "TESTING_NO_POSTGRES"):
        environment.setenv(name, "true")
    environment.setenv("MODEL_DIR", str(tmp_path))
    (tmp_path / "card.json").write_bytes(content or b"")
    if content is not None:
        (tmp_path / "model.skops").write_bytes(b"")

    with pytest.raises(SystemExit) as caught:
        app_or_exit()

    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == EXIT_CODE
    assert line.startswith("Cannot use MODEL_DIR env variable: ")
