"""The configuration: the only reader of the environment.

docs/configuration.md, the table in README.md and `.environment.variables.sh` are generated from the fields of
`Settings`. Every secret (a field of the type SecretStr) may come from a file instead, named by `<NAME>_FILE`.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import quote
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.domain.customer import CustomerContext, Gender
from app.errors import ConfigurationError
from app.results import IdType
from app.tls import FileRefused, client_context

EXIT_CODE = 78  # EX_CONFIG of sysexits.h
MISSING = "Cannot read {name} env variable. Please, make sure it is set before starting the service."
UINT32_MAX = 2**32 - 1
ENTRY_SUFFIX = "-entry"  # tells the link of entry events from that of focus events
PROJECT = Path(__file__).parent.parent
BUILT_IN_MODEL = Path(__file__).parent / "models" / "default"
LAST_PORT = 65535
MIN_KEY_LENGTH = 16
MAX_SECRET_LENGTH = 64 * 1024
FILE_SUFFIX = "_FILE"
BROKER = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:\[\]]+)(:(?P<port>\d{1,5}))?", re.ASCII)
HOST = r"(\[[^\[\]]+\]|[^/?#@:,\[\]]+)(:\d+)?"
POSTGRES_URL = re.compile(rf"postgres(ql)?://([^/?#]*@)?({HOST}(,{HOST})*)?(/[^?#]*)?(\?[^#]*)?", re.ASCII)
API_KEY = re.compile(r"[!-~]{32,512}")
UNSENDABLE = re.compile(r"[\0-\x1f\x7f-\x9f\ud800-\udfff]")  # of the last kind are bytes that are no UTF-8


def _variable(*names: str, default: Any, description: str, example: str = "", essential: bool = False) -> Any:
    """A field for the variable of the first name; the others are read, too. README.md tells of the essential ones."""
    return Field(
        default=default,
        validation_alias=AliasChoices(*names),
        description=description,
        json_schema_extra={"example": example, "essential": essential},
    )


def _key_value_pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if not all(left.strip() and right.strip() for left, _, right in pairs):
        raise ValueError("must look like alias=name,alias=name")
    return {left.strip(): right.strip() for left, _, right in pairs}


def _hosts(value: object) -> object:
    return [host.strip() for host in value.split(",") if host.strip()] if isinstance(value, str) else value


def _broker(text: str) -> tuple[str, int | None]:
    """Host and port. Raises ValueError."""
    match = BROKER.fullmatch(text)
    if match is None or not 1 <= int(match["port"] or 1) <= LAST_PORT:
        raise ValueError("must be host or host:port, comma-separated; an IPv6 address in brackets")
    return match["host"].strip("[]"), int(match["port"]) if match["port"] else None


def _service_port(value: object) -> object:
    """Kubernetes sets POSTGRES_PORT=tcp://address:port where a service is named postgres."""
    return value.rpartition(":")[2] if isinstance(value, str) and value.startswith("tcp://") else value


def _has_wildcard(topic: str) -> bool:
    return any(character in topic for character in "+#\0")


def _matches(topic_filter: str, topic: str) -> bool:
    """Whether who subscribes to the filter gets what is published on the topic."""
    if topic_filter.startswith("$") != topic.startswith("$"):
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        del wanted[-1], levels[len(wanted) :]
    return len(wanted) == len(levels) and all(one in ("+", level) for one, level in zip(wanted, levels, strict=True))


def _sendable(value: str) -> str:
    if UNSENDABLE.search(value):
        raise ValueError("must be text in UTF-8 without control characters: brokers refuse others")
    return value


def _group(value: str) -> str:
    if "/" in value or _has_wildcard(value):
        raise ValueError("must be a name without /, + and #: brokers end it at the first /")
    return value


def _topic(value: str) -> str:
    if _has_wildcard(value):
        raise ValueError("must be a topic to publish on: + and # are for subscriptions")
    return value


