"""Limits guessing: counts failures per user, browser and address.

An attempt counts as a failure until it is verified, so that parallel attempts cannot
exceed the limit. All doors share one count per user for the password and one for codes.
A browser in which the user has signed in before has its own count, so that guessing
from elsewhere cannot lock the user out.

Since unfinished attempts count, only a few per user or address run at a time and the
rest queue. People who sign in at the same moment are thus not mistaken for an attack,
and one address cannot monopolise password hashing.

Source: OWASP, "Slow Down Online Guessing Attacks with Device Cookies".
"""

import asyncio
import hashlib
import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from msgspec import Struct

from broker.errors import AccessDenied, Throttling
from broker.model.account import AccountId
from broker.model.names import fold_name
from broker.runtime.bounded import remembered
from broker.runtime.clock import Clock
from broker.stores.cache.port import Cache
from broker.stores.errors import StoreUnavailableError

WINDOW = timedelta(minutes=15)
"""From the first failure; then the count starts again."""

PER_USER = 10
PER_ADDRESS = 100
"""For all users together: people of one company often share an address."""

_UNDER_WAY = 10
"""The share of a limit that may be in progress in one worker; with ten workers, more
would look like failures.
"""

WAITING_MAX = 256
"""How many attempts of one user or address may wait in a worker; 512 in all."""

_ALL_WAITING_MAX = 512
_PATIENCE_SECONDS = 30.0
"""More than 512 passwords take."""

TOO_MANY = "There were too many attempts. Wait a quarter of an hour and try again."
BUSY = "Many people are signing in just now. Try again in a moment."
_SPACE = "sign-in-failures"
_IPV6_NETWORK = 64
_OWN_MAX = 10_000
"""Limits that a worker counts by itself; attempts beyond them wait."""

_FULL = 1 << 30


class Limit(Struct, frozen=True):
    """A key to count failures by, and how many are allowed in the window."""

    key: bytes
    most: int


def limit_of(kind: str, *names: str, most: int = PER_USER) -> Limit:
    """The limit for the combination of these names."""
    digest = hashlib.sha256(kind.encode())
    for name in names:
        text = name.encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big") + text)
    return Limit(digest.digest(), most)


def limit_of_address(address: str, kind: str = "address") -> Limit:
    """The limit for an address; for IPv6 its /64 network, which one customer has.

    What a mere link can use up has a ``kind`` of its own: a page elsewhere may make a
    browser follow a hundred of them, which must not keep people from signing in.
    """
    return limit_of(kind, network_of(address), most=PER_ADDRESS)


@remembered()
def network_of(address: str) -> str:
    """The address itself; for IPv6 its /64 network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:  # noqa: PLR2004  # the protocol's number
        network = ipaddress.ip_network((int(parsed), _IPV6_NETWORK), strict=False)
        return str(network)
    return address


def limit_of_password(account: AccountId, holder: str) -> Limit:
    """The limit of a user's password, or the root's, by unique id.

    Not by name: a user who may rename themselves could reset the count.
    """
    return limit_of("password", account, holder)


def limit_of_unknown_user(place: str, name: str) -> Limit:
    """The limit for a name that no user has, in whatever case.

    ``place`` is the account as entered.
    """
    return limit_of("user", place, f"user/{fold_name(name)}")


def limit_of_factors(account: AccountId, holder: str) -> Limit:
    """The limit of the second factors of a user, or of the root, by unique id."""
    return limit_of("factor", account, holder)


class WrongFactorError(AccessDenied):
    """A second factor that was never right; one that was already used is no guess."""


class _AttemptQueue:
    """Attempts that are counted together, in order of arrival."""

    def __init__(self, at_once: int) -> None:
        self.places = asyncio.Semaphore(at_once)
        self.waiting = 0

    def leave(self) -> None:
        """Give a place back."""
        self.places.release()


class Attempts:
    """Counts attempts in the shared cache, or in this worker while it is unavailable."""

    def __init__(self, cache: Cache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._own: dict[bytes, _Count] = {}
        self._lines: WeakValueDictionary[bytes, _AttemptQueue] = WeakValueDictionary()
        self._waiting = 0

    @asynccontextmanager
    async def one(
        self, limits: Sequence[Limit], *, wrong: type[Exception] = AccessDenied
    ) -> AsyncIterator[None]:
        """Count the block as an attempt, which fails if it raises ``wrong``.

        Raises:
            Throttling: the limit is reached, or too many wait; the block is not
                entered.
        """
        async with AsyncExitStack() as turns:
            # The user's queue first: waiting there holds no place of the address.
            for limit in reversed(limits):
                await self._take_turn(limit, turns)
            await self._count(limits)
            try:
                yield
            except wrong:
                raise
            except Exception:
                # The outcome is unknown: the broker was busy, or a store unavailable.
                await self._take_back(limits)
                raise
            await self._take_back(limits)

    async def _take_turn(self, limit: Limit, turns: AsyncExitStack) -> None:
        line = self._lines.get(limit.key)
        if line is None:
            line = self._lines[limit.key] = _AttemptQueue(
                max(1, limit.most // _UNDER_WAY)
            )
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
        until = self._clock.now() + WINDOW
        try:
            return await self._cache.count(_SPACE, limit.key, amount, expires_at=until)
        except StoreUnavailableError:
            return self._add_here(limit.key, amount, until)

    def _add_here(self, key: bytes, amount: int, until: datetime) -> int:
        now = self._clock.now()
        count = self._own.get(key)
        if count is None or count.until <= now:
            if len(self._own) >= _OWN_MAX:
                self._own = {k: c for k, c in self._own.items() if c.until > now}
            if len(self._own) >= _OWN_MAX:
                return _FULL
            count = self._own[key] = _Count(until)
        # An attempt that is counted in the cache is not among these.
        count.total = max(0, count.total + amount)
        return count.total


class _Count:
    __slots__ = ("total", "until")

    def __init__(self, until: datetime) -> None:
        self.until = until
        self.total = 0
