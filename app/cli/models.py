"""`python -m app model`: the registry, and which model decides."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.cli.work import EXIT_REFUSED, fail
from app.domain.registry import Alias, AliasChange, current

if TYPE_CHECKING:
    from app.domain.model_card import ModelCard
    from app.ports import ModelRegistry

Answer = TypeVar("Answer")
Version = Annotated[str, typer.Argument(help="Version, as `model list` shows it; its beginning will do.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the history of the alias.")]
Which = Annotated[Alias, typer.Option("--alias", help="Which alias.")]

model_cli = typer.Typer(help="The registry of models, and which of them decides.", no_args_is_help=True)


@model_cli.command("list")
def list_models() -> None:
    """List the models, and which alias names which."""

    async def read(registry: "ModelRegistry") -> list[str]:
        changes = await registry.changes()
        return [
            _line(
                model.card,
                model.registered_at,
                [alias for alias in Alias if current(changes, alias) == model.card.version],
            )
            for model in await registry.models()
        ]

    lines = _with_registry(read)
    for line in lines:
        typer.echo(line)
    if not lines:
        typer.echo("there is no model: `python -m app model register DIR` adds one; the shipped one serves", err=True)


def _line(card: "ModelCard", registered_at: datetime, aliases: list[Alias]) -> str:
    figures = f"PR-AUC {card.metrics['pr_auc']:.3f}  log-loss {card.metrics['log_loss']:.4f}"
    return f"{card.version:40} {registered_at:%Y-%m-%d %H:%M}  {figures}  {' '.join(aliases)}".rstrip()


@model_cli.command()
def register(
    folder: Annotated[Path, typer.Argument(help="The folder that `train` has written.")],
) -> None:
    """Check a model in a process of its own, and keep it. It serves only when it is promoted."""
    from app.adapters.model_check import ChildChecker
    from app.adapters.scorer_sklearn import read_files
    from app.registry import register as register_model

    files = read_files(folder)
    card, is_new = _with_registry(
        lambda registry: register_model(registry, ChildChecker(), files, datetime.now(UTC), getpass.getuser())
    )
    typer.echo(f"{card.version}: {'registered' if is_new else 'was there already'}")


@model_cli.command()
def card(model: Annotated[str, typer.Argument(help="A version, or a folder with a model.")]) -> None:
    """Show a model's card."""
    from app.adapters.scorer_sklearn import checked_card
    from app.domain.model_card import CARD_FILE
    from app.training.card_text import card_text

    path = Path(model) / CARD_FILE
    if path.exists():
        typer.echo(card_text(checked_card(path.read_bytes(), path)))
        return
    found = _with_registry(lambda registry: _found(registry, model))
    typer.echo(card_text(found))


@model_cli.command()
def promote(
    version: Version,
    alias: Which = Alias.CHAMPION,
    reason: Reason = "",
    force: Annotated[
        bool, typer.Option("--force", help="Though it falls behind the champion; needs --reason.")
    ] = False,
) -> None:
    """Let an alias name a model. A champion decides in all instances within seconds, without a restart."""
    from app.adapters.model_check import ChildChecker
    from app.registry import point

    if force and not reason.strip():
        raise typer.BadParameter("--force needs a --reason")

    async def pointed(registry: "ModelRegistry") -> AliasChange:
        whole = (await _found(registry, version)).version
        who = getpass.getuser()
        return await point(registry, ChildChecker(), alias, whole, changed_by=who, reason=reason, is_forced=force)

    typer.echo(_told(_with_registry(pointed)))


@model_cli.command()
def rollback(alias: Which = Alias.CHAMPION, reason: Reason = "") -> None:
    """Let an alias name again what it named before."""
    from app.registry import roll_back

    who = getpass.getuser()
    typer.echo(_told(_with_registry(lambda registry: roll_back(registry, alias, changed_by=who, reason=reason))))


@model_cli.command()
def history(
    at: Annotated[datetime | None, typer.Option(help="What the aliases named at this time (UTC).")] = None,
) -> None:
    """Show what every alias has named, newest first; or what they named at a time."""
    changes = _with_registry(lambda registry: registry.changes())
    if at is not None:
        for alias in Alias:
            named = current(changes, alias, at.replace(tzinfo=UTC))
            typer.echo(f"{alias:12} {named or 'the model that the service was started with'}")
        return
    for change in reversed(changes):
        typer.echo(_told(change))


@model_cli.command()
def delete(version: Version) -> None:
    """Delete a model that no alias names."""
    from app.registry import remove

    async def removed(registry: "ModelRegistry") -> str:
        whole = (await _found(registry, version)).version
        await remove(registry, whole)
        return whole

    typer.echo(f"deleted: {_with_registry(removed)}")


@model_cli.command()
def download(version: Version, out: Annotated[Path, typer.Argument(help="Folder to write the files to.")]) -> None:
    """Write a model's files into a folder."""
    from app.domain.model_card import CARD_FILE, MODEL_FILE, TREES_FILE

    async def read(registry: "ModelRegistry") -> dict[str, bytes | None]:
        files = await registry.files((await _found(registry, version)).version)
        if files is None:
            fail(f"there is no model {version}\n", EXIT_REFUSED)
        return {CARD_FILE: files.card, MODEL_FILE: files.model, TREES_FILE: files.trees}

    out.mkdir(parents=True, exist_ok=True)
    for name, content in _with_registry(read).items():
        if content is not None:
            (out / name).write_bytes(content)
            typer.echo(out / name)


def _told(change: AliasChange) -> str:
    named = change.version or "the model that the service was started with"
    forced = " (forced)" if change.is_forced else ""
    why = f": {change.reason}" if change.reason else ""
    return f"{change.since:%Y-%m-%d %H:%M:%S} {change.alias} is {named}{forced}, by {change.changed_by}{why}"


async def _found(registry: "ModelRegistry", version: str) -> "ModelCard":
    """The card of the one model whose version begins so."""
    cards = [model.card for model in await registry.models() if model.card.version.startswith(version)]
    exact = [one for one in cards if one.version == version] or cards
    if len(exact) != 1:
        problem = f"{len(exact)} models begin with {version!r}" if exact else f"there is no model {version!r}"
        fail(f"{problem}: `python -m app model list` shows them\n", EXIT_REFUSED)
    return exact[0]


def _with_registry(work: "Callable[[ModelRegistry], Awaitable[Answer]]") -> Answer:
    from app.adapters.postgres.database import Database
    from app.adapters.postgres.models import PostgresModelRegistry
    from app.settings import Settings

    url = Settings.from_environment(needs_broker=False).postgres_url

    async def worked() -> Answer:
        async with Database.open(url, 1) as database:
            return await work(PostgresModelRegistry(database))

    return asyncio.run(worked())
