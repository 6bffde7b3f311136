"""`python -m app customer`: what concerns one customer."""

from typing import Annotated

import typer

from app.cli.work import Wait, connected, waiting
from app.errors import ConfigurationError


def _customer_id(text: str) -> str:
    """As events are read: nothing at all, from a variable of a shell that is not set, is the id of nobody."""
    from pydantic import TypeAdapter, ValidationError

    from app.events import CustomerId

    try:
        return str(TypeAdapter(CustomerId).validate_python(text))
    except ValidationError:
        raise typer.BadParameter("must be printable, 1 to 64 characters") from None


customer_cli = typer.Typer(help="What concerns one customer.", no_args_is_help=True)


@customer_cli.command()
def forget(
    customer_id: Annotated[str, typer.Argument(help="The customer's id, as events name it.", callback=_customer_id)],
    wait: Wait = 0,
) -> None:
    """Delete a customer's context, decisions and dead letters from the database, for good.

    What the broker still holds, and backups, are not reached: see docs/security.md.
    """
    from app.adapters.postgres import forgetting
    from app.settings import Settings

    url = Settings.from_environment(needs_broker=False).postgres_url
    counts = waiting(
        lambda: connected(url, lambda connection: forgetting.forget(connection, customer_id.strip())), wait
    )
    for table, count in counts.items():
        typer.echo(f"{table}: {count:,} rows deleted")


@customer_cli.command("hash")
def hash_customer(
    customer_id: Annotated[str, typer.Argument(metavar="ID", help="The customer's id.", callback=_customer_id)],
) -> None:
    """Print what stands for a customer in the logs of a service with the same LOG_HASH_KEY."""
    from app.settings import MISSING, Settings
    from app.utils.log_config import customer_hash

    key = Settings.partial().log_hash_key
    if key is None:
        raise ConfigurationError([MISSING.format(name="LOG_HASH_KEY")])
    typer.echo(customer_hash(key.get_secret_value(), customer_id))
