"""Running the service, alone or with all it needs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from app.cli.data import load_shifted, migrate_once
from app.cli.work import PROJECT

if TYPE_CHECKING:
    from app.embedded.plan import BrokerAccess, Topics
    from app.settings import Settings


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104 - a server is for others
    port: Annotated[int | None, typer.Option(help="Port; default: PORT, else 8000.")] = None,
) -> None:
    """Run the service."""
    import signal

    import uvicorn

    from app.main import create_app
    from app.settings import Settings
    from app.transport.http.server import SERVER_OPTIONS

    settings = Settings.from_environment()
    # uvicorn stops in order and then raises the signal once more, which would end the process as if it had been killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    uvicorn.run(
        create_app(settings),
        host=host,
        port=port or settings.port,
        log_config=None,
        log_level=settings.log_level.lower(),
        timeout_graceful_shutdown=5,
        **SERVER_OPTIONS,
    )


def run(
    once: Annotated[bool, typer.Option("--once", help="Stop after the first coupon.")] = False,
    data: Annotated[Path, typer.Option(help="A folder with the four CSV files.")] = PROJECT / "data4db",
    work_dir: Annotated[Path, typer.Option(help="Where databases and logs are kept.")] = Path(".run"),
) -> None:
    """Run the service with all it needs on this machine, and get a first coupon.

    What the environment names (database, broker, central) is used; the rest is started here.
    """
    from app.embedded.plan import RunPlan
    from app.embedded.run import run as run_plan
    from app.settings import Settings, environment

    settings = Settings.partial()
    plan = RunPlan(
        migrate=migrate_once,
        load=load_shifted,
        environment=environment(),
        data_dir=data,
        work_dir=work_dir,
        database_url=settings.postgres_url if settings.database_url or settings.db_host else None,
        broker=_given_broker(settings),
        central_url=settings.client_context_url,
        topics=_given_topics(settings),
        http_port=settings.port,
        is_once=once,
    )
    raise SystemExit(run_plan(plan))


def _given_broker(settings: "Settings") -> "BrokerAccess | None":
    from app.embedded.plan import BrokerAccess

    if not settings.mqtt_host:
        return None
    host, port = settings.brokers[0]
    return BrokerAccess(
        host=host,
        port=port,
        username=settings.mqtt_username,
        password=settings.mqtt_password.get_secret_value() if settings.mqtt_password else None,
        ca_file=settings.mqtt_broker_cert_file,
        certificate_file=settings.mqtt_client_cert_file,
        key_file=settings.mqtt_client_key_file,
    )


def _given_topics(settings: "Settings") -> "Topics":
    from app.embedded.plan import Topics

    defaults = Topics()
    return Topics(
        entry=settings.entry_event_topic_name or defaults.entry,
        focus=settings.focus_event_topic_name or defaults.focus,
        prediction=settings.coupon_prediction_topic_name or defaults.prediction,
    )


def central(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.")] = 8001,
    data: Annotated[Path, typer.Option(help="A folder with the four CSV files.")] = PROJECT / "data4db",
) -> None:
    """Run a stand-in for the central datacentre, serving the customers of a folder."""
    import uvicorn

    from app.adapters.csv_files import customer_contexts, read_folder
    from app.embedded.central import create_central
    from app.settings import Settings

    contexts = customer_contexts(read_folder(data), Settings.partial().unknown_customer)
    uvicorn.run(create_central(contexts), host=host, port=port, log_level="warning")


def config() -> None:
    """Show the configuration that the environment gives, secrets masked."""
    from app.settings import Settings, documented_variables

    settings = Settings.partial()
    for name, attribute, _ in documented_variables():
        typer.echo(f"{name}={_shown(getattr(settings, attribute))}")
    Settings.from_environment()


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    text = str(value)
    split = urlsplit(text)
    if split.scheme and split.hostname and "@" in split.netloc:
        return split._replace(netloc=f"**********@{split.netloc.rpartition('@')[2]}").geturl()
    return text