def _topic_filter(value: str) -> str:
    levels = value.split("/")
    if (
        "\0" in value
        or any(("+" in level or "#" in level) and len(level) > 1 for level in levels)
        or "#" in levels[:-1]
    ):
        raise ValueError("must be a topic filter: + stands for a whole level, # for all levels at the end")
    return value


MqttText = Annotated[str, AfterValidator(_sendable)]
Topic = Annotated[MqttText, AfterValidator(_topic)]
TopicFilter = Annotated[MqttText, AfterValidator(_topic_filter)]
Group = Annotated[MqttText, AfterValidator(_group)]
Pairs = Annotated[dict[str, str], NoDecode, BeforeValidator(_key_value_pairs)]
Hosts = Annotated[list[str], NoDecode, BeforeValidator(_hosts)]
Port = Annotated[int, Field(ge=1, le=LAST_PORT)]


class Settings(BaseSettings):
    """One field for each variable, in the order of the documentation."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, hide_input_in_errors=True, extra="ignore", frozen=True, populate_by_name=False
    )

    # Broker
    mqtt_host: Hosts = _variable(
        "MQTT_HOST",
        default=[],
        description="Brokers, comma-separated, each `host[:port]`; tried in order, failed over.",
        example="127.0.0.1",
        essential=True,
    )
    mqtt_port: Port | None = _variable(
        "MQTT_PORT", default=None, description="Port of brokers named without one; 1883, or 8883 with TLS."
    )
    mqtt_username: MqttText | None = _variable("MQTT_USERNAME", default=None, description="User name at the broker.")
    mqtt_password: SecretStr | None = _variable("MQTT_PASSWORD", default=None, description="Password at the broker.")
    mqtt_broker_cert_file: Path | None = _variable(
        "MQTT_BROKER_CERT_FILE",
        default=None,
        description="CA bundle that signs the broker's certificate: turns TLS on.",
    )
    mqtt_client_cert_file: Path | None = _variable(
        "MQTT_CLIENT_CERT_FILE", default=None, description="Client certificate for the broker."
    )
    mqtt_client_key_file: Path | None = _variable(
        "MQTT_CLIENT_KEY_FILE", default=None, description="Key of the client certificate."
    )
    entry_event_topic_name: TopicFilter = _variable(
        "ENTRY_EVENT_TOPIC_NAME",
        "ENTER_TOPIC",
        default="",
        description="Topic of entry events.",
        example="customer/enter",
        essential=True,
    )
    focus_event_topic_name: TopicFilter = _variable(
        "FOCUS_EVENT_TOPIC_NAME",
        "FOCUS_TOPIC",
        default="",
        description="Topic of focus events.",
        example="customer/focus",
        essential=True,
    )
    coupon_prediction_topic_name: Topic = _variable(
        "COUPON_PREDICTION_TOPIC_NAME",
        "COUPON_PREDICTION_TOPIC",
        default="",
        description="Topic that prediction results are published on.",
        example="customer/prediction",
        essential=True,
    )
    dead_letter_topic_name: Topic = _variable(
        "DEAD_LETTER_TOPIC_NAME",
        default="",
        description="Topic of refused events, with the reason; default `<focus topic>/rejected`.",
    )
    status_topic_name: Topic = _variable(
        "STATUS_TOPIC_NAME",
        default="",
        description="Topic of the retained status, with what is missing; default `<prediction topic>/status`. "
        "`{client_id}` in it stands for the instance's.",
    )
    mqtt_client_id: MqttText = _variable(
        "MQTT_CLIENT_ID",
        default="",
        description="Client id, stable for each instance: its events wait for it. Default: from host name and port.",
        essential=True,
    )
    mqtt_protocol_version: Literal["MQTTv5", "MQTTv311"] = _variable(
        "MQTT_PROTOCOL_VERSION",
        default="MQTTv5",
        description="`MQTTv5`, or `MQTTv311`; a broker that refuses 5 is spoken to in 3.1.1.",
    )
    mqtt_shared_group: Group = _variable(
        "MQTT_SHARED_GROUP",
        default="",
        description="Subscribe as `$share/<group>/<topic>`, so that instances share the events; empty: plain.",
    )
    mqtt_keepalive_seconds: Annotated[int, Field(ge=5, le=600)] = _variable(
        "MQTT_KEEPALIVE_SECONDS", default=15, description="A broker silent for one and a half times this is away."
    )
    mqtt_session_expiry_seconds: Annotated[int, Field(ge=0, le=UINT32_MAX)] = _variable(
        "MQTT_SESSION_EXPIRY_SECONDS",
        default=7 * 24 * 3600,
        description="The broker keeps events for an instance that is away for so long (MQTT 5).",
    )
    mqtt_receive_maximum: Annotated[int, Field(ge=1, le=65535)] = _variable(
        "MQTT_RECEIVE_MAXIMUM", default=500, description="Most events in work at a time: the back-pressure (MQTT 5)."
    )

    # Results
    prediction_threshold: Annotated[float, Field(ge=0, le=1)] | None = _variable(
        "PREDICTION_THRESHOLD",
        default=None,
        description="A coupon must score above this; default: from the model's card.",
        essential=True,
    )
    publish_empty_prediction: bool = _variable(
        "PUBLISH_EMPTY_PREDICTION",
        default=False,
        description="Publish a result without a coupon, with the reason.",
        essential=True,
    )
    output_id_type: IdType = _variable(
        "OUTPUT_ID_TYPE", default=IdType.STRING, description="Ids in results: `str` or `int`."
    )
    max_products_in_message: Annotated[int, Field(ge=0)] = _variable(
        "MAX_PRODUCTS_IN_MESSAGE", default=0, description="Most products listed in a result; 0: all."
    )
    message_expiry_seconds: Annotated[int, Field(ge=0, le=UINT32_MAX)] = _variable(
        "MESSAGE_EXPIRY_SECONDS", default=86400, description="Results that nobody fetched expire after this; 0: never."
    )
    max_event_age_seconds: Annotated[float, Field(gt=0)] | None = _variable(
        "MAX_EVENT_AGE_SECONDS",
        default=None,
        description="Older focus events get the decision `late_event`; empty: off.",
    )
    store_timezone: str = _variable(
        "STORE_TIMEZONE",
        default="UTC",
        description="Time zone in which a coupon's first and last day are judged.",
        essential=True,
    )
    department_aliases: Pairs = _variable(
        "DEPARTMENT_ALIASES",
        default={},
        description="Further spellings of departments, `alias=name`, comma-separated (`Sport=Sports` is known).",
    )

    # Central
    client_context_url: str | None = _variable(
        "CLIENT_CONTEXT_URL",
        default=None,
        description="Base URL of the central, asked at `{url}/get_context/{id}`; empty: cache only.",
        example="http://127.0.0.1:8001",
        essential=True,
    )
    client_context_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = _variable(
        "CLIENT_CONTEXT_TIMEOUT_SECONDS",
        default=1.0,
        description="Deadline for one answer of the central, retry included.",
    )
    client_context_ttl_seconds: Annotated[float, Field(ge=0, le=UINT32_MAX)] = _variable(
        "CLIENT_CONTEXT_TTL_SECONDS",
        default=3600,
        description="A context from the central is fresh for this long; an older one is fetched again on entry.",
    )
    default_customer: Pairs = _variable(
        "DEFAULT_CUSTOMER",
        default={},
        description="What is assumed of an unknown customer, e.g. `gender=F,age=35,mean_buy_price=20`.",
    )

    # Scorer
    model_dir: Path = _variable(
        "MODEL_DIR",
        default=BUILT_IN_MODEL,
        description="Folder of the model (`model.skops`, `card.json`).",
    )
    coupon_scorer_url: str | None = _variable(
        "COUPON_SCORER_URL",
        default=None,
        description="Outside prediction service, asked at this URL; empty: the model in the process.",
    )
    coupon_scorer_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = _variable(
        "COUPON_SCORER_TIMEOUT_SECONDS",
        default=0.3,
        description="Deadline for the outside prediction service, retry included; then the model in the process.",
    )

    # Database
    database_url: SecretStr | None = _variable(
        "DATABASE_URL", default=None, description="PostgreSQL as one URL, instead of the five `DB_` variables."
    )
    db_host: str = _variable(
        "DB_HOST", "POSTGRES_HOST", default="", description="PostgreSQL host.", example="127.0.0.1", essential=True
    )
    db_port: Annotated[Port, BeforeValidator(_service_port)] = _variable(
        "DB_PORT", "POSTGRES_PORT", default=5432, description="PostgreSQL port."
    )
    db_name: str = _variable(
        "DB_NAME",
        "POSTGRES_DB",
        "POSTGRES_NAME",
        default="",
        description="Database.",
        example="recommendation",
        essential=True,
    )
    db_user: str = _variable(
        "DB_USER", "POSTGRES_USER", default="", description="Database user.", example="recommendation", essential=True
    )
    db_password: SecretStr | None = _variable(
        "DB_PASSWORD",
        "POSTGRES_PASSWORD",
        default=None,
        description="Password of the user.",
        example="recommendation",
        essential=True,
    )
    db_pool_size: Annotated[int, Field(ge=2, le=100)] = _variable(
        "DB_POOL_SIZE", default=8, description="Most connections to PostgreSQL."
    )

    retention_days: Annotated[int, Field(ge=0, le=36_500)] = _variable(
        "RETENTION_DAYS",
        default=90,
        description="Decisions and dead letters are deleted after so many days; 0: kept for ever.",
    )

    # Process
    port: Port = _variable("PORT", default=8000, description="HTTP port of `python -m app serve`; 80 in the image.")
    mock_endpoints: bool = _variable(
        "MOCK_ENDPOINTS", default=False, description="Offer `/mock_entry` and `/mock_focus` beside MQTT."
    )
    admin_api_key: SecretStr | None = _variable(
        "ADMIN_API_KEY",
        default=None,
        description="An API key with the role admin, beside those of `python -m app key`; 32 characters or more.",
    )
    http_rate_limit: Annotated[int, Field(ge=0, le=1_000_000)] = _variable(
        "HTTP_RATE_LIMIT",
        default=100,
        description="Most HTTP requests of one client in a second, health aside; 0: no limit.",
    )
    testing_no_mqtt: bool = _variable(
        "TESTING_NO_MQTT", default=False, description="No broker: events come in by the mock endpoints alone."
    )
    testing_no_postgres: bool = _variable(
        "TESTING_NO_POSTGRES", default=False, description="No database: everything in memory, coupons from `DATA_DIR`."
    )
    testing_no_scoring_service: bool = _variable(
        "TESTING_NO_SCORING_SERVICE", default=False, description="Ignore `COUPON_SCORER_URL`: the model in the process."
    )
    data_dir: Path = _variable(
        "DATA_DIR",
        default=PROJECT / "data4db",
        description="The four CSV files, for `TESTING_NO_POSTGRES` and the central.",
    )
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        BeforeValidator(lambda value: value.strip().upper() if isinstance(value, str) else value),
    ] = _variable(
        "LOG_LEVEL", default="INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL, in any case.", essential=True
    )
    log_filename: str = _variable(
        "LOG_FILENAME", default="messages.log", description="Log file beside the console; empty: console only."
    )
    log_hash_key: SecretStr | None = _variable(
        "LOG_HASH_KEY",
        default=None,
        description="Key of the hashes that replace customers in logs, 16 characters at least; empty: new each start.",
        essential=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        if os.environ.get("LOG_FILENAME") == "":
            values = {"LOG_FILENAME": "", **values}
        return {name: value for name, value in values.items() if value != "" or name == "LOG_FILENAME"}

    @field_validator("store_timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("must be a time zone name such as Europe/Warsaw") from None
        return value

    @field_validator("client_context_url", "coupon_scorer_url")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value

    @field_validator("database_url")
    @classmethod
    def _postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and POSTGRES_URL.fullmatch(value.get_secret_value()) is None:
            raise ValueError(
                "must look like postgresql://user:password@host:port/database, special characters percent-encoded"
            )
        return value

    @field_validator("mqtt_password")
    @classmethod
    def _can_be_sent(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            (value or SecretStr("")).get_secret_value().encode()
        except UnicodeEncodeError:
            raise ValueError("must be text in UTF-8") from None
        return value

    @field_validator("log_hash_key")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_KEY_LENGTH:
            raise ValueError(f"must have at least {MIN_KEY_LENGTH} characters: who guesses it can undo the hashes")
        return value

    @field_validator("admin_api_key")
    @classmethod
    def _is_api_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and API_KEY.fullmatch(value.get_secret_value()) is None:
            raise ValueError("must have 32 characters or more, ASCII without blanks: `openssl rand -hex 32` makes some")
        return value

    @field_validator("mqtt_host")
    @classmethod
    def _can_be_addressed(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            _broker(host)
        return hosts

    @field_validator("default_customer")
    @classmethod
    def _is_customer(cls, value: dict[str, str]) -> dict[str, str]:
        customer_with(value)
        return value

    @classmethod
    def from_environment(cls, *, needs_broker: bool = True) -> "Settings":
        """All that the service needs; without `needs_broker`, what a command needs that works on the database alone.

        Raises ConfigurationError with a sentence for each variable that is missing or wrong.
        """
        settings = cls.partial()
        wanted: list[str] = []
        if needs_broker and not settings.testing_no_mqtt:
            wanted += ["MQTT_HOST", "ENTRY_EVENT_TOPIC_NAME", "FOCUS_EVENT_TOPIC_NAME", "COUPON_PREDICTION_TOPIC_NAME"]
        if settings.database_url is None and not (needs_broker and settings.testing_no_postgres):
            wanted += ["DB_HOST", "DB_NAME", "DB_USER", "DB_PASSWORD"]
        missing = [name for name in wanted if not getattr(settings, name.lower())]
        problems = [MISSING.format(name=name) for name in missing]
        if needs_broker and not settings.testing_no_mqtt:
            problems += _broker_problems(settings)
        if needs_broker and not (settings.model_dir / "card.json").is_file():
            problems.append(f"Cannot use MODEL_DIR env variable: there is no model in {settings.model_dir}.")
        if problems:
            raise ConfigurationError(problems)
        return settings

    @classmethod
    def partial(cls) -> "Settings":
        """Whatever is set, with no demand. Raises ConfigurationError for what is wrong."""
        secrets, problems = _secrets_in_files()
        try:
            settings = cls(**secrets)
        except ValidationError as error:
            problems += [_sentence(details) for details in error.errors(include_url=False, include_input=False)]
            raise ConfigurationError(problems) from None
        if problems:
            raise ConfigurationError(problems)
        return settings

    @property
    def brokers(self) -> list[tuple[str, int]]:
        """Host and port of each broker, in the order to try them."""
        default = self.mqtt_port or (8883 if self.mqtt_broker_cert_file else 1883)
        return [(host, port or default) for host, port in map(_broker, self.mqtt_host)]

    def broker_tls(self) -> ssl.SSLContext | None:
        """The terms of TLS to the broker; None: without. Raises FileRefused or OSError."""
        if self.mqtt_broker_cert_file is None:
            return None
        return client_context(self.mqtt_broker_cert_file, self.mqtt_client_cert_file, self.mqtt_client_key_file)

    @property
    def dead_letter_topic(self) -> str:
        """Where refused events go."""
        return self.dead_letter_topic_name or f"{self.focus_event_topic_name}/rejected"

    @property
    def status_topic(self) -> str:
        """Where the service says that it is online."""
        topic = self.status_topic_name or f"{self.coupon_prediction_topic_name}/status"
        return topic.replace("{client_id}", self.client_id)

    @property
    def client_id(self) -> str:
        """The instance's name at the broker."""
        return self.mqtt_client_id or f"recommendation-service-{socket.gethostname()}-{self.port}"

    @property
    def postgres_url(self) -> str:
        """The database as one URL, password included: never show it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        password = self.db_password.get_secret_value() if self.db_password else ""
        credentials = f"{quote(self.db_user, safe='')}:{quote(password, safe='')}"
        return f"postgresql://{credentials}@{self.db_host}:{self.db_port}/{quote(self.db_name, safe='')}"

    @property
    def has_mock_endpoints(self) -> bool:
        """Whether events are taken over HTTP."""
        return self.mock_endpoints or self.testing_no_mqtt

    @property
    def unknown_customer(self) -> CustomerContext:
        """What is assumed of a customer whom neither the cache nor the central knows."""
        return customer_with(self.default_customer)


def _broker_problems(settings: Settings) -> Iterator[str]:
    """What is wrong about variables together."""
    if _has_wildcard(settings.dead_letter_topic):
        yield "Cannot make a topic for dead letters of FOCUS_EVENT_TOPIC_NAME: set DEAD_LETTER_TOPIC_NAME."
    if settings.client_id.endswith(ENTRY_SUFFIX):
        yield f"Cannot use MQTT_CLIENT_ID env variable: {ENTRY_SUFFIX} at its end is for entry events of another."
    if _has_wildcard(settings.status_topic):
        yield "Cannot make a topic for the status with MQTT_CLIENT_ID in it: choose one without + and #."
    yield from _circles(settings)
    if settings.mqtt_client_cert_file is not None and settings.mqtt_broker_cert_file is None:
        yield "Cannot use MQTT_CLIENT_CERT_FILE env variable: TLS needs MQTT_BROKER_CERT_FILE."
    yield from _tls_problems(settings)


def _circles(settings: Settings) -> Iterator[str]:
    """What is written must not be read as an event: it would be refused with a dead letter, and that one, for ever."""
    written = (
        ("COUPON_PREDICTION_TOPIC_NAME", settings.coupon_prediction_topic_name),
        ("DEAD_LETTER_TOPIC_NAME", settings.dead_letter_topic),
        ("STATUS_TOPIC_NAME", settings.status_topic),
    )
    read = (
        ("ENTRY_EVENT_TOPIC_NAME", settings.entry_event_topic_name),
        ("FOCUS_EVENT_TOPIC_NAME", settings.focus_event_topic_name),
    )
    for name, topic in written:
        for reader, topic_filter in read:
            if topic and topic_filter and not _has_wildcard(topic) and _matches(topic_filter, topic):
                yield f"Cannot use {name} env variable: {reader} would read it, too; choose a topic outside of that."


def _tls_problems(settings: Settings) -> Iterator[str]:
    has_key = (settings.mqtt_client_cert_file is None) == (settings.mqtt_client_key_file is None)
    if not has_key:
        yield "Cannot use MQTT_CLIENT_CERT_FILE and MQTT_CLIENT_KEY_FILE env variables: both are needed."
    names = ("mqtt_broker_cert_file", "mqtt_client_cert_file", "mqtt_client_key_file")
    paths = [(name.upper(), path) for name in names if (path := getattr(settings, name)) is not None]
    unreadable = [(name, path) for name, path in paths if not (path.is_file() and os.access(path, os.R_OK))]
    for name, path in unreadable:
        yield f"Cannot use {name} env variable: {path} cannot be read."
    if has_key and not unreadable:
        try:
            settings.broker_tls()
        except FileRefused as error:
            yield str(error)


def _secrets_in_files() -> tuple[dict[str, Any], list[str]]:
    """The secrets that files hold, by documented name, and a sentence for each that cannot be read."""
    secrets: dict[str, Any] = {}
    problems: list[str] = []
    for name, _, field in documented_variables():
        given = next((file for file in file_variables(field) if os.environ.get(file)), None)
        if given is None:
            continue
        value = next((other for other in variable_names(field) if os.environ.get(other)), None)
        try:
            if value is not None:
                raise ValueError(f"{value} is set, too; unset one of them")
            secrets[name] = _content(Path(os.environ[given]))
        except ValueError as error:
            problems.append(f"Cannot use {given} env variable: {error}.")
    return secrets, problems


def _content(path: Path) -> str:
    """What the file holds, without the newline at its end. Raises ValueError."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_SECRET_LENGTH + 1).removesuffix("\n")
    except OSError:
        raise ValueError(f"{path} cannot be read") from None
    except ValueError:
        raise ValueError(f"{path} is not a text in UTF-8") from None
    if not text:
        raise ValueError(f"{path} is empty")
    if len(text) > MAX_SECRET_LENGTH:
        raise ValueError(f"{path} is too long for a secret")
    return text


