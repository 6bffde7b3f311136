"""How much the service takes from one client, and from all of them."""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from fastapi import Request
from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage.memory import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

MAX_CLIENTS = 4096
FAILURES_PER_MINUTE = 10
PREFIX_OF_ONE_CLIENT = 64  # bits of an IPv6 address that a client does not choose
UNKNOWN_ADDRESS = "unknown"


class RateLimit:
    """So many requests for each client, over a sliding window; remembers the last `MAX_CLIENTS` clients."""

    def __init__(self, item: RateLimitItem) -> None:
        self._item = item
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._recent: OrderedDict[str, None] = OrderedDict()

    @property
    def retry_after(self) -> int:
        """Seconds after which there is room again, whatever has come."""
        return self._item.get_expiry()

    async def admits(self, client: str) -> bool:
        """Whether the client may send one more; counts it if so."""
        self._recent[client] = None
        self._recent.move_to_end(client)
        if len(self._recent) > MAX_CLIENTS:
            forgotten, _ = self._recent.popitem(last=False)
            await self._limiter.clear(self._item, forgotten)
        return await self._limiter.hit(self._item, client)


class RateLimits:
    """The limits of the HTTP interface: of requests (0 a second: none), and of wrong keys."""

    def __init__(self, per_second: int) -> None:
        self.requests = RateLimit(RateLimitItemPerSecond(per_second)) if per_second else None
        self.wrong_keys = RateLimit(RateLimitItemPerMinute(FAILURES_PER_MINUTE))


def client_address(request: Request) -> str:
    """Where the request came from; of IPv6 the network, since a client has all of its addresses."""
    host = request.client.host if request.client else UNKNOWN_ADDRESS
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:  # a server for both has the clients of the old one in a single network
            return str(address.ipv4_mapped)
        return str(int(address) >> (address.max_prefixlen - PREFIX_OF_ONE_CLIENT))
    return host
