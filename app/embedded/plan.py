"""What `python -m app run` is to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """A broker, and what it wants to see of a client; `ca_file` turns TLS on."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Topics:
    """Where events are published, and where results come back."""

    entry: str = "customer/enter"
    focus: str = "customer/focus"
    prediction: str = "customer/prediction"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What there is already, and how to make the rest.

    `migrate` and `load` get the database's URL, `load` also the folder; both raise ServiceError. `environment` is that
    of this process: the service gets it, changed where parts are started here. `database_url`, `broker` and
    `central_url` are None where there is none to use: then one is started, on the port given here or, when that is
    taken, on a free one.
    """

    migrate: Callable[[str], None]
    load: Callable[[str, Path], None]
    environment: Mapping[str, str] = field(repr=False)
    data_dir: Path
    work_dir: Path = Path(".run")
    database_url: str | None = field(default=None, repr=False)
    broker: BrokerAccess | None = None
    central_url: str | None = None
    topics: Topics = Topics()
    http_port: int = 8000
    central_port: int = 8001
    broker_port: int = 1883
    database_port: int = 5432
    patience_seconds: float = 60
    is_once: bool = False
