"""Names of departments: many spellings, one department."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DOCUMENTED_DEPARTMENTS = ("Boys", "Girls", "Men", "Sports", "Women")


@dataclass(frozen=True, slots=True)
class DepartmentNames:
    """Resolves a spelling to the canonical name of its department.

    `canonical_by_key` maps a case-folded spelling to the canonical name.
    """

    canonical_by_key: Mapping[str, str]

    @classmethod
    def with_aliases(
        cls, aliases: Mapping[str, str], names: Iterable[str] = DOCUMENTED_DEPARTMENTS
    ) -> "DepartmentNames":
        """The documented departments, the aliases, and what the aliases stand for."""
        canonical = {name.casefold(): name for name in (*aliases.values(), *names)}
        resolved = {alias.strip().casefold(): canonical[name.casefold()] for alias, name in aliases.items()}
        return cls(canonical | resolved)

    def canonical(self, spelling: str) -> str:
        """The department's one name; a department that nobody has configured keeps its own spelling, trimmed."""
        trimmed = spelling.strip()
        return self.canonical_by_key.get(trimmed.casefold(), trimmed)

    def key(self, spelling: str) -> str:
        """What two spellings of the same department have in common."""
        return self.canonical(spelling).casefold()
