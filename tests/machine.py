"""What figures were measured on."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version

from app.embedded.broker import find_mosquitto


def machine(libraries: Sequence[str]) -> str:
    """Cores, system, Python, broker, and the versions of these libraries."""
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"{_mosquitto_version()}, {versions}"
    )


def _mosquitto_version() -> str:
    program = find_mosquitto()
    if program is None:
        return "no mosquitto"
    shown = subprocess.run([program, "-h"], capture_output=True, timeout=10, check=False).stdout.decode()
    return shown.partition("\n")[0].strip()
