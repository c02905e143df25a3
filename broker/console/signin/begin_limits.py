"""How often a sign-in may begin: a limit a second for each address, and for all.

Anybody may begin one, and each costs a write, a signature or a question to an identity
provider. What begins is counted before any of that is done.
"""

from starlette.requests import Request

from broker.authn.attempts import limit_of_address
from broker.authz.rates import RateLimits
from broker.console.deps import ConsoleDeps
from broker.console.request_info import source_address
from broker.errors import Throttling

PER_ADDRESS = 10
"""A second; of IPv6 of a network. A company's people often share an address."""

OF_ALL = 100
"""A second, in the whole installation: a signature takes about a millisecond."""

_SPACE = "sign-ins-begun"
_EVERYBODY = b"all"
_BUSY = "Too many sign-ins begin just now. Try again in a moment."


class BeginLimits:
    """Counts in the cache of all workers; each worker alone while that is away."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._rates = RateLimits(deps.cache, deps.clock, calls_per_second=0)

    async def require(self, request: Request) -> None:
        """Count a sign-in that begins.

        Raises:
            Throttling: it is one too many.
        """
        # The address first: whoever is over their own limit takes nothing of all's.
        address = limit_of_address(source_address(request)).key
        for key, most in ((address, PER_ADDRESS), (_EVERYBODY, OF_ALL)):
            if not await self._rates.allow(_SPACE, key, per_second=most):
                raise Throttling(_BUSY, detail=f"more than {most} begin a second")
