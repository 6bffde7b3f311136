"""Who may do what over HTTP."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

MAX_NAME_LENGTH = 100
MAX_EXPIRES_DAYS = 3650


class Role(StrEnum):
    """What an API key is for, from little to much: each role may do all that the roles before it may."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    def covers(self, wanted: "Role") -> bool:
        """Whether a key of this role may do what the wanted role is for."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(wanted)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored: of its secret, the digest alone."""

    key_id: str
    digest: bytes = field(repr=False)
    role: Role
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def digest_of(secret: str) -> bytes:
    """What is kept of a secret. A fast hash is right here: nobody can try all values of 256 random bits.

    For a password, which people make up, it would be wrong.
    """
    return blake2b(secret.encode(), digest_size=32).digest()
