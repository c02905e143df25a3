"""Rate limits on starting a sign-in: per source address and for the installation.

Anyone can start one, and each costs a write, a signature or a request to an identity
provider. It is counted before any of that work is done.
"""

from broker.errors import Throttling
from broker.permit.rates import RateLimits
from broker.proofs.attempts import limit_of_address

PER_ADDRESS = 10
"""Per second and address (for IPv6 per network); whole companies share an address."""

OF_ALL = 100
"""Per second for the whole installation; a signature takes about a millisecond."""

PER_ADDRESS_BEYOND = 2
"""Per second and address while all together begin more: a few cannot shut out others."""

_SPACE = "sign-ins-begun"
_BEYOND = "sign-ins-begun-beyond"
_EVERYONE = b"all"
_BUSY = "Too many sign-ins are being started. Try again in a moment."


class BeginLimits:
    """Counts in the shared cache; per worker while the cache is unavailable."""

    def __init__(self, rates: RateLimits) -> None:
        self._rates = rates

    async def require(self, address: str) -> None:
        """Count the start of a sign-in from this address.

        Raises:
            Throttling: A limit is exceeded.
        """
        own, allow = limit_of_address(address).key, self._rates.allow
        # By address first, so that one abuser cannot use up the limit for everyone.
        if not await allow(_SPACE, own, per_second=PER_ADDRESS):
            raise Throttling(_BUSY, detail=f"more than {PER_ADDRESS} a second")
        if not await allow(_SPACE, _EVERYONE, per_second=OF_ALL) and not await allow(
            _BEYOND, own, per_second=PER_ADDRESS_BEYOND
        ):
            raise Throttling(_BUSY, detail=f"all together more than {OF_ALL} a second")
