"""What variables hold: how it is read, and what it must look like."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field
from pydantic_settings import NoDecode

from app.domain.customer import USUAL_AGE, CustomerContext, Gender

UINT32_MAX = 2**32 - 1
LAST_PORT = 65535
BROKER = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:\[\]]+)(:(?P<port>\d{1,5}))?", re.ASCII)
HOST = r"(\[[^\[\]]+\]|[^/?#@:,\[\]]+)(:\d+)?"
POSTGRES_URL = re.compile(rf"postgres(ql)?://([^/?#]*@)?({HOST}(,{HOST})*)?(/[^?#]*)?(\?[^#]*)?", re.ASCII)
API_KEY = re.compile(r"[!-~]{32,512}")
UNSENDABLE = re.compile(r"[\0-\x1f\x7f-\x9f\ud800-\udfff]")  # of the last kind are bytes that are no UTF-8


def variable(*names: str, default: Any, description: str, example: str = "", essential: bool = False) -> Any:
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


def broker(text: str) -> tuple[str, int | None]:
    """Host and port. Raises ValueError."""
    match = BROKER.fullmatch(text)
    if match is None or not 1 <= int(match["port"] or 1) <= LAST_PORT:
        raise ValueError("must be host or host:port, comma-separated; an IPv6 address in brackets")
    return match["host"].strip("[]"), int(match["port"]) if match["port"] else None


def service_port(value: object) -> object:
    """Kubernetes sets POSTGRES_PORT=tcp://address:port where a service is named postgres."""
    return value.rpartition(":")[2] if isinstance(value, str) and value.startswith("tcp://") else value


def has_wildcard(topic: str) -> bool:
    return any(character in topic for character in "+#\0")


def matches(topic_filter: str, topic: str) -> bool:
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
    if "/" in value or has_wildcard(value):
        raise ValueError("must be a name without /, + and #: brokers end it at the first /")
    return value


def _topic(value: str) -> str:
    if has_wildcard(value):
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


def customer_with(values: Mapping[str, str]) -> CustomerContext:
    """A middling customer, with these fields replaced. Raises ValueError."""
    readers: dict[str, Any] = dict.fromkeys(CustomerContext.__slots__, _whole_number)
    readers |= {"gender": Gender, "mean_buy_price": _amount, "mean_discount_received": _amount}
    del readers["customer_id"]
    fields: dict[str, Any] = {
        "gender": Gender.UNKNOWN,
        "age": USUAL_AGE,
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