def customer_with(values: Mapping[str, str]) -> CustomerContext:
    """A middling customer, with these fields replaced. Raises ValueError."""
    readers: dict[str, Any] = dict.fromkeys(CustomerContext.__slots__, _whole_number)
    readers |= {"gender": Gender, "mean_buy_price": _amount, "mean_discount_received": _amount}
    del readers["customer_id"]
    fields: dict[str, Any] = {
        "gender": Gender.UNKNOWN,
        "age": 38,
        "mean_buy_price": 30.0,
        "total_coupons_used": 5,
        "mean_discount_received": 10.0,
        "unique_products_bought": 30,
        "unique_products_bought_with_coupons": 4,
        "total_items_bought": 50,
    }
    for name, value in values.items():
        if name not in readers:
            raise ValueError(f"has no field {name!r}; there are: {', '.join(readers)}")
        try:
            fields[name] = readers[name](value)
        except ValueError:
            raise ValueError(f"has a value for {name!r} that cannot be used") from None
    return CustomerContext(customer_id="", **fields)


def _whole_number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("must not be negative")
    return number


def _amount(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError("must not be negative")
    return number


def _sentence(details: ErrorDetails) -> str:
    documented = str(details["loc"][0]).upper()
    field = next(field for _, _, field in documented_variables() if documented in variable_names(field))
    name = next((name for name in (*variable_names(field), *file_variables(field)) if os.environ.get(name)), documented)
    return f"Cannot use {name} env variable: {details['msg'].removeprefix('Value error, ')}."


def documented_variables() -> list[tuple[str, str, FieldInfo]]:
    """Each documented name with its attribute of Settings and its field, in order."""
    return [(variable_names(field)[0], attribute, field) for attribute, field in Settings.model_fields.items()]


def variable_names(field: FieldInfo) -> list[str]:
    """The documented name of a variable and its aliases."""
    choices = field.validation_alias
    return [str(choice) for choice in choices.choices] if isinstance(choices, AliasChoices) else []


def is_secret(field: FieldInfo) -> bool:
    """Whether nobody may see the value, and a file may hold it."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def file_variables(field: FieldInfo) -> list[str]:
    """The variables that name a file with a secret's value, for the documented name and the aliases."""
    return [f"{name}{FILE_SUFFIX}" for name in variable_names(field)] if is_secret(field) else []


def environment() -> dict[str, str]:
    """The whole environment, to hand on to a child process."""
    return dict(os.environ)
