"""How often somebody may guess: failures counted per user, browser and address.

An attempt counts as a failure before anything is verified, so that many at once are no
way around; a right one is taken back. A browser that its user signed in with before
has a count of its own, so that nobody locks users out by guessing from elsewhere.

Since what is under way counts, only few attempts of one user or address are at a time;
the others wait for their turn. Honest people who come together are not taken for
somebody who guesses, and one address does not keep the hashing of passwords to itself.

Source: OWASP, "Slow Down Online Guessing Attacks with Device Cookies".
"""

import asyncio
import hashlib
import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from weakref import WeakValueDictionary

from broker.console.deps import ConsoleDeps
from broker.errors import AccessDenied, ServiceUnavailable, Throttling
from broker.stores.errors import StoreUnavailableError

WINDOW = timedelta(minutes=15)
"""From the first failure; then all are forgotten."""

PER_USER = 10
PER_ADDRESS = 100
"""Of all users: a company's people often share an address."""

_UNDER_WAY = 10
"""One in so many of a limit may be under way in a worker; more would look like failures
where there are ten workers."""

WAITING_MAX = 256
"""Attempts of one user or address that wait in a worker; 512 of all."""

_ALL_WAITING_MAX = 512
_PATIENCE_SECONDS = 30.0
"""More than 512 passwords take."""

TOO_MANY = "There were too many attempts. Wait a quarter of an hour and try again."
BUSY = "Many people are signing in just now. Try again in a moment."
_SPACE = "sign-in-failures"
_IPV6_NETWORK = 64


@dataclass(frozen=True, slots=True)
class Limit:
    """What is counted together, and how many failures it may have in the window."""

    key: bytes
    most: int


def limit_of(kind: str, *names: str, most: int = PER_USER) -> Limit:
    """The limit of what these names say together."""
    digest = hashlib.sha256(kind.encode())
    for name in names:
        text = name.encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big") + text)
    return Limit(digest.digest(), most)


def limit_of_address(address: str) -> Limit:
    """The limit of an address; of IPv6 its network, which one customer has whole."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return limit_of("address", address, most=PER_ADDRESS)
    if parsed.version == 6:  # noqa: PLR2004  # the protocol's number
        network = ipaddress.ip_network((int(parsed), _IPV6_NETWORK), strict=False)
        address = str(network)
    return limit_of("address", address, most=PER_ADDRESS)


class _Line:
    """Attempts that are counted together, in the order of coming."""

    def __init__(self, at_once: int) -> None:
        self.places = asyncio.Semaphore(at_once)
        self.waiting = 0

    def leave(self) -> None:
        """Give a place back; whoever is to do it keeps the line."""
        self.places.release()


class Attempts:
    """Counts them, in the cache of all workers."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._cache = deps.cache
        self._clock = deps.clock
        self._lines: WeakValueDictionary[bytes, _Line] = WeakValueDictionary()
        self._waiting = 0

    @asynccontextmanager
    async def one(self, limits: Sequence[Limit]) -> AsyncIterator[None]:
        """Count what is done in the block as one attempt, if it ends in AccessDenied.

        Raises:
            Throttling: it is one too many, or too many wait; the block is not entered.
            ServiceUnavailable: the cache is away.
        """
        async with AsyncExitStack() as turns:
            # The user's first: whoever waits there keeps no other of the address.
            for limit in reversed(limits):
                await self._take_turn(limit, turns)
            await self._count(limits)
            try:
                yield
            except AccessDenied:
                raise
            except Exception:
                # Nothing was found out: the broker was busy, or a store away.
                await self._take_back(limits)
                raise
            await self._take_back(limits)

    async def _take_turn(self, limit: Limit, turns: AsyncExitStack) -> None:
        line = self._lines.get(limit.key)
        if line is None:
            line = self._lines[limit.key] = _Line(max(1, limit.most // _UNDER_WAY))
        if line.waiting >= WAITING_MAX or self._waiting >= _ALL_WAITING_MAX:
            raise Throttling(BUSY, detail="too many attempts wait")
        line.waiting += 1
        self._waiting += 1
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await line.places.acquire()
        except TimeoutError as error:
            raise Throttling(BUSY, detail="an attempt waited too long") from error
        finally:
            line.waiting -= 1
            self._waiting -= 1
        turns.callback(line.leave)

    async def _count(self, limits: Sequence[Limit]) -> None:
        within = True
        for limit in limits:
            within &= await self._add(limit, 1) <= limit.most
        if not within:
            await self._take_back(limits)
            raise Throttling(TOO_MANY, detail="too many failed attempts")

    async def _take_back(self, limits: Sequence[Limit]) -> None:
        for limit in limits:
            await self._add(limit, -1)

    async def _add(self, limit: Limit, amount: int) -> int:
        try:
            return await self._cache.count(
                _SPACE, limit.key, amount, expires_at=self._clock.now() + WINDOW
            )
        except StoreUnavailableError as error:
            raise ServiceUnavailable(detail=f"the cache is away: {error}") from error
