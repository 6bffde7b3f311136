"""The named statements of the files in app/sql."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load_queries(file_name: str) -> Mapping[str, str]:
    """The statements of a file by their names, which `-- name: ...` gives to what follows. Read once."""
    _, *parts = NAME.split((files("app") / "sql" / file_name).read_text(encoding="utf-8"))
    return MappingProxyType(dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True)))
