"""API keys: made here, and known in the process, so that no request waits for the database to be let in."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from secrets import token_hex, token_urlsafe

import structlog

from app.domain.access import ApiKey, Role, digest_of
from app.errors import DatabaseUnavailable
from app.ports import ApiKeys

log = structlog.get_logger(__name__)

PREFIX = "rk_"
ID_BYTES = 8
SECRET_BYTES = 32
READ_AGAIN_SECONDS = 2.0
FIRST_READ_SECONDS = 0.5
ADMIN_KEY_ID = "ADMIN_API_KEY"


def make_key(role: Role, name: str, now: datetime, expires_days: int | None = None) -> tuple[ApiKey, str]:
    """A new key to store, and its text `<key_id>.<secret>`, which nobody can make again."""
    key_id, secret = f"{PREFIX}{token_hex(ID_BYTES)}", token_urlsafe(SECRET_BYTES)
    expires_at = None if expires_days is None else now + timedelta(days=expires_days)
    return ApiKey(key_id, digest_of(secret), role, name, now, expires_at), f"{key_id}.{secret}"


class KeyRing:
    """The keys of the store as last read, and the admin key of the environment, if there is one.

    While the store is away, the keys read last still serve. `on_open` is told whenever it changes whether some routes
    answer anyone.
    """

    def __init__(
        self,
        keys: ApiKeys,
        admin_key: str | None,
        clock: Callable[[], datetime],
        on_open: Callable[[bool], None],
    ) -> None:
        self.store = keys
        self._clock = clock
        self._on_open = on_open
        self._known: Mapping[str, ApiKey] | None = None
        self._was_open: bool | None = None
        self._admin = None
        if admin_key is not None:
            since = datetime.min.replace(tzinfo=UTC)
            self._admin = ApiKey(ADMIN_KEY_ID, digest_of(admin_key), Role.ADMIN, ADMIN_KEY_ID, since)

    @property
    def has_been_read(self) -> bool:
        """Whether it is known which keys there are."""
        return self._known is not None

    @property
    def is_open(self) -> bool:
        """Whether there is no key, and never was one: a store whose keys are all revoked is closed."""
        return self._known is not None and not self._known and self._admin is None

    def find(self, presented: str) -> ApiKey | None:
        """The valid key that this text is."""
        if self._admin is not None and compare_digest(digest_of(presented), self._admin.digest):
            return self._admin
        key_id, _, secret = presented.partition(".")
        key = (self._known or {}).get(key_id)
        if key is None or not compare_digest(digest_of(secret), key.digest):
            return None
        return key if key.is_valid(self._clock()) else None

    async def read(self) -> None:
        """Read the keys from the store. Raises DatabaseUnavailable, and keeps what it has."""
        self._known = {key.key_id: key for key in await self.store.all()}
        if self.is_open is not self._was_open:
            self._was_open = self.is_open
            self._on_open(self.is_open)

    async def run(self) -> None:
        """Read again and again until cancelled: what is made or revoked elsewhere counts within seconds."""
        while True:
            try:
                await self.read()
            except DatabaseUnavailable as error:
                log.debug("keys not read", problem=str(error))
            await asyncio.sleep(READ_AGAIN_SECONDS if self.has_been_read else FIRST_READ_SECONDS)
