"""Rate limits on starting a sign-in: per source address and for the installation.

Anyone can start one, and each costs a write, a signature or a request to an identity
provider. It is counted before any of that work is done.
"""

from broker.authn.attempts import limit_of_address
from broker.authz.rates import RateLimits
from broker.clock import Clock
from broker.errors import Throttling
from broker.stores.cache.port import Cache

PER_ADDRESS = 10
"""Per second and address (for IPv6 per network); whole companies share an address."""

OF_ALL = 100
"""Per second for the whole installation; a signature takes about a millisecond."""

_SPACE = "sign-ins-begun"
_EVERYONE = b"all"
_BUSY = "Too many sign-ins are being started. Try again in a moment."


class BeginLimits:
    """Counts in the shared cache; per worker while the cache is unavailable."""

    def __init__(self, cache: Cache, clock: Clock) -> None:
        self._rates = RateLimits(cache, clock, calls_per_second=0)

    async def require(self, address: str) -> None:
        """Count the start of a sign-in from this address.

        Raises:
            Throttling: A limit is exceeded.
        """
        # By address first, so that one abuser cannot use up the limit for everyone.
        own = limit_of_address(address).key
        for key, most in ((own, PER_ADDRESS), (_EVERYONE, OF_ALL)):
            if not await self._rates.allow(_SPACE, key, per_second=most):
                raise Throttling(_BUSY, detail=f"more than {most} started per second")
