"""What a training tells, on a terminal or in lines of text."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class Telling(Protocol):
    """See app.training.progress.Progress."""

    def stage(self, name: str, steps: int) -> None: ...

    def step(self, what: str = "") -> None: ...

    def say(self, text: str) -> None: ...


@contextmanager
def telling() -> Iterator[Telling]:
    """Bars with the time left where standard error is a terminal, else one line for each stage."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description:10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(bars)


class _Bars:
    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def stage(self, name: str, steps: int) -> None:
        if self._task is not None:
            self._bars.update(self._task, visible=False)
        self._task = self._bars.add_task(name, total=steps or None, what="")

    def step(self, what: str = "") -> None:
        if self._task is not None:
            self._bars.update(self._task, advance=1, what=what)

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)


class _Lines:
    def stage(self, name: str, steps: int) -> None:
        typer.echo(f"{name} ({steps} steps)" if steps else name, err=True)

    def step(self, what: str = "") -> None:
        pass

    def say(self, text: str) -> None:
        typer.echo(text)
