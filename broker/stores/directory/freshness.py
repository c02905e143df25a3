"""Remembers what a worker read from the directory, until a change outdates it.

What is read as one (a *reading*, under a key) is remembered by itself. Every change says
which rows it wrote: this worker's own at once, the others' in a table that a background
task polls together with the accounts' generations. What depends on such a row is
forgotten and read again, so nothing that is known to be outdated can be served. Where
it is not known what a change wrote, everything of the account is forgotten. If no poll
has succeeded for more than a second, the next call polls first.

While the database is away, what is remembered serves until ``stale_seconds`` after the
last successful poll. A database that lacks a change which is known went back: then
everything is forgotten, here and by all that registered with ``on_timeline``, before the
poll is over; see ``timeline``.

What is computed of several readings is remembered for one *version* of the account,
which ends with every change, and is then computed again from what is remembered. What is
computed of a text alone is kept until it is computed of another one. What all of it may
hold is bounded by ``broker.runtime.bounded``.

Workers on one machine tell each other what they read, and never what they found: each
then remembers what any of them needs, and serves it while the database is away.
"""

import asyncio
import itertools
import json
import logging
import os
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Hashable,
    Mapping,
)
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket
from typing import Any, TypeVar, cast

from broker.model.account import AccountId
from broker.runtime.bounded import CACHES, BoundedCache, CacheMemory
from broker.runtime.clock import Clock
from broker.runtime.offload import begin
from broker.runtime.shares import SharedWork
from broker.stores.directory.changed_rows import ChangedRows
from broker.stores.directory.port import Directory
from broker.stores.directory.readings import READINGS, outdated_by
from broker.stores.directory.stored import WHOLE, Key, Reading
from broker.stores.directory.timeline import NEVER, TIMELINES, ChangeId, is_lost
from broker.stores.errors import StoreUnavailableError
from broker.stores.stepped_timeout import SteppedTimeout

Value = TypeVar("Value")

POLL_SECONDS = 0.25
TRUST_SECONDS = 1.0
STALE_SECONDS = 60.0

KEY_CHARACTERS_MAX = 2048
"""Of a text in a key that is remembered: as long as an ARN, not as a request."""

_AWAY_SECONDS = 2.0
"""Longer than the poll waits for a silent database."""

_WANTED_MAX = 10_000
"""Readings of siblings that wait."""

_IDLE_ACCOUNTS_MAX = 1024
"""Accounts that are polled though nothing of them is remembered any more."""

_UNKNOWN_ACCOUNTS_MAX = 256
"""Nonexistent accounts, named by callers, that are cached at most."""

_UNKNOWN_VALUES_MAX = 8
"""Of each of them."""

_log = logging.getLogger(__name__)

_Place = tuple[AccountId, Reading[Any], Key]
_Flight = tuple[Any, ...]
"""What is being found out: a place, or an account with a key and what it rests on."""

_SUFFIX = ".worker"
_MESSAGE_BYTES_MAX = 65536


class _Account:
    """How far an account's changes are known."""

    __slots__ = ("last", "seen", "version")

    def __init__(self, last: ChangeId, version: int) -> None:
        self.last = last
        self.version = version
        self.seen: set[ChangeId] = set()
        """Later changes that this process made itself, and has acted on."""


