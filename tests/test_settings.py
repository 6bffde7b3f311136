"""The environment, as people set it."""

from pathlib import Path

import pytest
import trustme

from app.domain.customer import CustomerContext, Gender
from app.errors import ConfigurationError
from app.results import IdType
from app.settings import (
    BUILT_IN_MODEL,
    MISSING,
    Settings,
    documented_variables,
    file_variables,
    is_secret,
    variable_names,
)

SECRET = "s3cr3t-that-nobody-may-see"
BROKER = {
    "MQTT_HOST": "broker",
    "ENTRY_EVENT_TOPIC_NAME": "shop/entry",
    "FOCUS_EVENT_TOPIC_NAME": "shop/focus",
    "COUPON_PREDICTION_TOPIC_NAME": "shop/prediction",
}
DATABASE = {"DB_HOST": "db", "DB_NAME": "cache", "DB_USER": "service", "DB_PASSWORD": SECRET}
IN_ORDER = [*BROKER, *DATABASE]
VALUES = {"DATABASE_URL": f"postgresql://service:{SECRET}@db/cache", "ADMIN_API_KEY": "0123456789abcdef" * 2}
SECRETS = [(attribute, field) for _, attribute, field in documented_variables() if is_secret(field)]


class Environment:
    """The service's variables, and no others of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        for _, _, field in documented_variables():
            for name in (*variable_names(field), *file_variables(field)):
                monkeypatch.delenv(name, raising=False)

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def unset(self, name: str) -> None:
        self._monkeypatch.delenv(name)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    return Environment(monkeypatch)


def problems(*, needs_broker: bool = True) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environment(needs_broker=needs_broker)
    return caught.value.problems


def test_all_that_is_missing_is_named_at_once(environment: Environment) -> None:
    assert problems() == tuple(MISSING.format(name=name) for name in IN_ORDER)
    assert problems()[0] == (
        "Cannot read MQTT_HOST env variable. Please, make sure it is set before starting the service."
    )


@pytest.mark.parametrize("name", IN_ORDER)
def test_the_one_that_is_missing_is_named(environment: Environment, name: str) -> None:
    environment.set(**BROKER | DATABASE)
    environment.unset(name)

    assert problems() == (MISSING.format(name=name),)


@pytest.mark.parametrize(("name", "blank"), [("MQTT_HOST", " , "), *((name, "") for name in IN_ORDER)])
def test_an_empty_variable_is_missing(environment: Environment, name: str, blank: str) -> None:
    environment.set(**BROKER | DATABASE | {name: blank})

    assert problems() == (MISSING.format(name=name),)


def test_an_empty_variable_takes_its_default(environment: Environment) -> None:
    environment.set(**BROKER, **DATABASE)
    for name, _, _ in documented_variables():
        if name not in BROKER | DATABASE and name != "LOG_FILENAME":
            environment.set(**{name: ""})
    settings = Settings.from_environment()

    assert (settings.db_port, settings.port, settings.mqtt_receive_maximum) == (5432, 8000, 1000)
    assert (settings.client_context_url, settings.prediction_threshold, settings.mock_endpoints) == (None, None, False)
    assert (settings.log_filename, settings.log_level, settings.model_dir) == ("messages.log", "INFO", BUILT_IN_MODEL)


def test_the_empty_log_file_name_means_no_log_file(environment: Environment) -> None:
    environment.set(LOG_FILENAME="")

    assert Settings.partial().log_filename == ""


def test_the_second_family_of_names_is_read(environment: Environment) -> None:
    environment.set(
        MQTT_HOST="broker",
        ENTER_TOPIC="shop/entry",
        FOCUS_TOPIC="shop/focus",
        COUPON_PREDICTION_TOPIC="shop/prediction",
        POSTGRES_HOST="db",
        POSTGRES_PORT="6543",
        POSTGRES_DB="cache",
        POSTGRES_USER="service",
        POSTGRES_PASSWORD=SECRET,
    )
    settings = Settings.from_environment()

    assert settings.entry_event_topic_name == "shop/entry"
    assert settings.focus_event_topic_name == "shop/focus"
    assert settings.coupon_prediction_topic_name == "shop/prediction"
    assert settings.postgres_url == f"postgresql://service:{SECRET}@db:6543/cache"


def test_the_documented_name_goes_before_its_alias_unless_it_is_empty(environment: Environment) -> None:
    environment.set(
        FOCUS_EVENT_TOPIC_NAME="documented", FOCUS_TOPIC="alias", ENTRY_EVENT_TOPIC_NAME="", ENTER_TOPIC="alias"
    )
    settings = Settings.partial()

    assert (settings.focus_event_topic_name, settings.entry_event_topic_name) == ("documented", "alias")


def test_without_a_broker_no_broker_variable_is_required(environment: Environment) -> None:
    environment.set(TESTING_NO_MQTT="yes", **DATABASE)

    settings = Settings.from_environment()

    assert settings.has_mock_endpoints


def test_without_a_database_no_database_variable_is_required(environment: Environment) -> None:
    environment.set(TESTING_NO_POSTGRES="1", **BROKER)

    assert not Settings.from_environment().has_mock_endpoints


def test_a_command_that_works_on_the_database_requires_no_broker(environment: Environment) -> None:
    environment.set(TESTING_NO_POSTGRES="1")

    assert problems(needs_broker=False) == tuple(MISSING.format(name=name) for name in DATABASE)


@pytest.mark.parametrize("value", ["1", "yes", "true", "True", "on"])
def test_the_mock_endpoints_are_asked_for_by_any_yes(environment: Environment, value: str) -> None:
    environment.set(MOCK_ENDPOINTS=value)

    assert Settings.partial().has_mock_endpoints


def test_one_url_names_the_database_instead_of_five_variables(environment: Environment) -> None:
    url = f"postgresql://service:{SECRET}@db/cache?sslmode=require"
    environment.set(DATABASE_URL=url, **BROKER, **DATABASE)

    assert Settings.from_environment().postgres_url == url


def test_names_and_passwords_are_quoted_in_the_url_of_the_database(environment: Environment) -> None:
    environment.set(DB_HOST="db", DB_NAME="a/b", DB_USER="a@b", DB_PASSWORD="p:/?#%")

    assert Settings.partial().postgres_url == "postgresql://a%40b:p%3A%2F%3F%23%25@db:5432/a%2Fb"


def test_a_port_that_kubernetes_sets_for_a_service_named_postgres_does_no_harm(environment: Environment) -> None:
    environment.set(POSTGRES_PORT="tcp://1.2.3.4:5433")
    alone = Settings.partial().db_port
    environment.set(DB_PORT="5432")

    assert (alone, Settings.partial().db_port) == (5433, 5432)


@pytest.mark.parametrize(
    ("variables", "brokers"),
    [
        ({"MQTT_HOST": "a"}, [("a", 1883)]),
        ({"MQTT_HOST": "a", "MQTT_PORT": "1884"}, [("a", 1884)]),
        ({"MQTT_HOST": "a, b:1885 ,,c", "MQTT_PORT": "1884"}, [("a", 1884), ("b", 1885), ("c", 1884)]),
        ({"MQTT_HOST": "a,b:1885", "MQTT_BROKER_CERT_FILE": "ca.pem"}, [("a", 8883), ("b", 1885)]),
        ({"MQTT_HOST": "[::1],[fe80::1]:1885"}, [("::1", 1883), ("fe80::1", 1885)]),
    ],
)
def test_each_broker_has_its_port_or_the_usual_one(
    environment: Environment, variables: dict[str, str], brokers: list[tuple[str, int]]
) -> None:
    environment.set(**variables)

    assert Settings.partial().brokers == brokers


def test_instances_can_have_a_status_topic_each(environment: Environment) -> None:
    environment.set(**BROKER, STATUS_TOPIC_NAME="shop/status/{client_id}", MQTT_CLIENT_ID="till-1")

    assert Settings.partial().status_topic == "shop/status/till-1"


def test_a_client_id_that_another_instance_would_use_for_its_entry_events_is_refused(environment: Environment) -> None:
    environment.set(**BROKER, **DATABASE, MQTT_CLIENT_ID="till-entry")

    with pytest.raises(ConfigurationError, match="-entry at its end is for entry events of another"):
        Settings.from_environment()


def test_a_client_id_that_makes_no_topic_is_refused(environment: Environment) -> None:
    environment.set(**BROKER, **DATABASE, STATUS_TOPIC_NAME="shop/status/{client_id}", MQTT_CLIENT_ID="till+1")

    with pytest.raises(ConfigurationError, match="Cannot make a topic for the status with MQTT_CLIENT_ID in it"):
        Settings.from_environment()


def test_topics_and_the_client_id_have_defaults_of_their_own(environment: Environment) -> None:
    environment.set(**BROKER, PORT="8123")
    default = Settings.partial()
    environment.set(DEAD_LETTER_TOPIC_NAME="dead", STATUS_TOPIC_NAME="status", MQTT_CLIENT_ID="till-1")
    named = Settings.partial()

    assert (default.dead_letter_topic, default.status_topic) == ("shop/focus/rejected", "shop/prediction/status")
    assert default.client_id.startswith("recommendation-service-")
    assert default.client_id.endswith("-8123")
    assert (named.dead_letter_topic, named.status_topic, named.client_id) == ("dead", "status", "till-1")


def test_departments_get_further_spellings(environment: Environment) -> None:
    environment.set(DEPARTMENT_ALIASES="Lads=Boys, Damen = Women,")

    assert Settings.partial().department_aliases == {"Lads": "Boys", "Damen": "Women"}


def test_what_is_assumed_of_an_unknown_customer_can_be_said(environment: Environment) -> None:
    environment.set(DEFAULT_CUSTOMER="gender=F,age=35,mean_buy_price=20.5")

    assert Settings.partial().unknown_customer == CustomerContext("", Gender.FEMALE, 35, 20.5, 5, 10.0, 30, 4, 50)


def test_values_are_read_as_what_they_mean(environment: Environment) -> None:
    environment.set(LOG_LEVEL=" warning ", OUTPUT_ID_TYPE="int", PREDICTION_THRESHOLD="0", MAX_EVENT_AGE_SECONDS="60")
    settings = Settings.partial()

    assert (settings.log_level, settings.output_id_type) == ("WARNING", IdType.INTEGER)
    assert (settings.prediction_threshold, settings.max_event_age_seconds) == (0.0, 60.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MQTT_HOST", "broker:wrong"),
        ("MQTT_HOST", "broker:70000"),
        ("MQTT_HOST", "broker:00"),
        ("MQTT_HOST", ":1883"),
        ("MQTT_HOST", "::1"),
        ("MQTT_PORT", "wrong"),
        ("MQTT_PORT", "70000"),
        ("MQTT_PROTOCOL_VERSION", "wrong"),
        ("FOCUS_EVENT_TOPIC_NAME", "shop/#/focus"),
        ("ENTRY_EVENT_TOPIC_NAME", "shop/entry+"),
        ("COUPON_PREDICTION_TOPIC_NAME", "shop/+"),
        ("DEAD_LETTER_TOPIC_NAME", "shop/#"),
        ("FOCUS_EVENT_TOPIC_NAME", "shop/\nfocus"),
        ("STATUS_TOPIC_NAME", "shop/\udcff"),
        ("MQTT_CLIENT_ID", "till\n1"),
        ("MQTT_CLIENT_ID", "till\udcff"),
        ("MQTT_USERNAME", "till\udcff"),
        ("MQTT_PASSWORD", "secret\udcff"),
        ("MQTT_SHARED_GROUP", "shop/service"),
        ("MQTT_SHARED_GROUP", "service#"),
        ("MESSAGE_EXPIRY_SECONDS", "4294967296"),
        ("MQTT_RECEIVE_MAXIMUM", "-77"),
        ("PREDICTION_THRESHOLD", "1.5"),
        ("PREDICTION_THRESHOLD", "nan"),
        ("PUBLISH_EMPTY_PREDICTION", "wrong"),
        ("OUTPUT_ID_TYPE", "wrong"),
        ("MAX_EVENT_AGE_SECONDS", "-77"),
        ("STORE_TIMEZONE", "Mars/Olympus"),
        ("STORE_TIMEZONE", "../../etc/passwd"),
        ("DEPARTMENT_ALIASES", "wrong"),
        ("DEPARTMENT_ALIASES", "=Boys"),
        ("CLIENT_CONTEXT_URL", "ftp://wrong"),
        ("COUPON_SCORER_URL", "wrong"),
        ("DEFAULT_CUSTOMER", "age=wrong"),
        ("DEFAULT_CUSTOMER", "age=-77"),
        ("DEFAULT_CUSTOMER", "gender=wrong"),
        ("DEFAULT_CUSTOMER", "mean_buy_price=inf"),
        ("DEFAULT_CUSTOMER", "customer_id=77"),
        ("DATABASE_URL", f"mysql://service:{SECRET}@db/cache"),
        ("DATABASE_URL", f"postgresql://service:{SECRET}/x@db/cache"),
        ("DATABASE_URL", f"host=db password={SECRET}"),
        ("CLIENT_CONTEXT_TIMEOUT_SECONDS", "inf"),
        ("COUPON_SCORER_TIMEOUT_SECONDS", "-77"),
        ("DB_PORT", "wrong"),
        ("POSTGRES_PORT", "wrong"),
        ("POSTGRES_PORT", "tcp://1.2.3.4"),
        ("DB_POOL_SIZE", "1"),
        ("PORT", "70000"),
        ("LOG_LEVEL", "wrong"),
        ("LOG_HASH_KEY", "fifteen letters"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_not_repeated(environment: Environment, name: str, value: str) -> None:
    environment.set(**BROKER | DATABASE | {name: value})

    (problem,) = problems()

    assert problem.startswith(f"Cannot use {name} env variable: ")
    assert value not in problem
    assert SECRET not in problem


def test_all_that_is_wrong_is_named_at_once(environment: Environment) -> None:
    environment.set(MQTT_PORT="x", LOG_LEVEL="y", PORT="z")

    assert [problem.split()[2] for problem in problems()] == ["MQTT_PORT", "PORT", "LOG_LEVEL"]


def test_events_may_be_read_from_many_topics_when_dead_letters_have_one_of_their_own(environment: Environment) -> None:
    environment.set(**BROKER | DATABASE | {"FOCUS_EVENT_TOPIC_NAME": "shop/+/focus"})
    without = problems()
    environment.set(DEAD_LETTER_TOPIC_NAME="shop/rejected")

    assert without == ("Cannot make a topic for dead letters of FOCUS_EVENT_TOPIC_NAME: set DEAD_LETTER_TOPIC_NAME.",)
    assert Settings.from_environment().focus_event_topic_name == "shop/+/focus"


@pytest.mark.parametrize(
    ("variables", "written", "reader"),
    [
        ({"DEAD_LETTER_TOPIC_NAME": "shop/focus"}, "DEAD_LETTER_TOPIC_NAME", "FOCUS_EVENT_TOPIC_NAME"),
        ({"STATUS_TOPIC_NAME": "shop/entry"}, "STATUS_TOPIC_NAME", "ENTRY_EVENT_TOPIC_NAME"),
        ({"FOCUS_EVENT_TOPIC_NAME": "shop/prediction"}, "COUPON_PREDICTION_TOPIC_NAME", "FOCUS_EVENT_TOPIC_NAME"),
        (
            {"FOCUS_EVENT_TOPIC_NAME": "+/focus/#", "DEAD_LETTER_TOPIC_NAME": "shop/focus"},
            "DEAD_LETTER_TOPIC_NAME",
            "FOCUS_EVENT_TOPIC_NAME",
        ),
        (
            {"ENTRY_EVENT_TOPIC_NAME": "shop/#", "STATUS_TOPIC_NAME": "s", "DEAD_LETTER_TOPIC_NAME": "d"},
            "COUPON_PREDICTION_TOPIC_NAME",
            "ENTRY_EVENT_TOPIC_NAME",
        ),
    ],
)
def test_what_the_service_writes_is_never_what_it_reads(
    environment: Environment, variables: dict[str, str], written: str, reader: str
) -> None:
    environment.set(**BROKER | DATABASE | variables)

    assert problems() == (
        f"Cannot use {written} env variable: {reader} would read it, too; choose a topic outside of that.",
    )


@pytest.mark.parametrize(
    ("topic_filter", "dead_letters"),
    [("shop/+", "shop/focus/rejected"), ("shop/focus/#", "shop/rejected"), ("#", "$rejected"), ("shop/+/focus", "d")],
)
def test_wildcards_leave_room_beside_them(environment: Environment, topic_filter: str, dead_letters: str) -> None:
    environment.set(**{**BROKER, **DATABASE, "COUPON_PREDICTION_TOPIC_NAME": "$prediction"})
    environment.set(FOCUS_EVENT_TOPIC_NAME=topic_filter, DEAD_LETTER_TOPIC_NAME=dead_letters)

    assert Settings.from_environment().dead_letter_topic == dead_letters


def test_a_file_that_never_ends_holds_no_secret(environment: Environment) -> None:
    environment.set(**BROKER, DB_PASSWORD_FILE="/dev/zero")

    with pytest.raises(ConfigurationError) as caught:
        Settings.partial()

    assert caught.value.problems == ("Cannot use DB_PASSWORD_FILE env variable: /dev/zero is too long for a secret.",)


def test_a_client_certificate_wants_its_key_and_the_brokers_certificate(
    environment: Environment, tmp_path: Path
) -> None:
    files = {name: str(tmp_path / name) for name in ("ca.pem", "client.pem", "client.key")}
    ca = trustme.CA()
    certificate = ca.issue_cert("service@shop.example")
    ca.cert_pem.write_to_path(files["ca.pem"])
    certificate.cert_chain_pems[0].write_to_path(files["client.pem"])
    certificate.private_key_pem.write_to_path(files["client.key"])
    environment.set(**BROKER | DATABASE, MQTT_CLIENT_CERT_FILE=files["client.pem"])
    alone = problems()
    environment.set(MQTT_CLIENT_KEY_FILE=files["client.key"], MQTT_BROKER_CERT_FILE=files["ca.pem"])

    assert [problem.partition(":")[0] for problem in alone] == [
        "Cannot use MQTT_CLIENT_CERT_FILE env variable",
        "Cannot use MQTT_CLIENT_CERT_FILE and MQTT_CLIENT_KEY_FILE env variables",
    ]
    assert Settings.from_environment().brokers == [("broker", 8883)]


def test_a_certificate_that_cannot_be_read_is_said(environment: Environment, tmp_path: Path) -> None:
    environment.set(**BROKER | DATABASE, MQTT_BROKER_CERT_FILE=str(tmp_path / "ca.pem"))

    assert problems() == (f"Cannot use MQTT_BROKER_CERT_FILE env variable: {tmp_path / 'ca.pem'} cannot be read.",)


def test_a_folder_without_a_model_is_said(environment: Environment, tmp_path: Path) -> None:
    environment.set(**BROKER | DATABASE, MODEL_DIR=str(tmp_path))

    assert problems() == (f"Cannot use MODEL_DIR env variable: there is no model in {tmp_path}.",)
    assert Settings.from_environment(needs_broker=False).model_dir == tmp_path


def test_secrets_are_in_no_text_of_the_settings(environment: Environment) -> None:
    url = f"postgresql://service:{SECRET}@db/cache"
    environment.set(MQTT_PASSWORD=SECRET, DB_PASSWORD=SECRET, DATABASE_URL=url)
    settings = Settings.partial()

    texts = [repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()]
    assert [text for text in texts if SECRET in text] == []
    assert settings.postgres_url == url


def test_secrets_are_in_no_error(environment: Environment) -> None:
    environment.set(MQTT_PASSWORD=SECRET, DB_PASSWORD=SECRET, DATABASE_URL=f"mysql://u:{SECRET}@db/x", PORT="z")

    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environment()

    chain: BaseException | None = caught.value
    while chain is not None:
        assert SECRET not in f"{chain!r}{chain}"
        chain = chain.__context__


def test_every_variable_is_documented_with_a_name_and_a_meaning() -> None:
    for name, attribute, field in documented_variables():
        assert name.isupper()
        assert attribute == name.lower()
        assert field.description


def test_the_secrets_are_the_passwords_the_url_and_the_key() -> None:
    names = {attribute.upper() for attribute, _ in SECRETS}

    assert names >= {"MQTT_PASSWORD", "DB_PASSWORD", "DATABASE_URL", "LOG_HASH_KEY"}


@pytest.mark.parametrize(
    ("attribute", "name", "variable"),
    [
        (attribute, name, variable)
        for attribute, field in SECRETS
        for name, variable in zip(variable_names(field), file_variables(field), strict=True)
    ],
)
class TestSecretInFile:
    """Every secret, by its name and by its aliases."""

    def test_it_is_read_without_the_newline_at_its_end(
        self, environment: Environment, tmp_path: Path, attribute: str, name: str, variable: str
    ) -> None:
        value = VALUES.get(name, f" {SECRET} ")
        path = tmp_path / "secret"
        path.write_text(f"{value}\n")
        environment.set(**{variable: str(path), name: ""})

        assert getattr(Settings.partial(), attribute).get_secret_value() == value

    def test_it_is_not_set_in_both_ways(
        self, environment: Environment, tmp_path: Path, attribute: str, name: str, variable: str
    ) -> None:
        path = tmp_path / "secret"
        path.write_text(SECRET)
        environment.set(**{variable: str(path), name: VALUES.get(name, SECRET)})

        assert problems()[0] == f"Cannot use {variable} env variable: {name} is set, too; unset one of them."

    @pytest.mark.parametrize(
        ("content", "why"),
        [(b"", "is empty"), (b"\n", "is empty"), (b"\xff", "is not a text in UTF-8"), (None, "cannot be read")],
    )
    def test_a_file_that_holds_none_is_named_with_its_path(
        self,
        environment: Environment,
        tmp_path: Path,
        attribute: str,
        name: str,
        variable: str,
        content: bytes | None,
        why: str,
    ) -> None:
        path = tmp_path / "secret"
        if content is not None:
            path.write_bytes(content)
        environment.set(**BROKER | {variable: str(path)})

        with pytest.raises(ConfigurationError) as caught:
            Settings.partial()

        assert caught.value.problems == (f"Cannot use {variable} env variable: {path} {why}.",)


def test_two_newlines_at_the_end_of_a_file_are_one_too_many(environment: Environment, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n\n")
    environment.set(DB_PASSWORD_FILE=str(path))
    password = Settings.partial().db_password

    assert password is not None
    assert password.get_secret_value() == f"{SECRET}\n"


@pytest.mark.parametrize(
    ("name", "value"), [("DATABASE_URL", f"mysql://service:{SECRET}@db"), ("LOG_HASH_KEY", "short")]
)
def test_what_is_wrong_in_a_file_is_said_of_its_variable_and_not_repeated(
    environment: Environment, tmp_path: Path, name: str, value: str
) -> None:
    path = tmp_path / "secret"
    path.write_text(value)
    environment.set(**BROKER | DATABASE | {f"{name}_FILE": str(path)})

    (problem,) = problems()

    assert problem.startswith(f"Cannot use {name}_FILE env variable: must ")
    assert value not in problem


def test_files_and_values_that_are_wrong_are_named_at_once(environment: Environment, tmp_path: Path) -> None:
    environment.set(MQTT_PASSWORD_FILE=str(tmp_path / "none"), PORT="z")

    assert [problem.split()[2] for problem in problems()] == ["MQTT_PASSWORD_FILE", "PORT"]


def test_no_variable_is_both_a_file_of_a_secret_and_something_else() -> None:
    names = [
        name for _, _, field in documented_variables() for name in (*variable_names(field), *file_variables(field))
    ]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("value", ["short", "x" * 31, "x" * 31 + " ", "x" * 31 + "\t", "ż" * 32, "x" * 513])
def test_an_admin_key_that_could_be_guessed_or_not_be_sent_is_refused_and_not_shown(
    environment: Environment, value: str
) -> None:
    environment.set(ADMIN_API_KEY=value)

    with pytest.raises(ConfigurationError) as caught:
        Settings.partial()

    assert str(caught.value).startswith("Cannot use ADMIN_API_KEY env variable: must have 32 characters or more")
    assert value not in str(caught.value)
