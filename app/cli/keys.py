"""`python -m app key`: the keys of the HTTP interface."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.cli.work import EXIT_REFUSED
from app.domain.access import MAX_EXPIRES_DAYS, MAX_NAME_LENGTH, ApiKey, Role

if TYPE_CHECKING:
    from app.ports import ApiKeys

Answer = TypeVar("Answer")

key_cli = typer.Typer(help="Make, list and revoke the API keys of the HTTP interface.", no_args_is_help=True)


def _printable(text: str) -> str:
    if len(text) > MAX_NAME_LENGTH or not text.isprintable():
        raise typer.BadParameter(f"must be printable, {MAX_NAME_LENGTH} characters at most")
    return text


@key_cli.command()
def create(
    role: Annotated[Role, typer.Option(help="What the key is for; each role may do what those before it may.")],
    name: Annotated[str, typer.Option(help="What to remember it by.", callback=_printable)] = "",
    expires_days: Annotated[
        int | None, typer.Option(help="Days after which it ends; default: never.", min=1, max=MAX_EXPIRES_DAYS)
    ] = None,
) -> None:
    """Make a key, and print it: this once, since only a digest of it is stored.

    From the first key on, every route but those of health wants one.
    """
    from app.access import make_key

    key, text = make_key(role, name, datetime.now(UTC), expires_days)
    _stored(lambda keys: keys.add(key))
    typer.echo(f"The key is shown this once; send it as `Authorization: Bearer <key>`. Its id: {key.key_id}", err=True)
    typer.echo(text)


@key_cli.command("list")
def list_keys() -> None:
    """List all keys that were ever made."""
    now = datetime.now(UTC)
    keys = _stored(lambda keys: keys.all())
    for key in keys:
        typer.echo(f"{key.key_id}  {key.role:7}  {_state(key, now):20}  {key.name}".rstrip())
    if not keys:
        typer.echo("there is no key: `python -m app key create --role admin` makes the first", err=True)


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    if key.expires_at is None:
        return "valid"
    return f"{'valid until' if key.is_valid(now) else 'expired'} {key.expires_at:%Y-%m-%d}"


@key_cli.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The part of the key before the point.")]) -> None:
    """End a key for good. Running services know it within seconds."""
    key_id = key_id.partition(".")[0]  # whoever has the whole key at hand must not see its secret in a terminal again
    if not _stored(lambda keys: keys.revoke(key_id, datetime.now(UTC))):
        typer.echo(f"there is no key {key_id}: `python -m app key list` shows them", err=True)
        raise typer.Exit(EXIT_REFUSED)
    typer.echo(f"revoked: {key_id}")


def _stored(work: "Callable[[ApiKeys], Awaitable[Answer]]") -> Answer:
    from app.adapters.postgres.database import Database
    from app.adapters.postgres.keys import PostgresApiKeys
    from app.settings import Settings

    url = Settings.from_environment(needs_broker=False).postgres_url

    async def on_database() -> Answer:
        async with Database.open(url, size=1) as database:
            return await work(PostgresApiKeys(database))

    return asyncio.run(on_database())
