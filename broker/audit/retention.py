"""Deletes old records and expired marks and handles once an hour."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog

from broker.runtime.clock import Clock
from broker.stores.errors import StoreUnavailableError
from broker.stores.handle_table import HandleTable
from broker.stores.ledger.port import Ledger

INTERVAL_SECONDS = 3600.0
_MARGIN = timedelta(hours=1)
"""Marks are kept a little longer than they count, to allow for clock skew."""

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def retention(
    ledger: Ledger,
    handles: HandleTable,
    clock: Clock,
    keep: timedelta,
    *,
    interval_seconds: float = INTERVAL_SECONDS,
) -> AsyncIterator[None]:
    """While the block runs, records older than ``keep`` are forgotten.

    Several workers may do so at once. A database that is away is asked again at the
    next turn.
    """
    task = asyncio.create_task(
        _forget(ledger, handles, clock, keep, interval_seconds), name="audit-retention"
    )
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _forget(
    ledger: Ledger,
    handles: HandleTable,
    clock: Clock,
    keep: timedelta,
    interval_seconds: float,
) -> None:
    while True:
        # Not at the start, when there is other work to do.
        await asyncio.sleep(interval_seconds)
        now = clock.now()
        try:
            await ledger.purge(marks_before=now - _MARGIN, audit_before=now - keep)
            await handles.purge()
        except StoreUnavailableError as error:
            _log.warning("old audit records are still there", error=str(error))
