"""The configuration: the only reader of the environment.

docs/configuration.md, the table in README.md and `.environment.variables.sh` are generated from the fields of
`Settings`. Every secret (a field of the type SecretStr) may come from a file instead, named by `<NAME>_FILE`.
"""

import os
import socket
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.domain.customer import CustomerContext
from app.errors import ConfigurationError
from app.results import IdType
from app.settings.problems import ENTRY_SUFFIX, broker_problems
from app.settings.values import (
    API_KEY,
    POSTGRES_URL,
    UINT32_MAX,
    Group,
    Hosts,
    MqttText,
    Pairs,
    Port,
    Topic,
    TopicFilter,
    broker,
    customer_with,
    service_port,
    variable,
)
from app.settings.variables import environment, file_variables, is_secret, secrets_in_files, variable_names
from app.tls import client_context

__all__ = [
    "BUILT_IN_MODEL",
    "ENTRY_SUFFIX",
    "EXIT_CODE",
    "MISSING",
    "Settings",
    "customer_with",
    "documented_variables",
    "environment",
    "file_variables",
    "is_secret",
    "variable_names",
]

EXIT_CODE = 78  # EX_CONFIG of sysexits.h
MISSING = "Cannot read {name} env variable. Please, make sure it is set before starting the service."
APP = Path(__file__).parents[1]
BUILT_IN_MODEL = APP / "models" / "default"
MIN_KEY_LENGTH = 16