class Freshness:
    """One worker's memory of the directory; see the module."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        *,
        stale_seconds: float = STALE_SECONDS,
        memory: CacheMemory = CACHES,
    ) -> None:
        self._directory = directory
        self._now = clock.now
        self._monotonic = clock.monotonic
        self._stale_seconds = stale_seconds
        self._memory = memory
        self._readings = BoundedCache[tuple[Reading[Any], Key], object](memory)
        self._computed = BoundedCache[Hashable, tuple[int, object]](memory)
        self._kept = BoundedCache[Hashable, tuple[Hashable, object]](memory)
        self._shelves = self._readings.shelves
        self._accounts: dict[AccountId, _Account] = {}
        self._versions = itertools.count()
        self._checked_at = float("-inf")
        self._away_until = float("-inf")
        self._loads: dict[_Flight, SharedWork[object]] = {}
        self._reads: set[asyncio.Task[Any]] = set()
        self._outdated: dict[_Place, None] = {}
        self._wanted: dict[_Place, None] = {}
        self._unknown_accounts: dict[AccountId, int] = {}
        self._unloaded: dict[AccountId, asyncio.Future[None]] = {}
        self._generation_load: asyncio.Task[None] | None = None
        self._check: asyncio.Task[None] | None = None
        self._reading_again: asyncio.Task[None] | None = None
        self._poller: asyncio.Task[None] | None = None
        self._timeline: ChangeId | None = None
        """The last change of ``TIMELINES``, unless none was read yet."""

        self._is_unannounced = False
        self._on_timeline: list[Callable[[], object]] = []
        self.timeline_since: datetime | None = None
        """When this process last found that the database went back, if it did."""

        self.tell: Callable[[AccountId, Reading[Any], Key], None] | None = None
        """Called with what was read and found, so that siblings can read it too."""

    async def start(self) -> None:
        """Begin to poll in the background."""
        self._poller = begin(self._poll(), "directory-freshness")

    async def close(self) -> None:
        """End the background task, waiting a moment for reads it began."""
        if self._poller is not None:
            self._poller.cancel()
            self._poller = None
        self._outdated.clear()
        self._wanted.clear()
        # A read that is cut off leaves a connection to a thread, which may outlive
        # the event loop that it would answer.
        reads = [*self._reads]
        if reads:
            await asyncio.wait(reads, timeout=TRUST_SECONDS)
        for task in reads:
            task.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

    async def read(
        self, account: AccountId, reading: Reading[Value], key: Key = WHOLE
    ) -> Value:
        """What a reading finds under a key, read when not remembered.

        Concurrent callers share one read. Absence (None) is remembered as well.

        Raises:
            StoreUnavailableError: the database is away, and nothing that may still
                serve is remembered.
        """
        if self._monotonic() - self._checked_at > TRUST_SECONDS:
            await self._require_recent_check((account, reading, key))
        shelf = self._shelves.get(account)
        entry = None
        if shelf is not None:
            entry = shelf.young.get((reading, key))
            if entry is None:
                entry = self._readings.recall(shelf, (reading, key))
        if entry is not None:
            # Without a call, not even of `cast`.
            return entry[0]  # type: ignore[no-any-return]
        value = await self._load((account, reading, key))
        known = self._accounts.get(account)
        if self.tell and known and known.last is not NEVER and value is not None:
            self.tell(account, reading, key)
        return cast("Value", value)

    async def get(
        self, account: AccountId, key: Hashable, compute: Callable[[], Awaitable[Value]]
    ) -> Value:
        """What is computed of readings of the account, until any of it changes.

        Concurrent callers share one computation.
        """
        if self._monotonic() - self._checked_at > TRUST_SECONDS:
            await self._require_recent_check()
        known = self._accounts.get(account)
        entry = self._computed.get(account, key)
        if known is not None and entry is not None and entry[0] == known.version:
            return cast("Value", entry[1])
        while account not in self._accounts:
            await self._load_generation(account)
        version = self._accounts[account].version

        def remember(value: object) -> None:
            known = self._accounts.get(account)
            if known is not None and known.version == version:
                self._computed.put(account, key, (version, value))

        flight = (account, key, version)
        value = await self._share(flight, compute, None if _is_long(key) else remember)
        return cast("Value", value)

    async def keep(
        self,
        account: AccountId,
        key: Hashable,
        source: Hashable,
        compute: Callable[[], Awaitable[Value]],
    ) -> Value:
        """What is computed of the source and the key alone, which no change outdates.

        Only what the newest source gave is remembered.
        """
        entry = self._kept.get(account, key)
        if entry is not None and entry[0] == source:
            return cast("Value", entry[1])

        def remember(value: object) -> None:
            self._kept.put(account, key, (source, value))

        flight = (account, key, source)
        value = await self._share(flight, compute, None if _is_long(key) else remember)
        return cast("Value", value)

    async def check(self) -> None:
        """Poll what changed in all accounts in use; callers share one poll.

        Raises:
            StoreUnavailableError: the database is away.
        """
        if self._check is None or self._check.done():
            self._check = self._begin(self._read_changes())
        await asyncio.shield(self._check)

    @property
    def age_seconds(self) -> float:
        """Seconds since the last successful poll began."""
        return self._monotonic() - self._checked_at

    def observed(
        self, account: AccountId, change: ChangeId, changed: ChangedRows
    ) -> None:
        """A change of this process was committed; register with ``on_commit``."""
        known = self._accounts.get(account)
        if known is None or change.generation <= known.last.generation:
            return
        self._outdate(account, changed)
        if change.generation == known.last.generation + 1:
            known.last = change
        else:
            known.seen.add(change)  # the poll finds what came between
        self._read_again()

    def last_known(self, account: AccountId) -> ChangeId:
        """The last change that is known of an account; register with ``require``."""
        known = self._accounts.get(account)
        return NEVER if known is None else known.last

    def on_timeline(self, forget: Callable[[], object]) -> None:
        """Call this, too, when the database went back and everything is forgotten."""
        self._on_timeline.append(forget)

    def want(self, account: AccountId, reading: Reading[Any], key: Key) -> None:
        """Read something in the background: a sibling needed it."""
        place = (account, reading, key)
        if not self._holds(place) and len(self._wanted) < _WANTED_MAX:
            self._wanted[place] = None
            self._read_again()

    def _holds(self, place: _Place) -> bool:
        account, reading, key = place
        return self._readings.get(account, (reading, key), self) is not self

    async def _require_recent_check(self, place: _Place | None = None) -> None:
        """Poll, unless what is remembered may do without for the time being.

        A call reads much and must not wait for a silent database each time: after a
        failure, only the background task tries again, and notices when it is back.
        """
        try:
            if self._poller is not None:
                self._require_not_away()
            await self.check()
        except StoreUnavailableError:
            if self.age_seconds > self._stale_seconds:
                raise
            if place and not self._holds(place):
                raise

    def _require_not_away(self) -> None:
        """Refuse when the last poll failed, a moment ago."""
        if self._monotonic() < self._away_until:
            raise StoreUnavailableError("the database did not answer a moment ago")

    def _outdate(self, account: AccountId, changed: ChangedRows | None) -> None:
        """Forget what depends on these rows of an account; on any for None."""
        outdated: set[tuple[Reading[Any], Key | None]] = set()
        if changed is not None:
            outdated |= outdated_by(changed)
            if not outdated:
                return
        self._accounts[account].version = next(self._versions)
        self._computed.clear(account)
        places: list[tuple[Any, ...]] = [
            (account, reading, key) for reading, key in outdated if key is not None
        ]
        whole = {reading for reading, key in outdated if key is None}
        if whole or changed is None:
            remembered = [(account, *key) for key in self._readings.keys(account)]
            places += [
                place
                for place in (*remembered, *self._loads)
                if place[0] == account
                and isinstance(place[1], Reading)
                and (changed is None or place[1] in whole)
            ]
        for place in places:
            # A read that is on its way may have begun before the change.
            is_underway = self._loads.pop(place, None) is not None
            if self._readings.discard(account, place[1:]) or is_underway:
                self._outdated[cast("_Place", place)] = None

    def _read_again(self) -> None:
        """Begin to read what is outdated, then what siblings read, one by one."""
        if (self._outdated or self._wanted) and not self._reading_again:
            self._reading_again = self._begin(self._read_queued())

    async def _read_queued(self) -> None:
        try:
            while queue := self._outdated or self._wanted:
                place = next(iter(queue))
                del queue[place]
                try:
                    if not self._holds(place):
                        await self._load(place)
                except StoreUnavailableError:
                    queue[place] = None  # goes on after the next poll
                    return
                except Exception:  # noqa: BLE001  # the caller who needs it is told
                    _log.exception("an outdated entry cannot be read again")
        finally:
            self._reading_again = None

    async def _load(self, place: _Place) -> object:
        account, reading, key = place
        while account not in self._accounts:
            await self._load_generation(account)

        def remember(value: object) -> None:
            self._readings.put(account, (reading, key), value)

        return await self._share(
            place,
            lambda: reading.load(self._directory, account, key),
            None if _is_long(key) else remember,
        )

    async def _share(
        self,
        flight: _Flight,
        work: Callable[[], Awaitable[object]],
        remember: Callable[[object], None] | None,
    ) -> object:
        load = self._loads.get(flight)
        if load is None:
            load = SharedWork(self._fetch(flight, work, remember))
            self._loads[flight] = load
            self._note(load.task)
        joined = load.join()
        del load  # it holds an error, whose traceback holds this frame
        return await joined

    async def _fetch(
        self,
        flight: _Flight,
        work: Callable[[], Awaitable[object]],
        remember: Callable[[object], None] | None,
    ) -> object:
        this = asyncio.current_task()
        known = self._accounts.get(flight[0])
        try:
            value = await work()
            if (
                # Not overtaken by a change, nor was the account forgotten meanwhile.
                remember is not None
                and self._task_of(flight) is this
                and known is self._accounts.get(flight[0])
                and (
                    known is None
                    or known.last.generation
                    or self._may_remember(flight[0])
                )
            ):
                remember(value)
            return value
        finally:
            if self._task_of(flight) is this:
                del self._loads[flight]
            del this  # as in `_share`

    def _task_of(self, flight: _Flight) -> asyncio.Task[object] | None:
        load = self._loads.get(flight)
        return None if load is None else load.task

    async def _load_generation(self, account: AccountId) -> None:
        """Load an account's generation; concurrent callers share a query."""
        loaded = self._unloaded.get(account)
        if loaded is None:
            loaded = asyncio.get_running_loop().create_future()
            self._unloaded[account] = loaded
            if self._generation_load is None:
                self._generation_load = self._begin(self._load_generations())
        await asyncio.shield(loaded)

    async def _load_generations(self) -> None:
        while self._unloaded:
            waiting, self._unloaded = self._unloaded, {}
            self._forget_idle_accounts()
            try:
                results = await self._directory.last_changes(tuple(waiting))
            except Exception as error:  # noqa: BLE001  # no caller may wait forever
                for loaded in waiting.values():
                    loaded.set_exception(error)
                    loaded.exception()  # the caller may have gone
                continue
            for account, loaded in waiting.items():
                if account not in self._accounts:
                    last = results.get(account, NEVER)
                    self._accounts[account] = _Account(last, next(self._versions))
                loaded.set_result(None)
        self._generation_load = None

    def _forget_idle_accounts(self) -> None:
        """Poll no longer for accounts of which nothing is remembered."""
        active = self._readings.shelves.keys() | self._computed.shelves.keys()
        if len(self._accounts) > _IDLE_ACCOUNTS_MAX + 2 * len(active):
            active |= {flight[0] for flight in self._loads}
            for account in self._accounts.keys() - active:
                del self._accounts[account]

    def _may_remember(self, account: AccountId) -> bool:
        """Whether to cache a value of a nonexistent account; only a few are."""
        number = self._unknown_accounts.setdefault(account, 0)
        if len(self._unknown_accounts) > _UNKNOWN_ACCOUNTS_MAX:
            self._forget_unknown(next(iter(self._unknown_accounts)))
        if number >= _UNKNOWN_VALUES_MAX:
            return False
        self._unknown_accounts[account] = number + 1
        return True

    def _forget_unknown(self, account: AccountId) -> None:
        del self._unknown_accounts[account]
        known = self._accounts.get(account)
        if known is not None and known.last.generation:
            return  # it has been created since
        self._accounts.pop(account, None)
        for cache in (self._readings, self._computed, self._kept):
            cache.clear(account)

    async def _read_changes(self) -> None:
        began = self._monotonic()
        timeline = self._timeline
        before = {account: entry.last for account, entry in self._accounts.items()}
        try:
            async with SteppedTimeout(TRUST_SECONDS):
                known = {TIMELINES: timeline or NEVER, **before}
                results = {**await self._directory.new_changes(known)}
                last_timeline = results.pop(TIMELINES, known[TIMELINES])
                changes = await self._directory.changes(
                    {account: before[account].generation for account in results}
                )
        except (StoreUnavailableError, TimeoutError) as error:
            self._away_until = self._monotonic() + _AWAY_SECONDS
            if isinstance(error, StoreUnavailableError):
                raise
            raise StoreUnavailableError("the database does not answer") from error
        self._away_until = float("-inf")
        if any(
            is_lost(before[account], last, changes[account])
            for account, last in results.items()
        ):
            self._begin_timeline(last_timeline, is_unannounced=True)
        elif timeline != last_timeline and timeline is self._timeline:
            if timeline is not None:
                self._begin_timeline(last_timeline)
            self._timeline = last_timeline
        else:
            for account, last in results.items():
                self._follow(account, last, changes[account])
        if self._is_unannounced:
            self._begin(self._announce())
        self._checked_at = max(self._checked_at, began)
        self._read_again()

    def _follow(
        self,
        account: AccountId,
        last: ChangeId,
        changes: Mapping[ChangeId, ChangedRows],
    ) -> None:
        """Forget what changed in an account up to its last change."""
        known = self._accounts.get(account)
        if known is None or known.last.generation >= last.generation:
            return
        first = known.last.generation
        new = {n for n in changes if first < n.generation <= last.generation}
        if len(new) == last.generation - first:
            for change in new - known.seen:
                self._outdate(account, changes[change])
        else:
            self._outdate(account, None)
        known.last = last
        known.seen.clear()

    def _begin_timeline(self, last: ChangeId, *, is_unannounced: bool = False) -> None:
        """The database lacks changes that were seen in it: nothing known counts."""
        self.forget_everything()
        for forget in self._on_timeline:
            forget()
        self._timeline = last
        self._is_unannounced = is_unannounced
        self.timeline_since = self._now()
        _log.error(
            "the database lacks changes that it had: it failed over to a replica that was"
            " behind, or was restored; everything read before is forgotten"
        )

    async def _announce(self) -> None:
        """Let the other processes know, also those that know nothing that was lost."""
        self._is_unannounced = False
        try:
            self._timeline = await self._directory.announce_timeline(
                self._timeline or NEVER
            )
        except StoreUnavailableError:
            self._is_unannounced = True  # goes on after the next poll

    def forget_everything(self) -> None:
        """Empty every cache of the process; what is being read is not remembered."""
        self._memory.clear()
        self._loads.clear()
        self._accounts.clear()
        self._outdated.clear()
        self._wanted.clear()
        self._unknown_accounts.clear()

    async def _poll(self) -> None:
        while True:
            # Callers that need the answer get the error from ``read``.
            try:
                await self.check()
            except StoreUnavailableError:
                pass
            except Exception:  # noqa: BLE001  # the poller must outlive any surprise
                _log.exception("the directory's changes cannot be polled")
            await asyncio.sleep(POLL_SECONDS)

    def _begin(self, work: Coroutine[Any, Any, Value]) -> asyncio.Task[Value]:
        """Run something that outlives its callers, and that ``close`` waits for."""
        task = begin(work)
        self._note(task)
        return task

    def _note(self, task: asyncio.Task[Any]) -> None:
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)
        task.add_done_callback(_note_failure)


