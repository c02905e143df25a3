"""Opens a call's audit entry before the work and completes it after."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from broker.audit.entry import AuditEntry
from broker.errors import BrokerError, InternalFailure, ServiceUnavailable
from broker.stores.errors import StoreUnavailableError
from broker.stores.ledger.port import Ledger

_log = structlog.get_logger(__name__)


class Auditor:
    """Sees to it that every call leaves exactly one record."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @asynccontextmanager
    async def opened(self, entry: AuditEntry) -> AsyncIterator[AuditEntry]:
        """Run a call under its entry.

        A mint or a change writes the record with its own effect and marks the entry
        as committed; everything else is appended here, failures included.

        Raises:
            ServiceUnavailable: the record could not be taken; the call must not
                answer as if it had been.
        """
        try:
            yield entry
        except BrokerError as error:
            _fail(entry, error)
            await self._append(entry)
            raise
        except Exception as error:
            _fail(entry, InternalFailure(detail=type(error).__name__))
            await self._append(entry)
            raise
        await self._append(entry)

    async def _append(self, entry: AuditEntry) -> None:
        if entry.committed:
            return
        entry.committed = True
        try:
            await self._ledger.append(entry.complete())
        except StoreUnavailableError as error:
            _log.error("audit record refused", request_id=entry.event_id)
            raise ServiceUnavailable(
                detail="the audit spool is full or away"
            ) from error


def _fail(entry: AuditEntry, error: BrokerError) -> None:
    entry.error_code = error.code
    entry.detail = error.detail or (error.message or "")
    if error.code == "AccessDenied":
        entry.decision = "denied"
        entry.reason = error.detail
