"""Instances that share the events: how one leaves, and how a lost one is replaced."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from app.cli.work import EXIT_REFUSED, fail

if TYPE_CHECKING:
    from app.adapters.postgres.instances import InstanceState, Request

SILENCE_SECONDS = 4.0
ALONE = "{name} shares its events with nobody (MQTT_SHARED_GROUP): those to come would be lost; --force\n"

Instance = Annotated[str | None, typer.Argument(help="Client id of the instance; default: MQTT_CLIENT_ID.")]
Limit = Annotated[float, typer.Option(help="Seconds to wait for its end.", min=1)]


def drain(
    client_id: Instance = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also without MQTT_SHARED_GROUP, where nobody else gets the events: they are lost."
        ),
    ] = False,
    timeout: Limit = 600,
) -> None:
    """Let a running instance leave: it takes no new events, finishes all it has, and ends its session at the broker.

    When this returns, the instance can be stopped. For scaling in, with MQTT_SHARED_GROUP: never the last of its group,
    which nobody here can know.
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
            fail(ALONE.format(name=name), EXIT_REFUSED)
        case InstanceState.DRAINING | InstanceState.SERVING:
            fail(f"{name} is still at work on its events after {timeout:g} s; ask again\n", EXIT_REFUSED)
        case None:
            fail(
                f"nobody answers as {name}; what waits for a lost instance: python -m app adopt {name}\n", EXIT_REFUSED
            )
        case _:
            assert_never(state)


def adopt(
    client_id: Instance = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where no other instance gets the events to come: they are lost.")
    ] = False,
    timeout: Limit = 600,
) -> None:
    """Finish the events that the broker keeps for an instance that will not come back, and end its session.

    Run it in the environment of that instance: broker, topics, group, database.
    """
    from app.adapters.postgres.instances import Request
    from app.main import adopt as adopt_instance
    from app.settings import Settings

    settings = Settings.from_environment()
    name = client_id or settings.client_id
    if asyncio.run(_last_state(settings.postgres_url, name, Request.STATE, None, timeout)) is not None:
        fail(f"{name} is running: python -m app drain {name}\n", EXIT_REFUSED)
    if not settings.mqtt_shared_group and not force:
        fail(f"MQTT_SHARED_GROUP is not set here: set it as {name} had it; if it had none, --force\n", EXIT_REFUSED)

    async def adopted() -> tuple[bool, int]:
        async with asyncio.timeout(timeout):
            return await adopt_instance(settings.model_copy(update={"mqtt_client_id": name}))

    try:
        was_known, events = asyncio.run(adopted())
    except TimeoutError:
        fail(f"not all events of {name} could be finished within {timeout:g} s; the rest still waits\n", EXIT_REFUSED)
    if not was_known:
        fail(f"the broker knows no {name}\n", EXIT_REFUSED)
    typer.echo(f"{name}: {events:,} events finished, session ended")


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
