"""`python -m app history`: from a retailer's files to what contexts, the catalogue and models are made of."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.work import EXIT_REFUSED

if TYPE_CHECKING:
    import numpy as np

    from app.domain.history import History

history_cli = typer.Typer(help="A shop's purchase and coupon history.", no_args_is_help=True)


def _date(text: str | None) -> str | None:
    if text is not None:
        try:
            date.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter("must be a day like 2025-12-31") from None
    return text


AsOf = Annotated[
    str | None,
    typer.Option(metavar="DAY", help="Only what was known before this day; default: everything.", callback=_date),
]


@history_cli.command("import")
def import_history(
    folder: Annotated[Path, typer.Argument(help="The folder with the files; docs/models.md lists them.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("history"),
    as_of: AsOf = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and write nothing.")] = False,
) -> None:
    """Check and read a history; write it in one file for `train`, and the four tables that `load` takes.

    The files are CSV or Parquet, columns by their header. Rows that break a rule are named and left out: exit code 3.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    from app.adapters.history_files import read_history
    from app.domain.department import DepartmentNames
    from app.settings import Settings

    names = DepartmentNames.with_aliases(Settings.partial().department_aliases)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bars: dict[str, TaskID] = {}

        def on_progress(file: str, done: int, total: int) -> None:
            if file not in bars:
                bars[file] = progress.add_task(file, total=total)
            progress.update(bars[file], completed=done)

        history, report = read_history(folder, names, on_progress)
    for line in report.lines():
        typer.echo(line)
    if not dry_run:
        _write(history, folder, out, as_of)
    if report.refused:
        raise typer.Exit(EXIT_REFUSED)


def _write(history: "History", folder: Path, out: Path, as_of: str | None) -> None:
    import numpy as np

    from app.adapters.csv_files import read_catalogue_files, write_table
    from app.adapters.history_store import HISTORY_FILE, save_history
    from app.adapters.rows import row_from_context
    from app.adapters.tables import CUSTOMER_INFO, first_problem
    from app.domain.history import before, contexts_as_of

    day = _last_day(history, as_of)
    history = before(history, day)
    everybody = np.arange(len(history.customers.ids))
    contexts = contexts_as_of(history, everybody, np.full(len(everybody), day))
    rows = [row_from_context(context) for context in contexts]
    fitting = [row for row in rows if first_problem(CUSTOMER_INFO, row) is None]
    out.mkdir(parents=True, exist_ok=True)
    save_history(history, out / HISTORY_FILE)
    catalogue = read_catalogue_files(folder)
    for file in (catalogue.products, catalogue.coupons, catalogue.links):
        write_table(out, file.table, file.rows)
    write_table(out, CUSTOMER_INFO, fitting)
    typer.echo(
        f"{out}: the history, and the tables for `python -m app load {out}` with {len(fitting):,} customers as of {day}"
    )
    if len(fitting) < len(rows):
        typer.echo(
            f"note: {len(rows) - len(fitting):,} customers have no id that the table takes: the central serves them"
        )


@history_cli.command()
def rows(
    folder: Annotated[Path, typer.Argument(help="What `history import` has written.")],
    file: Annotated[Path, typer.Argument(help="CSV file to write.")],
    as_of: AsOf = None,
) -> None:
    """Write the training rows: each coupon handed out, its features on that day, and whether it was redeemed.

    A coupon whose fate was still open on the day is left out.
    """
    from app.adapters.history_store import HISTORY_FILE, load_history
    from app.training.rows import write_rows

    history = load_history(folder / HISTORY_FILE)
    written = write_rows(history, _last_day(history, as_of), file)
    typer.echo(f"{file}: {written:,} rows")


def _last_day(history: "History", as_of: str | None) -> "np.datetime64":
    import numpy as np

    from app.domain.history import day_after
    from app.errors import DatasetRefused

    if as_of is not None:
        return np.datetime64(as_of, "D")
    try:
        return day_after(history)
    except ValueError as error:
        raise DatasetRefused(str(error)) from error
