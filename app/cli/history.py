"""`python -m app history`: from a retailer's files to what contexts, the catalogue and models are made of."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.adapters.columns import is_iso_date
from app.cli.work import EXIT_REFUSED
from app.errors import DatasetRefused

if TYPE_CHECKING:
    import numpy as np

    from app.adapters.history_files import ImportedHistory
    from app.domain.history import History

history_cli = typer.Typer(help="A shop's purchase and coupon history.", no_args_is_help=True)


def _day(text: str | None) -> str | None:
    if text is not None and not is_iso_date(text):
        raise typer.BadParameter("must be a day like 2025-12-31")
    return text


AsOf = Annotated[
    str | None,
    typer.Option(metavar="DAY", help="Only what was known before this day; default: everything.", callback=_day),
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
    from app.adapters.history_files import read_history
    from app.domain.department import DepartmentNames
    from app.settings import Settings

    if out.resolve() == folder.resolve():
        raise typer.BadParameter("must be another folder than the one to read", param_hint="--out")
    names = DepartmentNames.with_aliases(Settings.partial().department_aliases)
    with _telling() as on_progress:
        imported = read_history(folder, names, on_progress)
    for line in imported.report.lines():
        typer.echo(line)
    day = _last_day(imported.history, as_of)
    if dry_run:
        typer.echo("dry run: nothing was written")
    else:
        with _writing(out):
            _write(imported, out, day)
    if imported.report.refused:
        raise typer.Exit(EXIT_REFUSED)


def _write(imported: "ImportedHistory", out: Path, day: "np.datetime64") -> None:
    import numpy as np

    from app.adapters.csv_files import write_table, written_whole
    from app.adapters.csv_rows import shown
    from app.adapters.history_store import HISTORY_FILE, save_history
    from app.adapters.rows import row_from_context
    from app.adapters.tables import CUSTOMER_INFO, first_problem
    from app.domain.history import before, contexts_as_of

    history = before(imported.history, day)
    everybody = np.arange(len(history.customers.ids))
    contexts = contexts_as_of(history, everybody, np.full(len(everybody), day))
    rows = [row_from_context(context) for context in contexts]
    problems = [first_problem(CUSTOMER_INFO, row) for row in rows]
    fitting = [row for row, problem in zip(rows, problems, strict=True) if problem is None]
    with written_whole(out) as part:
        for file in (imported.catalogue.products, imported.catalogue.coupons, imported.catalogue.links):
            write_table(part, file.table, file.rows)
        write_table(part, CUSTOMER_INFO, fitting)
        save_history(history, part / HISTORY_FILE)
    typer.echo(
        f"{out}: the history, and the tables for `python -m app load {out}` with {len(fitting):,} customers as of {day}"
    )
    unfit = [(row[found.column], found) for row, found in zip(rows, problems, strict=True) if found is not None]
    if unfit:
        value, problem = unfit[0]
        typer.echo(
            f"note: {len(unfit):,} customers are not in customer_info.csv, for example {problem.column}"
            f' "{shown(str(value))}" {problem.rule}: the central serves them'
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
    with _writing(file):
        written = write_rows(history, _last_day(history, as_of), file)
    typer.echo(f"{file}: {written:,} rows")


def _last_day(history: "History", as_of: str | None) -> "np.datetime64":
    import numpy as np

    from app.domain.history import day_after

    try:
        last = day_after(history)
    except ValueError as error:
        raise DatasetRefused(str(error)) from error
    return last if as_of is None else np.datetime64(as_of, "D")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetRefused(f"{path} cannot be written: {error.strerror or error}; nothing has changed") from error


@contextmanager
def _telling() -> Iterator[Callable[[str, int, int], None]]:
    """Bars with the time left where standard error is a terminal, else one line for each file."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _told_in_lines
        return
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bars: dict[str, TaskID] = {}

        def on_progress(file: str, done: int, total: int) -> None:
            if file not in bars:
                bars[file] = progress.add_task(file, total=total)
            progress.update(bars[file], completed=done)

        yield on_progress


def _told_in_lines(file: str, done: int, total: int) -> None:
    if done == 0:
        typer.echo(f"reading {file}, {total:,} bytes", err=True)
