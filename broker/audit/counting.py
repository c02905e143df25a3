"""Keeps the hourly counts of the audit log up to date."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from broker.stores.errors import StoreUnavailableError
from broker.stores.ledger.port import Ledger, NameOf

INTERVAL_SECONDS = 5.0
_BETWEEN_PORTIONS_SECONDS = 0.01
"""Leaves the processor to calls while a long log is counted for the first time."""

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def counting(
    ledger: Ledger, name_of: NameOf, *, interval_seconds: float = INTERVAL_SECONDS
) -> AsyncIterator[None]:
    """While the block runs, new records are counted.

    Several workers may do so at once: a portion counts once. A database that is away
    is asked again at the next turn.
    """
    task = asyncio.create_task(
        _count(ledger, name_of, interval_seconds), name="audit-counting"
    )
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _count(ledger: Ledger, name_of: NameOf, interval_seconds: float) -> None:
    while True:
        await asyncio.sleep(interval_seconds)
        try:
            more = True
            while more:
                more = await ledger.count(name_of)
                await asyncio.sleep(_BETWEEN_PORTIONS_SECONDS)
        except StoreUnavailableError as error:
            _log.warning("audit records are not counted yet", error=str(error))
