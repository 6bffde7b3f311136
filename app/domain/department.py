"""Names of departments: many spellings, one department."""

from collections.abc import Mapping
from dataclasses import dataclass

DOCUMENTED_DEPARTMENTS = ("Boys", "Girls", "Men", "Sports", "Women")
DOCUMENTED_ALIASES = {"Sport": "Sports"}


@dataclass(frozen=True, slots=True)
class DepartmentNames:
    """Resolves a spelling to the canonical name of its department.

    `canonical_by_key` maps a case-folded spelling to the canonical name.
    """

    canonical_by_key: Mapping[str, str]

    @classmethod
    def with_aliases(cls, aliases: Mapping[str, str]) -> "DepartmentNames":
        """The documented departments and aliases, and further aliases with what they stand for."""
        aliases = DOCUMENTED_ALIASES | dict(aliases)
        names = {name.casefold(): name for name in (*aliases.values(), *DOCUMENTED_DEPARTMENTS)}
        names |= {alias.strip().casefold(): names[name.casefold()] for alias, name in aliases.items()}
        for _ in aliases:  # an alias of an alias
            names = {key: names[name.casefold()] for key, name in names.items()}
        return cls(names)

    def canonical(self, spelling: str) -> str:
        """The department's one name; a department that nobody has configured keeps its own spelling, trimmed."""
        trimmed = spelling.strip()
        return self.canonical_by_key.get(trimmed.casefold(), trimmed)
