"""`python -m app model`: the registry, and which model decides."""

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.domain.registry import Alias, AliasChange, Change, RegisteredModel, flaw
from app.errors import ModelRefused, ModelUnknown

if TYPE_CHECKING:
    from app.ports import ModelChecker, ModelRegistry

SHIPPED = "the model that the service was started with"
NOBODY = "no model"

Answer = TypeVar("Answer")
Version = Annotated[str, typer.Argument(help="Version, as `model list` shows it; its beginning will do.")]


def _printable(text: str) -> str:
    if not text.isprintable() or len(text) > 500:
        raise typer.BadParameter("must be a line of at most 500 characters")
    return text


Reason = Annotated[str, typer.Option(help="Why; kept in the history of the alias.", callback=_printable)]
Which = Annotated[Alias, typer.Option("--alias", help="Which alias.")]

model_cli = typer.Typer(help="The registry of models, and which of them decides.", no_args_is_help=True)


@model_cli.command("list")
def list_models() -> None:
    """List the models, and which alias names which."""

    async def read(registry: "ModelRegistry") -> list[str]:
        named = await registry.named()
        return [
            _line(model, [alias for alias, version in named.items() if version == model.version])
            for model in await registry.models()
        ]

    lines = _with_registry(read)
    for line in lines:
        typer.echo(line)
    if not lines:
        typer.echo("there is no model: `python -m app model register DIR` adds one; the shipped one serves", err=True)


def _line(model: RegisteredModel, aliases: list[Alias]) -> str:
    figures = "its card is not one of this version of the service"
    if model.card is not None:
        shown = (("PR-AUC", "pr_auc"), ("log-loss", "log_loss"))
        found = [(words, model.card.metrics.get(name)) for words, name in shown]
        figures = "  ".join(f"{words} {value:.4f}" for words, value in found if value is not None)
    return f"{model.version:40} {model.registered_at:%Y-%m-%d %H:%M}  {figures}  {' '.join(aliases)}".rstrip()


@model_cli.command()
def register(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The folder that `train` or `package` has written.")],
) -> None:
    """Check a model in a process of its own, and keep it. It serves only when it is promoted."""
    from app.adapters.scorer_sklearn import read_files
    from app.registry import register as register_model

    files = read_files(folder)
    done = _with_registry(
        lambda registry: register_model(registry, _checker(context), files, datetime.now(UTC), account())
    )
    typer.echo(
        f"{done.card.version}: {'registered' if done.is_new else 'was there already'}; "
        f"it scores 190 coupons in {done.milliseconds:.2f} ms"
    )


@model_cli.command()
def card(model: Annotated[str, typer.Argument(help="A version, or a folder with a model.")]) -> None:
    """Show a model's card."""
    from app.adapters.scorer_sklearn import checked_card
    from app.domain.model_card import CARD_FILE
    from app.training.card_text import card_text

    path = Path(model) / CARD_FILE
    if path.exists():
        in_folder = checked_card(path.read_bytes(), path)
        if (problem := flaw(in_folder)) is not None:
            raise ModelRefused(f"{path}: {problem}")
        typer.echo(card_text(in_folder))
        return
    found = _with_registry(lambda registry: _found(registry, model))
    if found.card is None:
        raise ModelRefused(f"the card of {found.version} is not one of this version of the service")
    typer.echo(card_text(found.card))


@model_cli.command()
def promote(
    context: typer.Context,
    version: Version,
    alias: Which = Alias.CHAMPION,
    reason: Reason = "",
    force: Annotated[
        bool, typer.Option("--force", help="Though it falls behind the champion; needs --reason.")
    ] = False,
) -> None:
    """Let an alias name a model. A champion decides in all instances within seconds, without a restart."""
    from app.registry import point

    if force and not reason.strip():
        raise typer.BadParameter("--force needs a --reason")

    async def pointed(registry: "ModelRegistry") -> AliasChange:
        whole = (await _found(registry, version)).version
        return await point(registry, _checker(context), Change(alias, whole, account(), reason, is_forced=force))

    typer.echo(_told(_with_registry(pointed)))


@model_cli.command()
def rollback(context: typer.Context, alias: Which = Alias.CHAMPION, reason: Reason = "") -> None:
    """Let an alias name again what it named before; once more, what it named before that."""
    from app.registry import roll_back

    done = _with_registry(
        lambda registry: roll_back(registry, _checker(context), alias, changed_by=account(), reason=reason)
    )
    typer.echo(_told(done))


@model_cli.command()
def history(
    at: Annotated[datetime | None, typer.Option(help="What the aliases named at this time (UTC).")] = None,
) -> None:
    """Show what every alias has named, newest first; or what they named at a time."""
    if at is not None:
        named = _with_registry(lambda registry: registry.named(at.replace(tzinfo=UTC)))
        for alias, version in named.items():
            typer.echo(f"{alias:12} {_named(alias, version)}")
        return
    changes = _with_registry(lambda registry: registry.changes())
    for change in reversed(changes):
        typer.echo(_told(change))
    if not changes:
        typer.echo(f"no alias was ever pointed at a model: {SHIPPED} decides", err=True)


@model_cli.command()
def delete(version: Annotated[str, typer.Argument(help="The whole version, as `model list` shows it.")]) -> None:
    """Delete a model that no alias names."""
    from app.registry import remove

    _with_registry(lambda registry: remove(registry, version))
    typer.echo(f"deleted: {version}")


@model_cli.command()
def download(version: Version, out: Annotated[Path, typer.Argument(help="Folder to write the files to.")]) -> None:
    """Write a model's files into a folder that holds no other model."""
    from app.model_bundle import MAX_FILE_BYTES, by_name

    async def read(registry: "ModelRegistry") -> dict[str, bytes]:
        whole = (await _found(registry, version)).version
        files = await registry.files(whole)
        if files is None:
            raise ModelUnknown(whole)
        return by_name(files)

    contents = _with_registry(read)
    if there := [name for name in MAX_FILE_BYTES if (out / name).exists()]:
        raise ModelRefused(f"{out} holds a {there[0]} already: name another folder")
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        part = out / f"{name}.part"
        part.write_bytes(content)
        part.replace(out / name)
        typer.echo(out / name)


def _named(alias: Alias, version: str | None) -> str:
    return version or (SHIPPED if alias is Alias.CHAMPION else NOBODY)


def _told(done: AliasChange) -> str:
    change = done.change
    how = " (forced)" if change.is_forced else " (rolled back)" if change.is_rollback else ""
    why = f": {change.reason}" if change.reason else ""
    what = f"{change.alias} is {_named(change.alias, change.version)}{how}"
    return f"{done.since:%Y-%m-%d %H:%M:%S} {what}, by {change.changed_by}{why}"


def account(read: Callable[[], str] = getpass.getuser) -> str:
    """The account's name; in a container it may have none."""
    try:
        name = read()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
    return name if name.isprintable() else repr(name)


def _checker(context: typer.Context) -> "ModelChecker":
    """A process for each model, unless whoever invokes the command has another."""
    from app.adapters.model_check import ChildChecker

    return context.obj or ChildChecker()


async def _found(registry: "ModelRegistry", version: str) -> RegisteredModel:
    """The one model whose version begins so."""
    models = [model for model in await registry.models() if model.version.startswith(version)]
    exact = [one for one in models if one.version == version] or models
    if len(exact) > 1:
        raise ModelRefused(f"{len(exact)} models begin with {version!r}: `python -m app model list` shows them")
    if not exact:
        raise ModelUnknown(f"{version!r}: `python -m app model list` shows what there is")
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
