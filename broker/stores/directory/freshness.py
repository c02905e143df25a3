"""What a worker remembers of the directory, and how long it may trust it.

Every value is remembered under its account's generation, read before the value was
loaded. A background task polls the generations; a change is seen at once on the
worker that made it and within the poll's interval on the others. When more than a
second passed without a successful poll the database is asked on the spot; when it
is away, remembered values serve for ``stale_seconds`` after the last successful
check, and nothing else does.

A change of this worker says what it wrote. A value that was read from one table alone
stays when the change is the very next one and left that table as it was.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, Protocol, TypeVar, cast

from broker.clock import Clock
from broker.model.account import AccountId
from broker.stores.errors import StoreUnavailableError

Value = TypeVar("Value")

POLL_SECONDS = 0.25
TRUST_SECONDS = 1.0
STALE_SECONDS = 60.0
CAPACITY = 50_000

_AWAY_SECONDS = 2.0
"""Longer than the poll takes to ask a silent database once more."""


_MISS: Final = object()
"""Nothing fresh is remembered; distinct from a remembered None."""

_log = logging.getLogger(__name__)

_Key = tuple[AccountId, Hashable]
_Entry = tuple[int, object, str | None]
"""The generation it was read under, the value, and the table if it is of one alone."""


class _Generation:
    """An account's, and since when the values of each table hold."""

    __slots__ = ("_tables", "_whole", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._whole = number
        self._tables: dict[str, int] = {}

    def follow(self, touched: AbstractSet[str]) -> None:
        """The next generation, known to differ in these tables only."""
        self.number += 1
        self._tables.update(dict.fromkeys(touched, self.number))

    def since(self, table: str | None) -> int:
        """The oldest generation whose values of a table are still right."""
        if table is None:
            return self.number
        return self._tables.get(table, self._whole)


class GenerationReader(Protocol):
    """The part of the directory that is polled."""

    async def generations(
        self, accounts: Collection[AccountId] | None = None
    ) -> Mapping[AccountId, int]:
        """See ``DirectoryReader``."""
        ...


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
        # The memory is two halves: when the young one is full it becomes the old one,
        # and what is used in time comes back. Cheaper than keeping an order.
        self._half = max(1, capacity // 2)
        self._young: dict[_Key, _Entry] = {}
        self._old: dict[_Key, _Entry] = {}
        self._generations: dict[AccountId, _Generation] = {}
        self._checked_at = float("-inf")
        self._away_until = float("-inf")
        self._loads: dict[tuple[AccountId, Hashable, int], asyncio.Task[object]] = {}
        self._check: asyncio.Task[None] | None = None
        self._poller: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to poll in the background."""
        self._poller = asyncio.create_task(self._poll(), name="directory-freshness")

    async def close(self) -> None:
        """End the background task; reads that it began are waited for a moment."""
        if self._poller is not None:
            self._poller.cancel()
        # A read that is cut off leaves a connection to a thread, which may outlive
        # the event loop that it would answer.
        reads = [t for t in (self._check, *self._loads.values()) if t]
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
        if self._monotonic() - self._checked_at > TRUST_SECONDS:
            try:
                await self._check_unless_away()
            except StoreUnavailableError:
                value = self._recall(account, key)
                age = self._monotonic() - self._checked_at
                if value is _MISS or age > self._stale_seconds:
                    raise
                return cast("Value", value)
        value = self._recall(account, key)
        if value is not _MISS:
            return cast("Value", value)
        return cast("Value", await self._load(account, key, load, of))

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
        """A call reads many values, and must not wait for a silent database for each.

        The poll goes on asking, and tells when it is back.
        """
        if self._poller is not None and self._monotonic() < self._away_until:
            raise StoreUnavailableError("the database did not answer a moment ago")
        await self.check()

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
        if known is not None and generation <= known.number:
            return
        if known is None or touched is None or generation != known.number + 1:
            self._generations[account] = _Generation(generation)
        else:
            known.follow(touched)

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
        if known is None or (
            generation != known.number and generation < known.since(of)
        ):
            return _MISS
        return value

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
        if account not in self._generations:
            found = await self._directory.generations((account,))
            self.observed(account, found.get(account, 0))
        generation = self._generations[account].number
        # A load that began before a change must not answer a caller that came after.
        flight = (account, key, generation)
        task = self._loads.get(flight)
        if task is None:
            task = asyncio.create_task(self._fetch(flight, load, of))
            self._loads[flight] = task
            task.add_done_callback(lambda _: self._loads.pop(flight, None))
            task.add_done_callback(_note_failure)
        return await asyncio.shield(task)

    async def _fetch(
        self,
        flight: tuple[AccountId, Hashable, int],
        load: Callable[[], Awaitable[object]],
        of: str | None,
    ) -> object:
        account, key, generation = flight
        value = await load()
        self._remember((account, key), (generation, value, of))
        return value

    async def _read_generations(self) -> None:
        began = self._monotonic()
        asked = tuple(self._generations)
        try:
            async with asyncio.timeout(TRUST_SECONDS):
                found = await self._directory.generations(asked)
        except (StoreUnavailableError, TimeoutError) as error:
            self._away_until = self._monotonic() + _AWAY_SECONDS
            if isinstance(error, StoreUnavailableError):
                raise
            raise StoreUnavailableError("the database does not answer") from error
        self._away_until = float("-inf")
        for account in asked:
            self.observed(account, found.get(account, 0))
        self._checked_at = max(self._checked_at, began)

    async def _poll(self) -> None:
        while True:
            # Who needs the answer is told by ``get``; here there is nobody to tell.
            try:
                await self.check()
            except StoreUnavailableError:
                pass
            except Exception:  # noqa: BLE001  # the poller must outlive any surprise
                _log.exception("the directory's generations cannot be polled")
            await asyncio.sleep(POLL_SECONDS)


def _note_failure(task: asyncio.Task[Any]) -> None:
    """Look at a shared task's error even when all who waited have gone."""
    if not task.cancelled():
        task.exception()
