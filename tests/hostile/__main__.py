"""`python -m tests.hostile`: send hostile inputs to a whole stack, and say what became of them."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.e2e.stack import running_stack
from tests.hostile import inputs as hostile
from tests.hostile.campaign import CampaignFailed
from tests.hostile.inputs import Input, Transport
from tests.hostile.report import attack

TELL_EVERY = 10_000


def main(
    inputs: Annotated[int, typer.Option(help="How many.", min=1)] = 100_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same inputs.")] = 1,
    transport: Annotated[Transport, typer.Option(help="mqtt, http or both.")] = "both",
    replay: Annotated[Path | None, typer.Option(help="Send the inputs of this file instead.", exists=True)] = None,
    failures: Annotated[Path, typer.Option(help="Where inputs that broke something are written.")] = Path(
        "hostile.json"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Send hostile inputs to a broker, a PostgreSQL, a central and a service started for it."""
    chosen = hostile.load(replay) if replay else None
    count = len(chosen) if chosen is not None else inputs
    stream: Iterable[Input] = chosen or (hostile.make(seed, number, transport) for number in range(inputs))
    started = time.monotonic()
    try:
        with (
            running_stack(MAX_PRODUCTS_IN_MESSAGE="1", HTTP_RATE_LIMIT="0") as stack,
            _progress(count, quiet=as_json) as tell,
        ):
            report = asyncio.run(attack(stack, stream, tell))
    except CampaignFailed as failure:
        hostile.save(failures, seed, failure.inputs)
        numbers = [one.number for one in failure.inputs]
        sys.stderr.write(f"seed {seed}: {failure}\n{len(numbers)} inputs written to {failures}: --replay {failures}\n")
        if numbers:
            sys.stderr.write(f"numbers {min(numbers)} to {max(numbers)}\n")
        raise SystemExit(1) from None
    report["seconds"] = round(time.monotonic() - started, 1)
    _print({"seed": seed, **report}, as_json=as_json)


def _print(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(f"{json.dumps(report)}\n")
        return
    for name, value in report.items():
        sys.stdout.write(f"{name:28} {value}\n")


@contextmanager
def _progress(count: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal or quiet:
        yield lambda sent: None if quiet or sent % TELL_EVERY else console.print(f"{sent} of {count} inputs sent")
        return
    columns = (TextColumn("hostile inputs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=count)
        yield lambda sent: bar.update(task, completed=sent)


typer.run(main)
