"""The variables of the fields: their names, their aliases, and the files that may hold secrets."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

MAX_SECRET_LENGTH = 64 * 1024
FILE_SUFFIX = "_FILE"


def variable_names(field: FieldInfo) -> list[str]:
    """The documented name of a variable and its aliases."""
    choices = field.validation_alias
    return [str(choice) for choice in choices.choices] if isinstance(choices, AliasChoices) else []


def is_secret(field: FieldInfo) -> bool:
    """Whether nobody may see the value, and a file may hold it."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def file_variables(field: FieldInfo) -> list[str]:
    """The variables that name a file with a secret's value, for the documented name and the aliases."""
    return [f"{name}{FILE_SUFFIX}" for name in variable_names(field)] if is_secret(field) else []


def secrets_in_files(fields: Iterable[FieldInfo]) -> tuple[dict[str, Any], list[str]]:
    """The secrets that files hold, by documented name, and a sentence for each that cannot be read."""
    secrets: dict[str, Any] = {}
    problems: list[str] = []
    for field in fields:
        name = next(iter(variable_names(field)), "")
        given = next((file for file in file_variables(field) if os.environ.get(file)), None)
        if given is None:
            continue
        value = next((other for other in variable_names(field) if os.environ.get(other)), None)
        try:
            if value is not None:
                raise ValueError(f"{value} is set, too; unset one of them")
            secrets[name] = _content(Path(os.environ[given]))
        except ValueError as error:
            problems.append(f"Cannot use {given} env variable: {error}.")
    return secrets, problems


def _content(path: Path) -> str:
    """What the file holds, without the newline at its end. Raises ValueError."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_SECRET_LENGTH + 1).removesuffix("\n")
    except OSError:
        raise ValueError(f"{path} cannot be read") from None
    except ValueError:
        raise ValueError(f"{path} is not a text in UTF-8") from None
    if not text:
        raise ValueError(f"{path} is empty")
    if len(text) > MAX_SECRET_LENGTH:
        raise ValueError(f"{path} is too long for a secret")
    return text


def environment() -> dict[str, str]:
    """The whole environment, to hand on to a child process."""
    return dict(os.environ)
