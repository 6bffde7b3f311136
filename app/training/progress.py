"""What a training tells while it runs."""

from typing import Protocol


class Progress(Protocol):
    """Told of stages, and of the steps in them."""

    def stage(self, name: str, steps: int) -> None:
        """A stage begins; `steps` is how many it has, 0 where nobody knows."""
        ...

    def step(self, what: str = "") -> None:
        """One step of the stage is done."""
        ...

    def say(self, text: str) -> None:
        """Something worth a line."""
        ...


class Silent:
    """Progress that nobody watches."""

    def stage(self, name: str, steps: int) -> None:
        """See Progress."""

    def step(self, what: str = "") -> None:
        """See Progress."""

    def say(self, text: str) -> None:
        """See Progress."""
