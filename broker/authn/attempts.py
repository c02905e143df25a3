"""Limits guessing: counts failures per user, browser and address.

An attempt counts as a failure before it is verified, so that parallel attempts cannot
exceed the limit; success takes it back. All doors share one count per user for the
password and one for codes. A browser in which the user has signed in before has its own
count, so that guessing from elsewhere cannot lock the user out.

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
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from broker.clock import Clock
from broker.errors import AccessDenied, BrokerError, Throttling
from broker.model.account import AccountId
from broker.stores.cache.port import Cache
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
_MOST_OWN = 10_000
"""Limits that a worker counts by itself; who comes on top of them waits."""

_FULL = 1 << 30


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


def limit_of_password(account: AccountId, holder: str) -> Limit:
    """The limit of a user's password, or the root's, by unique id.

    Not by name: a user who may rename themselves would begin again with each name.
    """
    return limit_of("password", account, holder)


def limit_of_unknown_user(place: str, name: str) -> Limit:
    """The limit of a name that no user has; ``place`` is the account as it was typed."""
    return limit_of("user", place, counted_name(name, is_root=False))


def limit_of_factors(account: AccountId, holder: str) -> Limit:
    """The limit of the second factors of a user, or of the root, by unique id."""
    return limit_of("factor", account, holder)


def counted_name(name: str, *, is_root: bool) -> str:
    """A user, whatever the case it is typed in; or the root."""
    return "root" if is_root else f"user/{name.lower()}"


class _AttemptQueue:
    """Attempts that are counted together, in the order of coming."""

    def __init__(self, at_once: int) -> None:
        self.places = asyncio.Semaphore(at_once)
        self.waiting = 0

    def leave(self) -> None:
        """Give a place back."""
        self.places.release()


class Attempts:
    """Counts them, in the cache of all workers; alone while that is away."""

    def __init__(self, cache: Cache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock
        self._own: dict[bytes, _Count] = {}
        self._lines: WeakValueDictionary[bytes, _AttemptQueue] = WeakValueDictionary()
        self._waiting = 0

    @asynccontextmanager
    async def one(
        self, limits: Sequence[Limit], *, wrong: type[BrokerError] = AccessDenied
    ) -> AsyncIterator[None]:
        """Count what is done in the block as one attempt, if it ends as a wrong one does.

        Raises:
            Throttling: it is one too many, or too many wait; the block is not entered.
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
                # Nothing was found out: the broker was busy, or a store away.
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
        found = self._own.get(key)
        if found is None or found.until <= now:
            if len(self._own) >= _MOST_OWN:
                self._own = {k: c for k, c in self._own.items() if c.until > now}
            if len(self._own) >= _MOST_OWN:
                return _FULL
            found = self._own[key] = _Count(until)
        # What was counted in the cache and is taken back here was none of these.
        found.total = max(0, found.total + amount)
        return found.total


class _Count:
    """Failures, until they are forgotten."""

    __slots__ = ("total", "until")

    def __init__(self, until: datetime) -> None:
        self.until = until
        self.total = 0
