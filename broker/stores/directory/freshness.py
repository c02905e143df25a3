"""Caches what a worker reads from the directory, and bounds how stale it may be.

Every value is remembered under its account's generation, read before the value was
loaded. A background task polls the generations; a change is seen at once on the
worker that made it and within the poll's interval on the others. If no poll has
succeeded for more than a second, the next call checks first.

While the database is away, values that were current within the last ``stale_seconds``
serve: unchanged ones until that long after the last successful check, outdated ones
until that long after the change was noticed. A value computed from an outdated one is
returned, but not cached.

This worker's own changes name the tables they wrote. A value read from one table stays
valid if the change is the very next one and did not write that table.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

from broker.clock import Clock
from broker.model.account import AccountId
from broker.stores.directory.port.accounts import GenerationReader
from broker.stores.errors import StoreUnavailableError
from broker.stores.stepped_timeout import SteppedTimeout

Value = TypeVar("Value")

POLL_SECONDS = 0.25
TRUST_SECONDS = 1.0
STALE_SECONDS = 60.0
CAPACITY = 50_000

KEY_CHARACTERS_MAX = 2048
"""Of a text in a key that is remembered: as long as an ARN.

Callers ask for names as long as a request; that nobody has them is not worth the room.
"""

_AWAY_SECONDS = 2.0
"""Longer than the poll waits for a silent database."""

_FORMER_STATES = 32
"""Of an account, at most; spread over the time for which they serve."""

_UNKNOWN_ACCOUNTS_MAX = 256
"""Nonexistent accounts, named by callers, that are cached at most."""

_UNKNOWN_VALUES_MAX = 8
"""Of each of them."""

_TAINT_SECONDS = 60.0
"""Longer than any call that holds an outdated value takes."""

_MISS: Final = object()
"""Nothing fresh is remembered; distinct from a remembered None."""

_log = logging.getLogger(__name__)

_Key = tuple[AccountId, Hashable]
_Entry = tuple[int, object, str | None]
"""Its generation, the value, and its table if it depends on one only."""

_Flight = tuple[AccountId, Hashable, int]

_used_older: ContextVar[float] = ContextVar("used_older", default=float("-inf"))
"""When this call last got an outdated value; monotonic seconds."""


class _State:
    """Since when the values of each table are valid, at one generation."""

    __slots__ = ("_tables", "_whole", "number")

    def __init__(
        self, number: int, whole: int, tables: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self.number = number
        self._whole = whole
        self._tables = tables

    def follow(self, touched: AbstractSet[str]) -> "_State":
        """The next generation's, known to differ in these tables only."""
        number = self.number + 1
        tables = {**self._tables, **dict.fromkeys(touched, number)}
        return _State(number, self._whole, tables)

    def since(self, table: str | None) -> int:
        """The oldest generation whose values of a table are right."""
        if table is None:
            return self.number
        return self._tables.get(table, self._whole)


class _Generation:
    """An account's current and earlier states."""

    __slots__ = ("_former", "state")

    def __init__(self, number: int) -> None:
        self.state = _State(number, number)
        self._former: deque[tuple[float, _State]] | None = None
        """Earlier states, oldest first, each with the time it ended."""

    def become(self, state: _State, now: float, keep_seconds: float) -> None:
        """Record a change; the previous state is kept for a while."""
        # A state that ended just after another adds little: the values that were
        # right under it are taken to end with the other.
        gap = keep_seconds / _FORMER_STATES
        if self._former is None:
            self._former = deque(maxlen=_FORMER_STATES)
        if not self._former or now - self._former[-1][0] >= gap:
            self._former.append((now, self.state))
        self.state = state

    def was_right(self, entry: _Entry, ended_after: float) -> bool:
        """Whether a value was still right at some time after this one."""
        generation, _, of = entry
        for ended, state in self._former or ():
            if ended > ended_after:
                return generation >= state.since(of)
        return False


