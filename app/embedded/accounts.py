"""The account a server runs under: PostgreSQL refuses to run as root."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from app.errors import EmbeddedFailed

PREFERRED_ACCOUNTS = ("postgres", "_postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the operating system, with its group."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """The account to change to; None when this process is not root and needs none. Raises EmbeddedFailed."""
    if os.geteuid() != 0:
        return None
    for name in PREFERRED_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedFailed(f"PostgreSQL does not run as root, and there is no user {' or '.join(PREFERRED_ACCOUNTS)}")


def can_reach(path: Path, account: Account | None) -> bool:
    """Whether the account may enter the directory (or read the file), and enter every directory above it."""
    if account is None:
        return True
    resolved = path.resolve()
    last = stat.S_IXUSR if resolved.is_dir() else stat.S_IRUSR
    return _may(resolved, account, last) and all(_may(above, account, stat.S_IXUSR) for above in resolved.parents)


def _may(path: Path, account: Account, owner_bit: int) -> bool:
    status = path.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & owner_bit)
    if status.st_gid == account.gid:
        return bool(status.st_mode & owner_bit >> 3)
    return bool(status.st_mode & owner_bit >> 6)
