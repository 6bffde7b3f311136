"""Tables, and what is in them."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.work import EXIT_REFUSED, Wait, connected, waiting

if TYPE_CHECKING:
    import asyncpg

    from app.adapters.postgres.load_report import LoadReport

Folder = Annotated[Path, typer.Argument(help="A folder with the four CSV files.")]


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
        applied = waiting(lambda: migrations.upgrade(url, to), wait)
    else:
        applied = waiting(lambda: migrations.downgrade(url, down), wait)
    for revision in applied:
        typer.echo(f"{'applied' if down is None else 'undone'}: {revision}")
    if not applied:
        typer.echo("nothing to do")


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

        return waiting(lambda: connected(url, load_all), wait)


def export(folder: Annotated[Path, typer.Argument(help="Where to write the four CSV files.")], wait: Wait = 0) -> None:
    """Write coupons, products and customers back into CSV files."""
    from app.adapters.postgres import exporter
    from app.settings import Settings

    url = Settings.from_environment(needs_broker=False).postgres_url
    rows = waiting(lambda: connected(url, lambda connection: exporter.export(connection, folder)), wait)
    for name, count in rows.items():
        typer.echo(f"{folder / name}: {count:,} rows")


def migrate_once(url: str) -> None:
    """Bring the tables up to this version. Raises DatabaseUnavailable, MigrationRefused."""
    from app.adapters.postgres import migrations

    asyncio.run(migrations.upgrade(url))


def load_shifted(url: str, folder: Path) -> None:
    """Load a folder whose coupons may be of another year, and tell what was done."""
    from app.adapters.postgres.load_report import lines

    for line in lines(_load(url, folder, shift=True, dry_run=False, wait=0)):
        typer.echo(f"  {line}")