class Freshness:
    """One worker's memory of the directory; see the module."""

    def __init__(
        self,
        directory: GenerationReader,
        clock: Clock,
        *,
        stale_seconds: float = STALE_SECONDS,
        capacity: int = CAPACITY,
    ) -> None:
        self._directory = directory
        self._monotonic = clock.monotonic
        self._stale_seconds = stale_seconds
        # The cache is two halves: when the young one is full it becomes the old one,
        # and values in use move back. Cheaper than keeping an LRU order.
        self._half = max(1, capacity // 2)
        self._young: dict[_Key, _Entry] = {}
        self._old: dict[_Key, _Entry] = {}
        self._generations: dict[AccountId, _Generation] = {}
        self._checked_at = float("-inf")
        self._away_until = float("-inf")
        self._loads: dict[_Flight, asyncio.Task[tuple[object, bool]]] = {}
        self._unknown_accounts: dict[AccountId, set[Hashable]] = {}
        self._unloaded: dict[AccountId, asyncio.Future[None]] = {}
        self._generation_load: asyncio.Task[None] | None = None
        self._check: asyncio.Task[None] | None = None
        self._poller: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to poll in the background."""
        self._poller = asyncio.create_task(self._poll(), name="directory-freshness")

    async def close(self) -> None:
        """End the background task, waiting a moment for reads it began."""
        if self._poller is not None:
            self._poller.cancel()
        # A read that is cut off leaves a connection to a thread, which may outlive
        # the event loop that it would answer.
        reads = [
            t for t in (self._check, self._generation_load, *self._loads.values()) if t
        ]
        if reads:
            await asyncio.wait(reads, timeout=TRUST_SECONDS)
        tasks = [t for t in (self._poller, *reads) if t]
        self._poller = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def get(
        self,
        account: AccountId,
        key: Hashable,
        load: Callable[[], Awaitable[Value]],
        *,
        of: str | None = None,
    ) -> Value:
        """The account's value under ``key``, loaded when it is not remembered.

        Concurrent callers share one load. Absence (None) is remembered as well.
        ``of`` names the one table that the value depends on; None says that any
        change of the account may concern it.

        Raises:
            StoreUnavailableError: the database is away, and nothing that may still
                serve is remembered.
        """
        try:
            if self._monotonic() - self._checked_at > TRUST_SECONDS:
                await self._check_unless_away()
            entry = self._young.get((account, key))
            known = self._generations.get(account)
            if (
                entry is not None
                and known is not None
                and entry[0] == known.state.number
            ):
                # As mostly: without a call, not even of `cast`.
                return entry[1]  # type: ignore[return-value]
            value = self._recall(account, key)
            if value is not _MISS:
                return cast("Value", value)
            return cast("Value", await self._load(account, key, load, of))
        except StoreUnavailableError:
            value = self._recall_older(account, key)
            if value is _MISS:
                raise
            _used_older.set(self._monotonic())
            return cast("Value", value)

    async def check(self) -> None:
        """Read the generations of all accounts in use; callers share one check.

        Raises:
            StoreUnavailableError: the database is away.
        """
        if self._check is None or self._check.done():
            self._check = asyncio.create_task(self._read_generations())
            self._check.add_done_callback(_note_failure)
        await asyncio.shield(self._check)

    async def _check_unless_away(self) -> None:
        """Check, unless the last check failed a moment ago.

        A call reads many values and must not wait for a silent database for each; the
        poll keeps trying and notices when it is back.
        """
        if self._poller is not None:
            self._require_not_away()
        await self.check()

    def _require_not_away(self) -> None:
        """Refuse when the last check failed, a moment ago."""
        if self._monotonic() < self._away_until:
            raise StoreUnavailableError("the database did not answer a moment ago")

    @property
    def age_seconds(self) -> float:
        """Seconds since the last successful check began."""
        return self._monotonic() - self._checked_at

    def observed(
        self,
        account: AccountId,
        generation: int,
        touched: AbstractSet[str] | None = None,
    ) -> None:
        """A change of this process was committed; register with ``on_commit``.

        ``touched`` are the tables that it wrote; None says that it may be all.
        """
        known = self._generations.get(account)
        if known is None:
            self._generations[account] = _Generation(generation)
            return
        state = known.state
        if generation <= state.number:
            return
        if touched is None or generation != state.number + 1:
            state = _State(generation, generation)
        else:
            state = state.follow(touched)
        known.become(state, self._monotonic(), self._stale_seconds)

    def drop(self, account: AccountId, key: Hashable) -> None:
        """Forget one value."""
        self._young.pop((account, key), None)
        self._old.pop((account, key), None)

    def _recall(self, account: AccountId, key: Hashable) -> object:
        place = (account, key)
        entry = self._young.get(place)
        if entry is None:
            entry = self._old.get(place)
            if entry is None:
                return _MISS
            self._remember(place, entry)
        generation, value, of = entry
        known = self._generations.get(account)
        if known is None:
            return _MISS
        state = known.state
        if generation != state.number and generation < state.since(of):
            return _MISS
        return value

    def _recall_older(self, account: AccountId, key: Hashable) -> object:
        """What serves without the database: current, or current until recently."""
        value = self._recall(account, key)
        now = self._monotonic()
        if now - self._checked_at > self._stale_seconds:
            return _MISS
        if value is not _MISS:
            return value
        place = (account, key)
        entry = self._young.get(place) or self._old.get(place)
        known = self._generations.get(account)
        if entry is None or known is None:
            return _MISS
        if not known.was_right(entry, now - self._stale_seconds):
            return _MISS
        return entry[1]

    def _remember(self, place: _Key, entry: _Entry) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
            active = {account for account, _ in self._old}
            active.update(account for account, _, _ in self._loads)
            active.add(place[0])
            self._generations = {
                account: generation
                for account, generation in self._generations.items()
                if account in active
            }
        self._young[place] = entry

    async def _load(
        self,
        account: AccountId,
        key: Hashable,
        load: Callable[[], Awaitable[object]],
        of: str | None,
    ) -> object:
        has_older = self._recall_older(account, key) is not _MISS
        if has_older:
            # With no older value to fall back on, a slow answer is worth the wait.
            self._require_not_away()
        while account not in self._generations:
            await self._load_generation(account)
        generation = self._generations[account].state.number
        # A load that began before a change must not answer a caller that came after.
        flight = (account, key, generation)
        task = self._loads.get(flight)
        if task is None:
            task = asyncio.create_task(self._fetch(flight, load, of))
            self._loads[flight] = task
            task.add_done_callback(lambda _: self._loads.pop(flight, None))
            task.add_done_callback(_note_failure)
        while has_older and not task.done():
            await asyncio.wait([task], timeout=POLL_SECONDS)
            self._require_not_away()
        value, is_tainted = await asyncio.shield(task)
        if is_tainted:
            _used_older.set(self._monotonic())
        return value

    async def _load_generation(self, account: AccountId) -> None:
        """Load an account's generation; concurrent callers share a query."""
        loaded = self._unloaded.get(account)
        if loaded is None:
            loaded = asyncio.get_running_loop().create_future()
            self._unloaded[account] = loaded
            if self._generation_load is None:
                self._generation_load = asyncio.create_task(self._load_generations())
        await asyncio.shield(loaded)

    async def _load_generations(self) -> None:
        while self._unloaded:
            waiting, self._unloaded = self._unloaded, {}
            try:
                found = await self._directory.generations(tuple(waiting))
            except Exception as error:  # noqa: BLE001  # no caller may wait forever
                for loaded in waiting.values():
                    loaded.set_exception(error)
                    loaded.exception()  # the caller may have gone
                continue
            for account, loaded in waiting.items():
                self.observed(account, found.get(account, 0))
                loaded.set_result(None)
        self._generation_load = None

    async def _fetch(
        self,
        flight: _Flight,
        load: Callable[[], Awaitable[object]],
        of: str | None,
    ) -> tuple[object, bool]:
        """The value, and whether an older one may be in it."""
        account, key, generation = flight
        value = await load()
        is_tainted = self._monotonic() - _used_older.get() < _TAINT_SECONDS
        if not (is_tainted or _is_long(key)) and (
            generation or self._may_remember(account, key)
        ):
            self._remember((account, key), (generation, value, of))
        return value, is_tainted

    def _may_remember(self, account: AccountId, key: Hashable) -> bool:
        """Whether to cache a value of a nonexistent account; only a few are."""
        keys = self._unknown_accounts.setdefault(account, set())
        if len(self._unknown_accounts) > _UNKNOWN_ACCOUNTS_MAX:
            self._forget_unknown(next(iter(self._unknown_accounts)))
        if len(keys) >= _UNKNOWN_VALUES_MAX:
            return False
        keys.add(key)
        return True

    def _forget_unknown(self, account: AccountId) -> None:
        keys = self._unknown_accounts.pop(account)
        known = self._generations.get(account)
        if known is None or known.state.number:
            return  # it has been created since
        del self._generations[account]
        for key in keys:
            self.drop(account, key)

    async def _read_generations(self) -> None:
        began = self._monotonic()
        accounts = tuple(self._generations)
        try:
            async with SteppedTimeout(TRUST_SECONDS):
                found = await self._directory.generations(accounts)
        except (StoreUnavailableError, TimeoutError) as error:
            self._away_until = self._monotonic() + _AWAY_SECONDS
            if isinstance(error, StoreUnavailableError):
                raise
            raise StoreUnavailableError("the database does not answer") from error
        self._away_until = float("-inf")
        for account in accounts:
            self.observed(account, found.get(account, 0))
        self._checked_at = max(self._checked_at, began)

    async def _poll(self) -> None:
        while True:
            # Callers that need the answer get the error from ``get``.
            try:
                await self.check()
            except StoreUnavailableError:
                pass
            except Exception:  # noqa: BLE001  # the poller must outlive any surprise
                _log.exception("the directory's generations cannot be polled")
            await asyncio.sleep(POLL_SECONDS)


def _is_long(key: Hashable) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(isinstance(one, str) and len(one) > KEY_CHARACTERS_MAX for one in parts)


def _note_failure(task: asyncio.Task[Any]) -> None:
    """Retrieve a shared task's error even if no caller is left to see it."""
    if not task.cancelled():
        task.exception()
