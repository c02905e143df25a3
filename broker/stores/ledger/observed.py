"""A ledger whose writes are counted."""

from collections.abc import Callable

from broker.model.audit import AuditRecord
from broker.stores.audit_rows import ReplayMark
from broker.stores.errors import ReplayedError, StoreUnavailableError
from broker.stores.ledger.port import Ledger

Observe = Callable[[str, str], None]
"""Takes ``mint`` or ``append`` and ``ok``, ``replayed`` or ``unavailable``."""


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
