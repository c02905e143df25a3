"""Last uses: noted in memory, written in the background.

A call pays for a dictionary's entry. What was noted reaches the database within a few
seconds, and a subject that is used all the time is written once a minute: times of
last use may be that much older than the use itself.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

import structlog

from broker.model.account import AccountId
from broker.model.session import Caller
from broker.runtime.offload import begin
from broker.stores.database import Database
from broker.stores.directory.statements import insert_into
from broker.stores.errors import ConflictError, StoreUnavailableError
from broker.stores.schema import USES
from broker.stores.times import to_micros

FLUSH_SECONDS = 5.0
REWRITE_AFTER = timedelta(minutes=1)
NOTED_MAX = 50_000
"""Entries that wait; what comes beyond them is not noted."""

_ROWS_A_STATEMENT = 100

_Key = tuple[AccountId, str, str, str]

_log = structlog.get_logger(__name__)


class UseBuffer:
    """Notes the uses of one worker."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[_Key, tuple[datetime, str]] = {}
        self._written: dict[_Key, datetime] = {}

    def note(  # noqa: PLR0917  # the hot path: no keywords, no record
        self,
        account: AccountId,
        subject: str,
        service: str,
        action: str,
        at: datetime,
        region: str,
    ) -> None:
        """Note a use; costs no query."""
        key = (account, subject, service, action)
        if len(self._noted) < NOTED_MAX or key in self._noted:
            self._noted[key] = (at, region)

    def note_call(
        self, caller: Caller, service: str, action: str, at: datetime, region: str
    ) -> None:
        """Note that a principal used an action, and perhaps a long-term key for it."""
        account, unique_id = caller.account, caller.principal.unique_id
        if unique_id:
            self.note(account, unique_id, service, action, at, region)
        if caller.session is None and caller.access_key_id:
            self.note(account, caller.access_key_id, service, "", at, region)

    @asynccontextmanager
    async def flushing(
        self, *, interval_seconds: float = FLUSH_SECONDS
    ) -> AsyncIterator[None]:
        """While the block runs, write what is noted; the rest at its end."""
        end = asyncio.Event()
        task = begin(self._flush_often(interval_seconds, end), "uses")
        try:
            yield
        finally:
            # Cut off in the middle, it would lose what it is writing.
            end.set()
            await task
            await self._try_flush(everything=True)

    def forget_written(self) -> None:
        """Write everything again: the database may have lost it."""
        self._written.clear()

    async def flush(self, *, everything: bool = True) -> None:
        """Write what is noted now; what was written lately waits unless all is asked.

        Raises:
            StoreUnavailableError: the database is away; nothing is lost.
        """
        noted, self._noted = self._noted, {}
        due: list[tuple[_Key, tuple[datetime, str]]] = []
        for key, use in noted.items():
            written = self._written.get(key)
            if everything or written is None or use[0] - written >= REWRITE_AFTER:
                due.append((key, use))
            else:
                self._noted.setdefault(key, use)
        if not due:
            return
        # Always in the same order, so that workers do not wait for each other in turn.
        due.sort(key=lambda item: item[0])
        try:
            await self._write(due)
        except (StoreUnavailableError, ConflictError):
            for key, use in due:
                self._noted.setdefault(key, use)
            raise
        if len(self._written) > NOTED_MAX:
            self._written.clear()
        self._written.update((key, use[0]) for key, use in due)

    async def _flush_often(self, interval_seconds: float, end: asyncio.Event) -> None:
        while not end.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(end.wait(), interval_seconds)
            if not end.is_set():
                await self._try_flush(everything=False)

    async def _try_flush(self, *, everything: bool) -> None:
        try:
            await self.flush(everything=everything)
        except (StoreUnavailableError, ConflictError) as error:
            _log.warning("last uses are not written yet", error=str(error))

    async def _write(self, due: Sequence[tuple[_Key, tuple[datetime, str]]]) -> None:
        async with self._database.transaction() as connection:
            insert = insert_into(connection.dialect.name, USES)
            new = insert.excluded
            statement = insert.on_conflict_do_update(
                index_elements=USES.primary_key.columns.keys(),
                set_={"at": new.at, "region": new.region},
                where=USES.c.at < new.at,
            )
            for start in range(0, len(due), _ROWS_A_STATEMENT):
                rows = [_row(*item) for item in due[start : start + _ROWS_A_STATEMENT]]
                await connection.execute(statement.values(rows))


def _row(key: _Key, use: tuple[datetime, str]) -> dict[str, object]:
    account, subject, service, action = key
    return {
        "account": account,
        "subject": subject,
        "service": service,
        "action": action,
        "at": to_micros(use[0].replace(microsecond=0)),
        "region": use[1],
    }
