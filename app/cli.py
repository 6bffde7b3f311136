"""The command line. Each command imports what it needs: `--help` waits for nothing."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import typer

from app.errors import ConfigurationError, DatabaseUnavailable, ServiceError

if TYPE_CHECKING:
    import asyncpg

    from app.adapters.postgres.instances import InstanceState, Request
    from app.adapters.postgres.load_report import LoadReport
    from app.embedded.plan import BrokerAccess, Topics
    from app.settings import Settings

EXIT_REFUSED = 3
SILENCE_SECONDS = 4.0
PROJECT = Path(__file__).parent.parent

Answer = TypeVar("Answer")

cli = typer.Typer(
    name="python -m app",
    help="In-store coupon recommendation: entry and focus events in, one explained coupon out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

customer = typer.Typer(help="What concerns one customer.", no_args_is_help=True)
cli.add_typer(customer, name="customer")

Wait = Annotated[float, typer.Option(help="Seconds to wait for the database to answer.", min=0)]
Folder = Annotated[Path, typer.Argument(help="A folder with the four CSV files.")]


def main() -> None:
    """Run a command; what goes wrong with a name is a sentence and an exit code, not a traceback."""
    try:
        cli()
    except ConfigurationError as error:
        from app.settings import EXIT_CODE

        _fail(f"{error}\n", EXIT_CODE)
    except (ServiceError, OSError) as error:
        _fail(f"{error}\n", EXIT_REFUSED)


def _fail(text: str, code: int) -> NoReturn:
    sys.stderr.write(text)
    raise SystemExit(code)


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104 - a server is for others
    port: Annotated[int | None, typer.Option(help="Port; default: PORT, else 8000.")] = None,
) -> None:
    """Run the service."""
    import signal

    import uvicorn

    from app.main import create_app
    from app.settings import Settings

    settings = Settings.from_environment()
    # uvicorn stops in order and then raises the signal once more, which would end the process as if it had been killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    uvicorn.run(
        create_app(settings),
        host=host,
        port=port or settings.port,
        log_config=None,
        log_level=settings.log_level.lower(),
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


Instance = Annotated[str | None, typer.Argument(help="Client id of the instance; default: MQTT_CLIENT_ID.")]
Limit = Annotated[float, typer.Option(help="Seconds to wait for its end.", min=1)]


@cli.command()
def drain(
    client_id: Instance = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where no other instance gets the events: they are lost.")
    ] = False,
    timeout: Limit = 600,
) -> None:
    """Let a running instance leave: it takes no new events, finishes all it has, and ends its session at the broker.

    When this returns, the instance can be stopped. For scaling in, with MQTT_SHARED_GROUP.
    """
    from app.adapters.postgres.instances import InstanceState, Request
    from app.settings import Settings

    settings = Settings.from_environment()
    name = client_id or settings.client_id
    request = Request.FORCE if force else Request.DRAIN
    state = asyncio.run(_last_state(settings.postgres_url, name, request, InstanceState.DRAINED, timeout))
    match state:
        case InstanceState.DRAINED:
            typer.echo(f"{name} has left the broker, and can be stopped")
        case InstanceState.ALONE:
            _fail(
                f"{name} shares its events with nobody (MQTT_SHARED_GROUP): they would be lost; --force\n", EXIT_REFUSED
            )
        case InstanceState.DRAINING | InstanceState.SERVING:
            _fail(f"{name} is still at work on its events after {timeout:g} s; ask again\n", EXIT_REFUSED)
        case None:
            _fail(
                f"nobody answers as {name}; what waits for a lost instance: python -m app adopt {name}\n", EXIT_REFUSED
            )


@cli.command()
def adopt(client_id: Instance = None, timeout: Limit = 600) -> None:
    """Finish the events that the broker keeps for an instance that will not come back, and end its session."""
    from app.adapters.postgres.instances import Request
    from app.main import adopt as adopt_instance
    from app.settings import Settings

    settings = Settings.from_environment()
    name = client_id or settings.client_id
    if asyncio.run(_last_state(settings.postgres_url, name, Request.STATE, None, timeout)) is not None:
        _fail(f"{name} is running: python -m app drain {name}\n", EXIT_REFUSED)

    async def adopted() -> tuple[bool, int]:
        async with asyncio.timeout(timeout):
            return await adopt_instance(settings.model_copy(update={"mqtt_client_id": name}))

    try:
        was_known, events = asyncio.run(adopted())
    except TimeoutError:
        _fail(f"not all events of {name} could be finished within {timeout:g} s; the rest still waits\n", EXIT_REFUSED)
    typer.echo(f"{name}: {events:,} events finished, session ended" if was_known else f"the broker knows no {name}")


async def _last_state(
    url: str, client_id: str, request: "Request", awaited: "InstanceState | None", seconds: float
) -> "InstanceState | None":
    """What an instance answers in the end: the state awaited, or the first when none is; None when it is silent."""
    from app.adapters.postgres.instances import InstanceState, ask_instance

    last = None
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for state in ask_instance(url, client_id, request, SILENCE_SECONDS):
                last = state
                if awaited is None or state in (awaited, InstanceState.ALONE):
                    break
    return last


@customer.command()
def forget(
    customer_id: Annotated[str, typer.Argument(help="The customer's id, as events name it.")],
    wait: Wait = 0,
) -> None:
    """Delete a customer's context, decisions and dead letters from the database, for good.

    What the broker still holds, and backups, are not reached: see docs/security.md.
    """
    from app.adapters.postgres import forgetting
    from app.settings import Settings

    url = Settings.from_environment(needs_broker=False).postgres_url
    counts = _waiting(lambda: _connected(url, lambda connection: forgetting.forget(connection, customer_id)), wait)
    for table, count in counts.items():
        typer.echo(f"{table}: {count:,} rows deleted")


@cli.command()
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
        migrate=_migrate,
        load=_load_shifted,
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


def _migrate(url: str) -> None:
    from app.adapters.postgres import migrations

    asyncio.run(migrations.upgrade(url))


def _load_shifted(url: str, folder: Path) -> None:
    from app.adapters.postgres.load_report import lines

    for line in lines(_load(url, folder, shift=True, dry_run=False, wait=0)):
        typer.echo(f"  {line}")


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


@cli.command()
def migrate(
    to: Annotated[str, typer.Option(help="Revision to bring the tables up to.")] = "head",
    down: Annotated[str | None, typer.Option(help="Revision to take them down to, data and all; `base`: none.")] = None,
    wait: Wait = 0,
) -> None:
    """Create or update the tables."""
    from app.adapters.postgres import migrations
    from app.settings import Settings

    url = Settings.from_environment(needs_broker=False).postgres_url
    if down is None:
        applied = _waiting(lambda: migrations.upgrade(url, to), wait)
    else:
        applied = _waiting(lambda: migrations.downgrade(url, down), wait)
    for revision in applied:
        typer.echo(f"{'applied' if down is None else 'undone'}: {revision}")
    if not applied:
        typer.echo("nothing to do")


@cli.command()
def load(
    folder: Folder,
    shift_dates: Annotated[
        bool, typer.Option("--shift-dates", help="Where all coupons have expired, move them by whole years.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and change nothing.")] = False,
    wait: Wait = 0,
) -> None:
    """Load coupons, products and customers into the database: the valid rows, in one transaction.

    Exit code 3 when rows were refused. Nothing but links is removed: withdraw a coupon by an end_date in the past.
    """
    from app.adapters.postgres.load_report import lines
    from app.settings import Settings

    report = _load(Settings.from_environment(needs_broker=False).postgres_url, folder, shift_dates, dry_run, wait)
    for line in lines(report):
        typer.echo(line)
    if report.refused:
        raise typer.Exit(EXIT_REFUSED)


def _load(url: str, folder: Path, shift: bool, dry_run: bool, wait: float) -> "LoadReport":
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from app.adapters.csv_files import read_folder
    from app.adapters.postgres import loader
    from app.settings import Settings

    today = datetime.now(ZoneInfo(Settings.partial().store_timezone)).date()
    dataset = read_folder(folder)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bars = {file.table.name: progress.add_task(file.table.name, total=len(file.rows)) for file in dataset.files}

        def on_progress(table: str, done: int, total: int) -> None:
            progress.update(bars[table], completed=done, total=total)

        async def load_all(connection: "asyncpg.Connection[asyncpg.Record]") -> "LoadReport":
            return await loader.load(
                connection, dataset, shift=shift, dry_run=dry_run, today=today, on_progress=on_progress
            )

        return _waiting(lambda: _connected(url, load_all), wait)


@cli.command()
def export(folder: Annotated[Path, typer.Argument(help="Where to write the four CSV files.")], wait: Wait = 0) -> None:
    """Write coupons, products and customers back into CSV files."""
    from app.adapters.postgres import exporter
    from app.settings import Settings

    url = Settings.from_environment(needs_broker=False).postgres_url
    rows = _waiting(lambda: _connected(url, lambda connection: exporter.export(connection, folder)), wait)
    for name, count in rows.items():
        typer.echo(f"{folder / name}: {count:,} rows")


@cli.command()
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


@cli.command()
def datagen(
    out: Annotated[Path, typer.Option(help="Where to write the four CSV files.")] = PROJECT / "data4db",
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same shop.")] = None,
    customers: Annotated[int, typer.Option(min=1)] = 1000,
    products: Annotated[int, typer.Option(min=25)] = 3000,
    coupons: Annotated[int, typer.Option(min=5)] = 1000,
    year: Annotated[int | None, typer.Option(help="Year of the coupons' dates.", min=1972, max=9999)] = None,
    history: Annotated[Path | None, typer.Option(help="Where to write purchases and coupon use as well.")] = None,
) -> None:
    """Make an artificial shop: customers, products, coupons, and the history behind them."""
    from app.datagen import generate
    from app.datagen.files import write_dataset, write_history

    shop = generate.generate(
        generate.DEFAULT_SEED if seed is None else seed,
        customers=customers,
        products=products,
        coupons=coupons,
        year=generate.DEFAULT_YEAR if year is None else year,
    )
    write_dataset(shop, out)
    typer.echo(
        f"{out}: {len(shop.contexts):,} customers, {len(shop.products):,} products, {len(shop.coupons):,} coupons"
    )
    if history is not None:
        write_history(shop, history)
        typer.echo(f"{history}: purchases and coupon use")


@cli.command()
def train(
    out: Annotated[Path, typer.Option(help="Where to write model.skops and card.json.")] = Path("model"),
    seed: Annotated[int | None, typer.Option(help="Seed of the artificial history and of the fit.")] = None,
) -> None:
    """Train the model on the history of the artificial shop."""
    from datetime import UTC, datetime

    from app.datagen import generate
    from app.training.train import train as train_model

    used_seed = generate.DEFAULT_SEED if seed is None else seed
    typer.echo("making the history")
    shop = generate.generate(used_seed)
    card = train_model(shop.history, seed=used_seed, out=out, created_at=datetime.now(UTC), report=typer.echo)
    typer.echo(f"{out}: {card.version}; use it with MODEL_DIR={out}")


@cli.command()
def schema(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit code 1 when a file is stale.")] = False,
) -> None:
    """Write the files that are generated from the code: schemas, configuration."""
    from app import generated

    stale = generated.stale_files(PROJECT)
    for path, text in stale.items():
        if check:
            typer.echo(f"stale: {path.relative_to(PROJECT)}; run `python -m app schema`", err=True)
        else:
            path.write_text(text, encoding="utf-8")
            typer.echo(f"written: {path.relative_to(PROJECT)}")
    if stale and check:
        raise typer.Exit(1)


@customer.command("hash")
def hash_customer(customer_id: Annotated[str, typer.Argument(metavar="ID", help="The customer's id.")]) -> None:
    """Print what stands for a customer in the logs of a service with the same LOG_HASH_KEY."""
    from app.settings import MISSING, Settings
    from app.utils.log_config import customer_hash

    key = Settings.partial().log_hash_key
    if key is None:
        raise ConfigurationError([MISSING.format(name="LOG_HASH_KEY")])
    typer.echo(customer_hash(key.get_secret_value(), customer_id.strip()))


@cli.command()
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


async def _connected(
    url: str, work: "Callable[[asyncpg.Connection[asyncpg.Record]], Coroutine[Any, Any, Answer]]"
) -> Answer:
    from app.adapters.postgres.database import connected

    async with connected(url) as connection:
        return await work(connection)


def _waiting(work: Callable[[], Coroutine[Any, Any, Answer]], seconds: float) -> Answer:
    """Do it, and try again while the database does not answer, for so many seconds."""
    if not seconds:
        return asyncio.run(work())

    async def tried() -> Answer:
        import stamina

        stamina.instrumentation.set_on_retry_hooks([])
        async for attempt in stamina.retry_context(
            on=DatabaseUnavailable, attempts=None, timeout=seconds, wait_initial=0.2, wait_max=2
        ):
            with attempt:
                return await work()
        raise AssertionError("a retry has ended without an outcome")

    return asyncio.run(tried())