def _is_long(key: Hashable) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(
        isinstance(part, str) and len(part) > KEY_CHARACTERS_MAX for part in parts
    )


def _note_failure(task: asyncio.Task[Any]) -> None:
    """Retrieve a shared task's error even if no caller is left to see it."""
    if not task.cancelled():
        task.exception()


@asynccontextmanager
async def telling_siblings(folder: Path, memory: Freshness) -> AsyncIterator[None]:
    """Tell and listen, over sockets in a folder that only the workers may enter."""
    loop = asyncio.get_running_loop()
    address = folder / f"{os.getpid()}{_SUFFIX}"
    address.unlink(missing_ok=True)  # of a worker that was killed
    with socket(AF_UNIX, SOCK_DGRAM) as mine:
        mine.settimeout(0)
        try:
            mine.bind(str(address))
        except OSError:
            # A temporary folder whose path is too long for a socket: each reads alone.
            yield
            return

        def tell(account: AccountId, reading: Reading[object], key: Key) -> None:
            message = json.dumps([account, READINGS.index(reading), key]).encode()
            for other in folder.glob(f"*{_SUFFIX}"):
                if other != address:
                    # It may be busy or gone; it can read by itself, later.
                    with suppress(OSError):
                        mine.sendto(message, str(other))

        def listen() -> None:
            account, number, key = json.loads(mine.recv(_MESSAGE_BYTES_MAX))
            memory.want(
                account, READINGS[number], tuple(key) if isinstance(key, list) else key
            )

        loop.add_reader(mine, listen)
        memory.tell = tell
        try:
            yield
        finally:
            memory.tell = None
            loop.remove_reader(mine)
            address.unlink(missing_ok=True)
