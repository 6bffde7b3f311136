"""`python -m app drift`: what the model is asked about beside what it was measured on; how redemptions go."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.domain.drift_report import Drift
    from app.settings import Settings

drift_cli = typer.Typer(help="How far the model in service is asked about other things than it was measured on.")


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("must be a day like 2026-12-31") from None


@drift_cli.callback(invoke_without_command=True)
def drift(
    context: typer.Context,
    day: Annotated[str | None, typer.Option(metavar="DAY", help="Day of the events (UTC); default: yesterday.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Compare a day's decisions of the model in service with the model's card, feature by feature (PSI).

    What the service has measured of the day already is shown as it was; nothing is changed.
    """
    if context.invoked_subcommand is not None:
        return
    from app.drift import last_day
    from app.settings import Settings
    from app.utils.log_config import configure_logging

    configure_logging("WARNING", "")
    chosen = _day(day) or last_day(datetime.now(UTC))
    found = asyncio.run(_measured(Settings.from_environment(needs_broker=False), chosen))
    if as_json:
        import orjson

        typer.echo(orjson.dumps(_document(found), option=orjson.OPT_INDENT_2).decode())
        return
    for line in _lines(found):
        typer.echo(line)


async def _measured(settings: "Settings", day: date) -> "Drift":
    from app.active_model import ActiveModel
    from app.adapters.postgres.catalogue import PostgresCatalogue
    from app.adapters.postgres.database import Database
    from app.adapters.postgres.decisions import PostgresDecisionLog
    from app.adapters.postgres.drift import PostgresDriftReports
    from app.adapters.postgres.models import PostgresModelRegistry
    from app.adapters.scorer_sklearn import read_files
    from app.adapters.scorer_worker import build_model
    from app.domain.department import DepartmentNames
    from app.domain.drift_report import compared
    from app.drift import measure

    shipped = build_model(read_files(settings.model_dir), settings.model_dir)
    async with Database.open(settings.postgres_url, size=1) as database, AsyncExitStack() as stack:
        active = ActiveModel(
            PostgresModelRegistry(database),
            shipped,
            lambda version, files: build_model(files, Path(version)),
            lambda problem: None if problem is None else typer.echo(problem, err=True),
        )
        stack.callback(active.close)
        await active.read()
        model, reports = active.current, PostgresDriftReports(database)
        report = await reports.of_day(model.card.version, day)
        if report is None:
            catalogue = PostgresCatalogue(database, DepartmentNames.with_aliases(settings.department_aliases))
            report = await measure(day, model, PostgresDecisionLog(database), await catalogue.read())
        return compared(report, model.card, await reports.first(model.card.version))


def _document(found: "Drift") -> dict[str, object]:
    report = found.report
    features = [
        {
            "name": one.name,
            "psi": one.index,
            "psi_since_start": one.since_start,
            "by_chance": one.chance,
            "degree": one.degree,
        }
        for one in found.features
    ]
    counts = {"decisions": report.decisions, "customers": report.customers, "coupons": report.coupons}
    return {"day": report.day, "model_version": report.model_version, **counts, "features": features}


def _lines(found: "Drift") -> list[str]:
    from app.domain.drift_report import LEAST_DECISIONS

    report = found.report
    head = f"{report.day}, {report.model_version}: {report.decisions:,} decisions"
    if not report.is_enough:
        return [f"{head}, too few to tell of drift: {LEAST_DECISIONS} are needed"]
    if not found.features:
        return [f"{head}, measured in other bins than those of the model's card: nothing can be compared"]
    width = max(len(one.name) for one in found.features)
    rows = [
        f"{one.name:{width}}  {one.index:7.3f}  {_since(one.since_start)}  {one.chance:9.3f}  {one.degree}"
        for one in found.features
    ]
    degrees = Counter(one.degree for one in found.features)
    return [
        f"{head} with {report.customers:,} customers and {report.coupons:,} coupons",
        f"{'feature':{width}}      PSI  since start  by chance  degree",
        *rows,
        ", ".join(f"{count} {name}" for name, count in degrees.items()),
    ]


def _since(index: float | None) -> str:
    return f"{'':11}" if index is None else f"{index:11.3f}"


@drift_cli.command()
def redemptions(
    folder: Annotated[Path, typer.Argument(help="What `history import` has written.")],
) -> None:
    """Say on which days of a history the rate of redemptions changed, and from what to what (ADWIN)."""
    from app.adapters.adwin import adwin
    from app.adapters.history_store import HISTORY_FILE, load_history
    from app.domain.redemption import RedemptionWatch, changes
    from app.training.redemptions import outcomes

    detector = adwin()
    known = list(outcomes(load_history(folder / HISTORY_FILE)))
    rate = sum(is_redeemed for _, is_redeemed in known) / len(known)
    typer.echo(f"{len(known):,} coupons handed out from {known[0][0]} to {known[-1][0]}, {rate:.1%} redeemed in time")
    found = list(changes(RedemptionWatch(detector), known))
    for change in found:
        typer.echo(
            f"{change.day}: from {change.before:.1%} to {change.after:.1%}, as coupons of {change.noticed_on} showed"
        )
    if not found:
        typer.echo("the rate has not changed")
