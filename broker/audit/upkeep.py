"""What goes on beside the calls: new records are counted, and old ones deleted.

Several workers may do so at once: each portion counts once. A database that is away is
asked again at the next turn.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import structlog

from broker.runtime.clock import Clock
from broker.runtime.offload import in_background
from broker.stores.errors import StoreUnavailableError
from broker.stores.handle_table import HandleTable
from broker.stores.ledger.port import Ledger, NameOf

COUNTED_EVERY_SECONDS = 5.0
DELETED_EVERY_SECONDS = 3600.0
_BETWEEN_PORTIONS_SECONDS = 0.01
"""Leaves the processor to calls while a long log is counted for the first time."""

_MARGIN = timedelta(hours=1)
"""Marks are kept a little longer than they count, to allow for clock skew."""

_log = structlog.get_logger(__name__)


def counting(ledger: Ledger, name_of: NameOf) -> AbstractAsyncContextManager[None]:
    """While the block runs, the hourly counts are kept up to date."""

    async def count() -> None:
        while True:
            await asyncio.sleep(COUNTED_EVERY_SECONDS)
            try:
                more = True
                while more:
                    more = await ledger.count(name_of)
                    await asyncio.sleep(_BETWEEN_PORTIONS_SECONDS)
            except StoreUnavailableError as error:
                _log.warning("audit records are not counted yet", error=str(error))

    return in_background(count(), "audit-counting")


def retention(
    ledger: Ledger,
    handles: HandleTable,
    clock: Clock,
    keep: timedelta,
    *,
    interval_seconds: float = DELETED_EVERY_SECONDS,
) -> AbstractAsyncContextManager[None]:
    """While the block runs, records older than ``keep`` are forgotten, once an hour.

    So are expired marks and handles.
    """

    async def forget() -> None:
        while True:
            # Not at the start, when there is other work to do.
            await asyncio.sleep(interval_seconds)
            now = clock.now()
            try:
                await ledger.purge(marks_before=now - _MARGIN, audit_before=now - keep)
                await handles.purge()
            except StoreUnavailableError as error:
                _log.warning("old audit records are still there", error=str(error))

    return in_background(forget(), "audit-retention")
