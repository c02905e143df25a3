"""A ledger whose writes are counted."""

from collections.abc import Callable
from datetime import datetime

from broker.model.account import AccountId
from broker.model.audit import ActivityCounts, AuditFilter, AuditRecord
from broker.model.page import Page, PageRequest
from broker.stores.errors import ReplayedError, StoreUnavailableError
from broker.stores.ledger.port import Ledger, NameOf, ReplayMark

Observe = Callable[[str, str], None]
"""Takes ``mint`` or ``append`` and ``ok``, ``replayed`` or ``unavailable``."""


class ObservedLedger:
    """Reports the outcome of each write of the wrapped ledger to ``observe``."""

    def __init__(self, ledger: Ledger, observe: Observe) -> None:
        self._ledger = ledger
        self._observe = observe
        self.start = ledger.start
        self.close = ledger.close

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

    async def find(self, event_id: str) -> AuditRecord | None:
        return await self._ledger.find(event_id)

    async def search(
        self, filters: AuditFilter, page: PageRequest
    ) -> Page[AuditRecord]:
        return await self._ledger.search(filters, page)

    async def count(self, name_of: NameOf) -> bool:
        return await self._ledger.count(name_of)

    async def counts(
        self, account: AccountId, since: datetime, *, bucket_hours: int
    ) -> ActivityCounts:
        return await self._ledger.counts(account, since, bucket_hours=bucket_hours)

    async def purge(self, *, marks_before: datetime, audit_before: datetime) -> None:
        await self._ledger.purge(marks_before=marks_before, audit_before=audit_before)
