"""Rate limits: calls per second and account, shared by all workers.

What calls take of the processor is not estimated here but measured, and limited on each
worker by `broker.runtime.shares`.
"""

from broker.errors import Throttling
from broker.model.account import AccountId
from broker.runtime.clock import Clock
from broker.runtime.shares import Shares
from broker.stores.cache.port import Cache
from broker.stores.errors import StoreUnavailableError

CALL_SECONDS = 0.001
"""Of one worker's processor time, for each call that is allowed in a second."""

SHARE_MIN = 0.1
"""Of each second: with few calls, one may still take what it needs."""

_FREE_SHARE = 20
_AWAY_SECONDS = 1.0


class _Count:
    """What was counted in a second: by all, and here since the others were told."""

    __slots__ = ("told", "untold")

    def __init__(self) -> None:
        self.told = 0
        self.untold = 0


class RateLimits:
    """Counts calls, or whatever else, a second.

    A worker counts by itself first: it asks the cache each time that it has counted a
    twentieth of the limit, so quiet accounts cost nothing. While the cache is away,
    each worker enforces the limit on its own.

    ``shares`` limit what the calls take of this worker's processor.
    """

    def __init__(self, cache: Cache, clock: Clock, *, calls_per_second: int) -> None:
        self._cache = cache
        self._clock = clock
        self._calls_per_second = calls_per_second
        self.shares = Shares(
            calls_per_second and max(calls_per_second * CALL_SECONDS, SHARE_MIN)
        )
        self._second = 0
        self._counts: dict[tuple[str, bytes], _Count] = {}
        self._away_until = 0.0

    async def charge(self, account: AccountId, service: str, calls: int) -> None:
        """Count an account's call before it is answered, as one or as several.

        Each service has the limit for itself. What counts for more than the whole limit
        is allowed once a second.

        Raises:
            Throttling: it was too much.
        """
        limit = self._calls_per_second
        if limit and not await self.allow(
            service, account.encode("ascii"), limit, min(calls, limit)
        ):
            raise Throttling(detail=f"more than {limit} calls of {service} in a second")

    async def allow(
        self, space: str, key: bytes, per_second: int, amount: int = 1
    ) -> bool:
        """Count one or more, and say whether it is within the limit of this second."""
        second = int(self._clock.now().timestamp())
        if second != self._second:
            self._second = second
            self._counts.clear()
        count = self._counts.get((space, key))
        if count is None:
            count = self._counts[space, key] = _Count()
        untold = count.untold = count.untold + amount
        if count.told + untold > per_second:
            return False
        if untold <= per_second // _FREE_SHARE:
            return True
        if self._clock.monotonic() < self._away_until:
            return True
        count.untold = 0
        try:
            told = await self._cache.hit(space, key, untold)
        except StoreUnavailableError:
            count.untold += untold
            self._away_until = self._clock.monotonic() + _AWAY_SECONDS
            return True
        count.told = max(count.told, told)
        return told <= per_second
