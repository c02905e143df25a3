"""Rate limits: calls per second and account, shared by all workers."""

from broker.clock import Clock
from broker.errors import Throttling
from broker.model.account import AccountId
from broker.stores.cache.port import Cache
from broker.stores.errors import StoreUnavailableError

_FREE_SHARE = 20
_AWAY_SECONDS = 1.0


class RateLimits:
    """Counts calls a second.

    A worker counts by itself first: up to a twentieth of the limit it does not ask the
    cache, so quiet accounts cost nothing. While the cache is away, each worker enforces
    the limit on its own.
    """

    def __init__(self, cache: Cache, clock: Clock, *, calls_per_second: int) -> None:
        self._cache = cache
        self._clock = clock
        self._calls_per_second = calls_per_second
        self._second = 0
        self._counts: dict[tuple[str, bytes], int] = {}
        self._away_until = 0.0

    async def require(self, account: AccountId, service: str, calls: int = 1) -> None:
        """Count a call of the account, or as many ``calls`` as it stands for.

        Each service has the limit for itself. A call that counts for more than the
        limit is allowed once a second.

        Raises:
            Throttling: it was one too many.
        """
        limit = self._calls_per_second
        if limit and not await self.allow(
            f"{service}-calls",
            account.encode("ascii"),
            per_second=limit,
            amount=min(calls, limit),
        ):
            raise Throttling(detail=f"more than {limit} {service} calls a second")

    async def allow(
        self, space: str, key: bytes, *, per_second: int, amount: int = 1
    ) -> bool:
        """Count one or more, and say whether it is within the limit of this second."""
        second = int(self._clock.now().timestamp())
        if second != self._second:
            self._second = second
            self._counts.clear()
        which = (space, key)
        mine = self._counts.get(which, 0) + amount
        self._counts[which] = mine
        if mine > per_second:
            return False
        if mine <= per_second // _FREE_SHARE:
            return True
        if self._clock.monotonic() < self._away_until:
            return True
        try:
            return await self._cache.hit(
                space, key, per_second=per_second, amount=amount
            )
        except StoreUnavailableError:
            self._away_until = self._clock.monotonic() + _AWAY_SECONDS
            return True