class Settings(BaseSettings):
    """One field for each variable, in the order of the documentation."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, hide_input_in_errors=True, extra="ignore", frozen=True, populate_by_name=False
    )

    # Broker
    mqtt_host: Hosts = variable(
        "MQTT_HOST",
        default=[],
        description="Brokers, comma-separated, each `host[:port]`; tried in order, failed over.",
        example="127.0.0.1",
        essential=True,
    )
    mqtt_port: Port | None = variable(
        "MQTT_PORT", default=None, description="Port of brokers named without one; 1883, or 8883 with TLS."
    )
    mqtt_username: MqttText | None = variable("MQTT_USERNAME", default=None, description="User name at the broker.")
    mqtt_password: SecretStr | None = variable("MQTT_PASSWORD", default=None, description="Password at the broker.")
    mqtt_broker_cert_file: Path | None = variable(
        "MQTT_BROKER_CERT_FILE",
        default=None,
        description="CA bundle that signs the broker's certificate: turns TLS on.",
    )
    mqtt_client_cert_file: Path | None = variable(
        "MQTT_CLIENT_CERT_FILE", default=None, description="Client certificate for the broker."
    )
    mqtt_client_key_file: Path | None = variable(
        "MQTT_CLIENT_KEY_FILE", default=None, description="Key of the client certificate."
    )
    entry_event_topic_name: TopicFilter = variable(
        "ENTRY_EVENT_TOPIC_NAME",
        "ENTER_TOPIC",
        default="",
        description="Topic of entry events.",
        example="customer/enter",
        essential=True,
    )
    focus_event_topic_name: TopicFilter = variable(
        "FOCUS_EVENT_TOPIC_NAME",
        "FOCUS_TOPIC",
        default="",
        description="Topic of focus events.",
        example="customer/focus",
        essential=True,
    )
    coupon_prediction_topic_name: Topic = variable(
        "COUPON_PREDICTION_TOPIC_NAME",
        "COUPON_PREDICTION_TOPIC",
        default="",
        description="Topic that prediction results are published on.",
        example="customer/prediction",
        essential=True,
    )
    dead_letter_topic_name: Topic = variable(
        "DEAD_LETTER_TOPIC_NAME",
        default="",
        description="Topic of refused events, with the reason; default `<focus topic>/rejected`.",
    )
    status_topic_name: Topic = variable(
        "STATUS_TOPIC_NAME",
        default="",
        description="Topic of the retained status, with what is missing; default `<prediction topic>/status`. "
        "`{client_id}` in it stands for the instance's.",
    )
    mqtt_client_id: MqttText = variable(
        "MQTT_CLIENT_ID",
        default="",
        description="Client id, stable for each instance: its events wait for it. Default: from host name and PORT.",
        essential=True,
    )
    mqtt_protocol_version: Literal["MQTTv5", "MQTTv311"] = variable(
        "MQTT_PROTOCOL_VERSION",
        default="MQTTv5",
        description="`MQTTv5`, or `MQTTv311`; a broker that refuses 5 is spoken to in 3.1.1.",
    )
    mqtt_shared_group: Group = variable(
        "MQTT_SHARED_GROUP",
        default="",
        description="Subscribe as `$share/<group>/<topic>`, so that instances share the events; empty: plain.",
    )
    mqtt_keepalive_seconds: Annotated[int, Field(ge=5, le=600)] = variable(
        "MQTT_KEEPALIVE_SECONDS", default=15, description="A broker silent for one and a half times this is away."
    )
    mqtt_session_expiry_seconds: Annotated[int, Field(ge=0, le=UINT32_MAX)] = variable(
        "MQTT_SESSION_EXPIRY_SECONDS",
        default=7 * 24 * 3600,
        description="The broker keeps events for an instance that is away for so long (MQTT 5).",
    )
    mqtt_receive_maximum: Annotated[int, Field(ge=1, le=65535)] = variable(
        "MQTT_RECEIVE_MAXIMUM", default=1000, description="Most events in work at a time: the back-pressure (MQTT 5)."
    )

    # Results
    prediction_threshold: Annotated[float, Field(ge=0, le=1)] | None = variable(
        "PREDICTION_THRESHOLD",
        default=None,
        description="A coupon must score above this; default: from the model's card.",
        essential=True,
    )
    publish_empty_prediction: bool = variable(
        "PUBLISH_EMPTY_PREDICTION",
        default=False,
        description="Publish a result without a coupon, with the reason.",
        essential=True,
    )
    output_id_type: IdType = variable(
        "OUTPUT_ID_TYPE", default=IdType.STRING, description="Ids in results: `str` or `int`."
    )
    max_products_in_message: Annotated[int, Field(ge=0)] = variable(
        "MAX_PRODUCTS_IN_MESSAGE", default=0, description="Most products listed in a result; 0: all."
    )
    message_expiry_seconds: Annotated[int, Field(ge=0, le=UINT32_MAX)] = variable(
        "MESSAGE_EXPIRY_SECONDS", default=86400, description="Results that nobody fetched expire after this; 0: never."
    )
    max_event_age_seconds: Annotated[float, Field(gt=0)] | None = variable(
        "MAX_EVENT_AGE_SECONDS",
        default=None,
        description="Older focus events get the decision `late_event`; empty: off.",
    )
    store_timezone: str = variable(
        "STORE_TIMEZONE",
        default="UTC",
        description="Time zone in which a coupon's first and last day are judged.",
        essential=True,
    )
    department_aliases: Pairs = variable(
        "DEPARTMENT_ALIASES",
        default={},
        description="Further spellings of departments, `alias=name`, comma-separated (`Sport=Sports` is known).",
    )

    # Central
    client_context_url: str | None = variable(
        "CLIENT_CONTEXT_URL",
        default=None,
        description="Base URL of the central, asked at `{url}/get_context/{id}`; empty: cache only.",
        example="http://127.0.0.1:8001",
        essential=True,
    )
    client_context_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = variable(
        "CLIENT_CONTEXT_TIMEOUT_SECONDS",
        default=1.0,
        description="Deadline for one answer of the central, retry included.",
    )
    client_context_ttl_seconds: Annotated[float, Field(ge=0, le=UINT32_MAX)] = variable(
        "CLIENT_CONTEXT_TTL_SECONDS",
        default=3600,
        description="A context from the central is fresh for this long; an older one is fetched again on entry.",
    )
    default_customer: Pairs = variable(
        "DEFAULT_CUSTOMER",
        default={},
        description="What is assumed of an unknown customer, e.g. `gender=F,age=35,mean_buy_price=20`.",
    )

    # Scorer
    model_dir: Path = variable(
        "MODEL_DIR",
        default=BUILT_IN_MODEL,
        description="Folder of the model (`model.skops`, `card.json`; of trees, `trees.npz`).",
    )
    coupon_scorer_url: str | None = variable(
        "COUPON_SCORER_URL",
        default=None,
        description="Outside prediction service, asked at this URL; empty: the model in the process.",
    )
    coupon_scorer_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = variable(
        "COUPON_SCORER_TIMEOUT_SECONDS",
        default=0.3,
        description="Deadline for the outside prediction service, retry included; then the model in the process.",
    )

    # Database
    database_url: SecretStr | None = variable(
        "DATABASE_URL", default=None, description="PostgreSQL as one URL, instead of the five `DB_` variables."
    )
    db_host: str = variable(
        "DB_HOST", "POSTGRES_HOST", default="", description="PostgreSQL host.", example="127.0.0.1", essential=True
    )
    db_port: Annotated[Port, BeforeValidator(service_port)] = variable(
        "DB_PORT", "POSTGRES_PORT", default=5432, description="PostgreSQL port."
    )
    db_name: str = variable(
        "DB_NAME",
        "POSTGRES_DB",
        "POSTGRES_NAME",
        default="",
        description="Database.",
        example="recommendation",
        essential=True,
    )
    db_user: str = variable(
        "DB_USER", "POSTGRES_USER", default="", description="Database user.", example="recommendation", essential=True
    )
    db_password: SecretStr | None = variable(
        "DB_PASSWORD",
        "POSTGRES_PASSWORD",
        default=None,
        description="Password of the user.",
        example="recommendation",
        essential=True,
    )
    db_pool_size: Annotated[int, Field(ge=2, le=100)] = variable(
        "DB_POOL_SIZE", default=8, description="Most connections to PostgreSQL."
    )

    retention_days: Annotated[int, Field(ge=0, le=36_500)] = variable(
        "RETENTION_DAYS",
        default=90,
        description="Decisions and dead letters are deleted after so many days; 0: kept for ever.",
    )

    # Process
    port: Port = variable("PORT", default=8000, description="HTTP port of `python -m app serve`; 80 in the image.")
    mock_endpoints: bool = variable(
        "MOCK_ENDPOINTS", default=False, description="Offer `/mock_entry` and `/mock_focus` beside MQTT."
    )
    admin_api_key: SecretStr | None = variable(
        "ADMIN_API_KEY",
        default=None,
        description="An API key with the role admin, beside those of `python -m app key`; 32 characters or more.",
    )
    http_rate_limit: Annotated[int, Field(ge=0, le=1_000_000)] = variable(
        "HTTP_RATE_LIMIT",
        default=100,
        description="Most HTTP requests of one client in a second, health aside; 0: no limit.",
    )
    testing_no_mqtt: bool = variable(
        "TESTING_NO_MQTT", default=False, description="No broker: events come in by the mock endpoints alone."
    )
    testing_no_postgres: bool = variable(
        "TESTING_NO_POSTGRES", default=False, description="No database: everything in memory, coupons from `DATA_DIR`."
    )
    testing_no_scoring_service: bool = variable(
        "TESTING_NO_SCORING_SERVICE", default=False, description="Ignore `COUPON_SCORER_URL`: the model in the process."
    )
    data_dir: Path = variable(
        "DATA_DIR",
        default=APP.parent / "data4db",
        description="The four CSV files, for `TESTING_NO_POSTGRES` and the central.",
    )
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        BeforeValidator(lambda value: value.strip().upper() if isinstance(value, str) else value),
    ] = variable(
        "LOG_LEVEL", default="INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL, in any case.", essential=True
    )
    log_filename: str = variable(
        "LOG_FILENAME", default="messages.log", description="Log file beside the console; empty: console only."
    )
    log_hash_key: SecretStr | None = variable(
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
            broker(host)
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
            problems += broker_problems(settings)
        if needs_broker and not (settings.model_dir / "card.json").is_file():
            problems.append(f"Cannot use MODEL_DIR env variable: there is no model in {settings.model_dir}.")
        if problems:
            raise ConfigurationError(problems)
        return settings

    @classmethod
    def partial(cls) -> "Settings":
        """Whatever is set, with no demand. Raises ConfigurationError for what is wrong."""
        secrets, problems = secrets_in_files(cls.model_fields.values())
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
        return [(host, port or default) for host, port in map(broker, self.mqtt_host)]

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


def _sentence(details: ErrorDetails) -> str:
    documented = str(details["loc"][0]).upper()
    field = next(field for _, _, field in documented_variables() if documented in variable_names(field))
    name = next((name for name in (*variable_names(field), *file_variables(field)) if os.environ.get(name)), documented)
    return f"Cannot use {name} env variable: {details['msg'].removeprefix('Value error, ')}."


def documented_variables() -> list[tuple[str, str, FieldInfo]]:
    """Each documented name with its attribute of Settings and its field, in order."""
    return [(variable_names(field)[0], attribute, field) for attribute, field in Settings.model_fields.items()]
