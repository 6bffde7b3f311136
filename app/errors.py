"""Every error of the service.

::

    ServiceError
    ├── ConfigurationError      the environment is incomplete or wrong
    ├── EventRefused            an event that the contract refuses
    ├── DatasetRefused          a data folder that cannot be loaded at all
    ├── ModelRefused            a model artefact that must not be used
    ├── ModelUnknown            the registry has no such model
    ├── ModelInUse              a model that an alias names cannot be deleted
    ├── PromotionRefused        a model that is not to succeed the champion
    ├── NothingBefore           an alias that has named no other model cannot be rolled back
    ├── PublishRefused          the broker says no to a message
    ├── MigrationRefused        a revision that the database cannot be brought to
    ├── EmbeddedFailed          a server that was to run beside the service does not start
    └── Unavailable             an outside system is away; try again
        ├── BrokerUnavailable
        ├── DatabaseUnavailable
        ├── CentralUnavailable
        └── ScorerUnavailable
"""

from collections.abc import Sequence
from dataclasses import dataclass


class ServiceError(Exception):
    """Something went wrong that this service has a name for."""


class ConfigurationError(ServiceError):
    """The environment is incomplete or wrong; `problems` holds one sentence for each variable."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field of an event that the contract refuses: which, the reason code, and a sentence."""

    field: str
    code: str
    detail: str


class EventRefused(ServiceError):
    """An event that the contract refuses, with at least one problem."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{problem.field or 'the message'} {problem.detail}" for problem in problems))
        self.problems = tuple(problems)

    @property
    def code(self) -> str:
        """The reason code of the first problem."""
        return self.problems[0].code


class DatasetRefused(ServiceError):
    """A data folder cannot be loaded at all: a file or a column is missing."""


class ModelRefused(ServiceError):
    """A model artefact must not be used: wrong checksum, unknown types, or other features than this version encodes."""


class ModelUnknown(ServiceError):
    """The registry has no model of this version."""

    def __init__(self, version: str) -> None:
        super().__init__(f"there is no model {version}")


class ModelInUse(ServiceError):
    """An alias names the model."""


class PromotionRefused(ServiceError):
    """A model falls behind the champion; `objections` holds a sentence for each figure."""

    def __init__(self, version: str, objections: Sequence[str]) -> None:
        super().__init__(f"{version} is not promoted: {'; '.join(objections)}")
        self.objections = tuple(objections)


class NothingBefore(ServiceError):
    """There is no model that the alias named before, or it was deleted."""


class PublishRefused(ServiceError):
    """The broker refuses a message on a topic (access rules, quota, size)."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"the broker refuses to publish on {topic!r}: {reason}")
        self.topic = topic
        self.reason = reason


class MigrationRefused(ServiceError):
    """The database cannot be brought to a revision: nobody knows that revision, or the one the database is at."""


class EmbeddedFailed(ServiceError):
    """A server that was to run beside the service does not start; the message quotes its log."""


class Unavailable(ServiceError):
    """An outside system did not answer, or not as agreed; trying again may help."""


class BrokerUnavailable(Unavailable):
    """There is no connection to the broker, or it was lost before the message was acknowledged."""


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer, or cannot do the work now."""


class CentralUnavailable(Unavailable):
    """The central datacentre did not answer in time, or not with a valid context."""


class ScorerUnavailable(Unavailable):
    """The outside prediction service did not answer in time, or not with valid predictions."""
