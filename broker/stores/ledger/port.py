"""The ledger's port: replay marks and audit.

Both live in the directory's database. ``mint`` is the broker's one atomic write:
after it returned, mark and record are durable together, and when it raised neither
is there. Concurrent mints share one commit.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from broker.model.account import AccountId
from broker.model.audit import ActivityCounts, AuditFilter, AuditRecord
from broker.model.page import Page, PageRequest
from broker.stores.audit_rows import ReplayMark
from broker.stores.errors import ReplayedError, StoreUnavailableError

NameOf = Callable[[AuditRecord], str]
"""Names the reason of a recorded failure, in one of few ways."""


Observe = Callable[[str, str], None]
"""Takes ``mint`` or ``append`` and ``ok``, ``replayed`` or ``unavailable``."""


class Ledger(Protocol):
    """The append-only record of what was minted and done."""

    async def start(self) -> None: ...
    async def close(self) -> None:
        """Writes out what is queued."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether records wait that the database did not accept; mints fail, too.

        They are retried every second.
        """
        ...

    def mint(self, record: AuditRecord, mark: ReplayMark | None) -> Awaitable[None]:
        """Make mark and record durable in one transaction.

        Raises:
            ReplayedError: the mark's key is there, of another mint.
            OutcomeUnknownError: both may be written, and the mark cannot be read. When
            the database is back, the mark is deleted, since the caller got no
            credentials; the record stays. StoreUnavailableError: neither is written (an
            unclear commit is resolved
                by reading the mark before this is raised).
        """
        ...

    async def reserve(self, mark: ReplayMark) -> None:
        """Spend a proof before something else is asked that mints for it.

        Raises:
            ReplayedError: the mark's key is there, of another mint.
            StoreUnavailableError: nothing is written, or what is written is deleted
                when the database is back.
        """
        ...

    async def release(self, mark: ReplayMark) -> None:
        """Take a reservation back; a mark of another mint stays.

        Raises:
            StoreUnavailableError: it may still be there; PostgreSQL's is deleted when
                the database is back.
        """
        ...

    async def append(self, record: AuditRecord) -> None:
        """Take a record of a read or a denial; durable within a second.

        While the database is away records go to a bounded, fsynced spool.

        Raises:
            StoreUnavailableError: the spool is full.
        """
        ...

    async def find(self, event_id: str) -> AuditRecord | None: ...

    async def search(
        self, filters: AuditFilter, page: PageRequest
    ) -> Page[AuditRecord]:
        """Newest first."""
        ...

    def forget_settled(self) -> None:
        """The database went back: which records are settled is found out anew."""
        ...

    async def count(self, name_of: NameOf) -> bool:
        """Count the next portion of records by hour; whether it is worth another try.

        ``name_of`` names the reason of a failure. Several processes may count at once.
        """
        ...

    async def counts(
        self, account: AccountId, since: datetime, *, bucket_hours: int
    ) -> ActivityCounts:
        """What is counted of an account since the hour of ``since``.

        The hours are summed up in buckets, which begin at multiples of their length
        since 1970.
        """
        ...

    async def purge(self, *, marks_before: datetime, audit_before: datetime) -> None:
        """Forget expired marks and old audit records."""
        ...


class ObservedLedger:
    """Reports the outcome of each write of the wrapped ledger to ``observe``."""

    def __init__(self, ledger: Ledger, observe: Observe) -> None:
        self._ledger = ledger
        self._observe = observe
        self.start = ledger.start
        self.reserve = ledger.reserve
        self.release = ledger.release
        self.close = ledger.close
        self.find = ledger.find
        self.search = ledger.search
        self.count = ledger.count
        self.counts = ledger.counts
        self.purge = ledger.purge

    @property
    def is_behind(self) -> bool:
        return self._ledger.is_behind

    async def mint(self, record: AuditRecord, mark: ReplayMark | None) -> None:
        try:
            await self._ledger.mint(record, mark)
        except ReplayedError:
            self._observe("mint", "replayed")
            raise
        except StoreUnavailableError:
            self._observe("mint", "unavailable")
            raise
        self._observe("mint", "ok")

    async def append(self, record: AuditRecord) -> None:
        try:
            await self._ledger.append(record)
        except StoreUnavailableError:
            self._observe("append", "unavailable")
            raise
        self._observe("append", "ok")
