"""`python -m app history`, as people type it."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from app.adapters.csv_files import read_folder
from app.adapters.history_store import HISTORY_FILE, load_history
from app.adapters.postgres.load_report import LoadReport
from app.adapters.postgres.loader import load
from app.adapters.rows import context_from_row
from app.cli import cli, main
from app.datagen.files import write_history
from app.datagen.generate import generate
from app.domain.customer import CustomerContext, Gender
from app.domain.history import contexts_as_of
from app.settings import documented_variables, variable_names
from tests.adapters.history_folder import (
    COUPON_ISSUES,
    CUSTOMERS,
    FILES,
    ORDER_LINES,
    header_of_all,
    listed,
    read,
    write_history_folder,
)

PROJECT = Path(__file__).parents[1]
PATIENCE_SECONDS = 60
WRITTEN = {HISTORY_FILE, "products.csv", "coupon_info.csv", "coupon_product.csv", "customer_info.csv"}
NOBODY = CustomerContext("", Gender.UNKNOWN, 0, 0, 0, 0, 0, 0, 0)
LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (int({limit}), int({limit})))
from app.cli import main
main()
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for _, _, field in documented_variables():
        for name in variable_names(field):
            monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A history's files."""
    return write_history_folder(tmp_path / "files")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where to write."""
    return tmp_path / "out"


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_import_writes_the_history_and_the_four_tables_of_load(folder: Path, out: Path) -> None:
    result = invoke("history", "import", folder, "--out", out)

    assert (result.exit_code, names_in(out)) == (0, WRITTEN)
    assert result.stdout.splitlines()[-2:] == [
        f"{out}: the history, and the tables for `python -m app load {out}` with 1 customers as of 2025-04-03",
        'note: 2 customers are not in customer_info.csv, for example customer_id "anna" must be a whole number: '
        "the central serves them",
    ]
    assert (out / "customer_info.csv").read_text().splitlines()[1:] == ["7,,65,0.0,0,0.0,0,0,0"]
    assert read_folder(out).bad_rows == ()


def test_ids_that_are_too_large_for_the_table_are_noted(tmp_path: Path, out: Path) -> None:
    folder = write_history_folder(
        tmp_path / "files", customers=CUSTOMERS.replace("7,", "9780201379624,"), order_lines=ORDER_LINES
    )

    result = invoke("history", "import", folder, "--out", out)

    assert (result.exit_code, read_folder(out).customers.rows) == (0, ())
    assert 'note: 3 customers are not in customer_info.csv, for example customer_id "anna"' in result.stdout
    assert "9780201379624" in load_history(out / HISTORY_FILE).customers.ids


def test_bad_rows_are_shown_the_good_ones_used_and_the_exit_code_is_3(tmp_path: Path, out: Path) -> None:
    folder = write_history_folder(
        tmp_path / "files", customers=f"{CUSTOMERS}anna,F,\n", coupon_product="coupon_id,product_id\n1,11\n1,99\n"
    )

    result = invoke("history", "import", folder, "--out", out)

    assert result.exit_code == 3
    assert 'refused: customers.csv, line 5: customer_id "anna" must be unique\n' in result.stdout
    assert 'refused: coupon_product.csv, line 3: product_id "99" must name a row' in result.stdout
    assert names_in(out) == WRITTEN
    assert read_folder(out).bad_rows == ()
    assert (out / "coupon_product.csv").read_text() == "coupon_id,product_id\n1,11\n"


@pytest.mark.parametrize(("more", "exit_code"), [("", 0), ("o1,11,0,1,\n", 3)])
def test_a_dry_run_reports_and_writes_nothing(tmp_path: Path, out: Path, more: str, exit_code: int) -> None:
    folder = write_history_folder(tmp_path / "files", order_lines=ORDER_LINES + more)

    result = invoke("history", "import", folder, "--out", out, "--dry-run")

    assert result.exit_code == exit_code
    assert result.stdout.splitlines()[-1] == "dry run: nothing was written"
    assert not out.exists()


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int | str | None:
    """Run a command as `python -m app` does; gives its exit code."""
    monkeypatch.setattr(sys, "argv", ["app", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_a_history_of_nothing_is_refused(
    tmp_path: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    dry_run: list[str],
) -> None:
    folder = write_history_folder(tmp_path / "files", **header_of_all())

    assert typed(monkeypatch, "history", "import", folder, "--out", out, *dry_run) == 3

    told = capsys.readouterr()
    assert "orders          orders.csv                         0         0\n" in told.out
    assert told.err.splitlines()[-1] == "the history holds neither purchases nor coupons handed out"
    assert not out.exists()


def test_missing_files_are_named_with_the_exit_code_3(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "orders.csv").unlink()
    (folder / "products.csv").unlink()

    assert typed(monkeypatch, "history", "import", folder, "--out", out) == 3
    assert capsys.readouterr().err.splitlines() == [
        f"{folder} must have one file products.csv or product_info.csv",
        f"{folder} must have one file orders.csv or orders.parquet",
    ]
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_said_with_the_exit_code_3(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("mine")

    for out in (tmp_path / "taken", tmp_path / "taken" / "below"):
        assert typed(monkeypatch, "history", "import", folder, "--out", out) == 3
        assert f"{out} cannot be written: " in capsys.readouterr().err
    assert (tmp_path / "taken").read_text() == "mine"


def test_the_folder_that_is_read_is_not_written_to(folder: Path) -> None:
    before = contents(folder)

    result = invoke("history", "import", folder, "--out", folder / ".." / folder.name)

    assert (result.exit_code, contents(folder)) == (2, before)
    assert "must be another folder" in result.stderr


@pytest.mark.parametrize("is_new", [True, False])
def test_a_disk_that_is_full_midway_leaves_all_as_it_was(tmp_path: Path, out: Path, is_new: bool) -> None:
    write_history(generate(3, customers=20, products=50, coupons=20), tmp_path / "files")
    if not is_new:
        invoke("history", "import", write_history_folder(tmp_path / "others"), "--out", out)
    before = {} if is_new else contents(out)
    largest = max(len((tmp_path / "files" / f"{name}.csv").read_bytes()) for name in ("products", "coupon_info"))

    command = ("history", "import", tmp_path / "files", "--out", out)
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED.format(limit=largest + 100), *map(str, command)],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},  # it writes files
        text=True,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (
        3,
        f"{out} cannot be written: File too large; nothing has changed",
    )
    assert "Traceback" not in ended.stderr
    assert (contents(out) if out.exists() else {}) == before
    assert out.exists() is not is_new


def test_an_import_replaces_the_one_before_and_leaves_other_files(folder: Path, tmp_path: Path, out: Path) -> None:
    out.mkdir()
    (out / "card.json").write_text("{}")
    others = write_history_folder(tmp_path / "others", order_lines=ORDER_LINES.replace("4.5", "4.75"))

    for source in (others, folder):
        assert invoke("history", "import", source, "--out", out).exit_code == 0

    assert names_in(out) == {*WRITTEN, "card.json"}
    assert 4.75 not in load_history(out / HISTORY_FILE).purchases.price


def test_an_import_as_of_a_day_is_that_of_a_folder_without_what_came_later(tmp_path: Path, out: Path) -> None:
    folder = write_history_folder(tmp_path / "all")
    early = write_history_folder(
        tmp_path / "early",
        order_lines="".join(ORDER_LINES.splitlines(keepends=True)[:4]),
        coupon_issues=COUPON_ISSUES.replace("2025-04-01", "").replace("bert,3,2025-04-02,\n", ""),
    )
    (tmp_path / "early" / "orders.csv").write_text("".join(FILES["orders"].splitlines(keepends=True)[:3]))

    for source, to in ((folder, out), (early, tmp_path / "early-out")):
        assert invoke("history", "import", source, "--out", to, "--as-of", "2025-04-01").exit_code == 0

    assert contents(out) == contents(tmp_path / "early-out")


@pytest.mark.parametrize("day", ["yesterday", "20250401", "2025-W14-2", "2025-02-29", "2025-04-01T00:00"])
def test_a_day_that_is_none_is_refused(folder: Path, out: Path, day: str) -> None:
    result = invoke("history", "import", folder, "--out", out, "--as-of", day)

    assert (result.exit_code, out.exists()) == (2, False)
    assert "must be a day like 2025-12-31" in result.stderr


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_customers_are_not_mixed_up_at_the_ends_of_the_calendar(folder: Path, out: Path, day: str) -> None:
    assert invoke("history", "import", folder, "--out", out, "--as-of", day).exit_code == 0

    history = load_history(out / HISTORY_FILE)
    items = [context.total_items_bought for context in contexts_as_of(history, np.arange(3), np.full(3, day, "M8[D]"))]
    assert items == ([0, 0, 0] if day < "2025" else [0, 4, 5])


def test_progress_is_a_line_for_each_file_without_a_terminal(folder: Path, out: Path) -> None:
    result = invoke("history", "import", folder, "--out", out)

    names = ("customers", "orders", "order_lines", "coupon_issues")
    assert result.stderr.splitlines() == [f"reading {name}.csv, {len(FILES[name].encode())} bytes" for name in names]


def test_progress_is_a_bar_on_a_terminal(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    result = invoke("history", "import", folder, "--out", out)

    assert "order_lines.csv" in result.stderr
    assert "━" in result.stderr
    assert "reading" not in result.stderr


async def test_what_import_writes_can_be_loaded_and_gives_the_contexts_of_the_history(
    connection: asyncpg.Connection, tmp_path: Path, out: Path
) -> None:
    shop = generate(3, customers=20, products=50, coupons=20)
    write_history(shop, tmp_path / "files")
    with (tmp_path / "files" / "customers.csv").open("a") as file:
        file.write("21,F,1980-06-01\nC-22,M,1980-06-01\n")
    result = invoke("history", "import", tmp_path / "files", "--out", out, "--as-of", "2025-07-01")
    assert "note: 1 customers are not in customer_info.csv" in result.stdout

    report = await load(
        connection, read_folder(out), shift=False, dry_run=False, today=shop.history.coupons[0].end_date
    )

    history = read(tmp_path / "files").history
    everybody = np.arange(len(history.customers.ids))
    known = contexts_as_of(history, everybody, np.full(len(everybody), np.datetime64("2025-07-01")))
    found = await connection.fetch("SELECT * FROM customer_info ORDER BY customer_id")
    assert inserted(report) == [50, 40, len(read_folder(out).links.rows), 21]
    assert [context_from_row(row, NOBODY) for row in found] == known[:-1]
    assert known[-2:] == [
        CustomerContext("21", Gender.FEMALE, 45, 0.0, 0, 0.0, 0, 0, 0),
        CustomerContext("C-22", Gender.MALE, 45, 0.0, 0, 0.0, 0, 0, 0),
    ]


def inserted(report: LoadReport) -> list[int]:
    assert report.refused == 0
    return [table.inserted for table in report.tables]


def test_rows_writes_every_coupon_whose_fate_is_known(folder: Path, tmp_path: Path, out: Path) -> None:
    invoke("history", "import", folder, "--out", out)

    early, late = tmp_path / "early.csv", tmp_path / "late.csv"
    first = invoke("history", "rows", out, early, "--as-of", "2025-04-03")
    second = invoke("history", "rows", out, late, "--as-of", "2025-05-01")

    assert (first.stdout, second.stdout) == (f"{early}: 2 rows\n", f"{late}: 3 rows\n")
    with late.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["customer_id"], row["coupon_id"], row["issued_on"], row["is_redeemed"]) for row in rows] == [
        ("anna", "1", "2025-03-20", "1"),
        ("anna", "2", "2025-03-20", "0"),
        ("bert", "3", "2025-04-02", "0"),
    ]
    assert rows[0]["decision"] == rows[1]["decision"] != rows[2]["decision"]


def test_rows_that_cannot_be_written_leave_nothing_behind(
    folder: Path, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke("history", "import", folder, "--out", out)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    for file in (tmp_path / "folder", tmp_path / "pipe", tmp_path / "gone" / "rows.csv"):
        assert typed(monkeypatch, "history", "rows", out, file, "--as-of", "2025-05-01") == 3
        assert f"{file} cannot be written: " in capsys.readouterr().err
    assert names_in(tmp_path) == {"files", "out", "folder", "pipe"}
    assert (tmp_path / "pipe").is_fifo()


def test_rows_of_a_folder_that_nobody_has_imported_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "history", "rows", tmp_path, tmp_path / "rows.csv") == 3
    assert "`python -m app history import DIR --out OUT` writes it" in capsys.readouterr().err


def test_rows_do_not_depend_on_the_order_of_rows_in_the_files(folder: Path, tmp_path: Path, out: Path) -> None:
    lines = {name: text.splitlines() for name, text in FILES.items()}
    turned = {name: "\n".join([head, *reversed(rows)]) for name, (head, *rows) in lines.items()}
    other = write_history_folder(tmp_path / "turned", **turned)

    for source, to in ((folder, out), (other, tmp_path / "other")):
        invoke("history", "import", source, "--out", to)
        invoke("history", "rows", to, to / "rows.csv", "--as-of", "2025-05-01")

    assert (out / "rows.csv").read_bytes() == (tmp_path / "other" / "rows.csv").read_bytes()
    assert listed(load_history(out / HISTORY_FILE)) == listed(load_history(tmp_path / "other" / HISTORY_FILE))
