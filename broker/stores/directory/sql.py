"""The directory on SQLite or PostgreSQL: reads, and the one transaction of a change.

A change begins by raising the account's generation. That row's lock makes changes of
one account run one after the other, and the new number shows only with the commit.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

from sqlalchemy import Table, bindparam, delete, or_, select
from sqlalchemy.sql import ColumnElement, Delete, Executable, Insert, Update

from broker.model.account import AccountId, parse_account_id
from broker.model.audit import AuditRecord
from broker.model.credentials import MfaDevice, MfaState, Passkey
from broker.runtime.clock import Clock
from broker.stores.audit_rows import AUDIT_COLUMNS, encode_audit
from broker.stores.database import Database, DatabaseConnection, translate_errors
from broker.stores.directory.identities import replace_state, replace_use
from broker.stores.directory.kind import AnyRow
from broker.stores.directory.port import Directory, DirectoryChange
from broker.stores.directory.readings import LOOKED_UP_BY, ROWS_MAX, ChangedRows
from broker.stores.directory.statements import Parameters, insert_or_ignore
from broker.stores.errors import OutcomeUnknownError, StoreUnavailableError
from broker.stores.schema import AUDIT, CHANGES, GENERATIONS

_GENERATION = select(GENERATIONS.c.generation).where(
    GENERATIONS.c.account == bindparam("of_account")
)
_LOCK = _GENERATION.with_for_update(read=True)
_RECORD = AUDIT.insert()
_NOTE = (
    CHANGES.insert()
    .values(
        account=bindparam("of_account"),
        generation=_GENERATION.scalar_subquery(),
        rows=bindparam("changed"),
    )
    .returning(CHANGES.c.generation)
)
_FORGET = delete(CHANGES).where(
    CHANGES.c.account == bindparam("of_account"),
    CHANGES.c.generation <= bindparam("until"),
)

_CHANGED_A_QUERY = 100

CHANGES_KEPT = 256
"""Of an account, at least: more than are made between two polls."""

CHANGES_A_DELETE = 64
"""Made between two deletions of older ones."""

Observer = Callable[[AccountId, int, ChangedRows], None]

_log = logging.getLogger(__name__)


class SqlDirectory(Directory):
    """See ``Directory``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._observers: list[Observer] = []

    def on_commit(self, observer: Observer) -> None:
        """Call an observer after every change of this process; see ``Directory``."""
        self._observers.append(observer)

    async def rows(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> Sequence[AnyRow]:
        return await self._database.rows(statement, parameters)

    async def watched_rows(self, statement: Executable) -> Sequence[AnyRow]:
        """All rows of the statement that also serves as the health check."""
        return await self._database.watched_rows(statement)

    async def changes(
        self, after: Mapping[AccountId, int]
    ) -> Mapping[AccountId, Mapping[int, ChangedRows]]:
        results: dict[AccountId, dict[int, ChangedRows]] = {
            account_id: {} for account_id in after
        }
        rest = [
            (CHANGES.c.account == account) & (CHANGES.c.generation > generation)
            for account, generation in after.items()
        ]
        for start in range(0, len(rest), _CHANGED_A_QUERY):
            some = rest[start : start + _CHANGED_A_QUERY]
            for row in await self.watched_rows(select(CHANGES).where(or_(*some))):
                results[row.account][row.generation] = ChangedRows.load(row.rows)
        return results

    @asynccontextmanager
    async def change(self, account: AccountId) -> AsyncIterator["SqlChange"]:
        async with self._database.connection(account, _raise(account)) as connection:
            change = SqlChange(connection, self._clock, account)
            yield change
            generation = await change.note_rows()
            try:
                with translate_errors():
                    await connection.commit()
            except Exception as error:
                if not await self._is_recorded(change, error):
                    raise
                _log.warning("a commit's answer was lost, but it took place")
        for observer in self._observers:
            observer(account, generation, change.changed)

    async def replace_mfa_state(self, device: MfaDevice, state: MfaState) -> bool:
        done = await self._database.write(replace_state(device, state))
        return done.rowcount == 1

    async def replace_passkey_use(self, passkey: Passkey, used: Passkey) -> bool:
        done = await self._database.write(replace_use(passkey, used))
        return done.rowcount == 1

    async def close(self) -> None:
        await self._database.close()

    async def _is_recorded(self, change: "SqlChange", failure: Exception) -> bool:
        """Whether a commit of unknown outcome took place, judged by its audit record.

        Raises:
            OutcomeUnknownError: not even that can be read.
        """
        if not change.event_ids:
            return False
        statement = select(AUDIT.c.seq).where(AUDIT.c.event_id == change.event_ids[0])
        try:
            # The server may commit yet, with the account's lock held: wait for it. Only
            # the first change of all has no row that could be locked.
            await self.rows(_LOCK, {"of_account": change.account})
            return await self.find_row(statement) is not None
        except StoreUnavailableError:
            raise OutcomeUnknownError(
                "the database went away while it committed"
            ) from failure


class SqlChange(DirectoryChange):
    """See ``DirectoryChange``."""

    def __init__(
        self, connection: DatabaseConnection, clock: Clock, account: AccountId
    ) -> None:
        self._connection = connection
        self._clock = clock
        self.account = account
        self.event_ids: list[str] = []
        self.changed = ChangedRows()

    async def rows(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> Sequence[AnyRow]:
        with translate_errors():
            return (await self._connection.execute(statement, parameters)).all()

    async def run(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> int:
        if not isinstance(statement, Insert | Update | Delete):
            raise TypeError("not a statement that writes")
        table = str(statement.table)
        columns = LOOKED_UP_BY.get(table, ())
        self.changed.note(table, ())
        if columns and not isinstance(statement, Insert):
            # What a row is looked up by may change as well.
            where = cast("ColumnElement[bool]", statement.whereclause)
            await self.touch(cast("Table", statement.table), where, parameters)
        if columns and not isinstance(statement, Delete):
            rows = await self.rows(statement.returning(*columns), parameters)
            self.changed.note(table, rows)
            return len(rows)
        with translate_errors():
            return (await self._connection.execute(statement, parameters)).rowcount

    async def touch(
        self,
        table: Table,
        where: ColumnElement[bool],
        parameters: Parameters | None = None,
    ) -> None:
        some = select(*LOOKED_UP_BY[table.name]).where(where).limit(ROWS_MAX + 1)
        self.changed.note(table.name, await self.rows(some, parameters))

    async def insert_if_free(self, table: Table, values: Mapping[str, object]) -> bool:
        dialect = self._connection.dialect.name
        return await self.run(insert_or_ignore(dialect, table), values) == 1

    async def note_rows(self) -> int:
        """Write which rows the change wrote; the account's generation."""
        of = {"of_account": self.account}
        (row,) = await self.rows(_NOTE, {**of, "changed": self.changed.dump()})
        generation = int(row.generation)
        if generation % CHANGES_A_DELETE == 0:
            until = generation - CHANGES_KEPT
            with translate_errors():
                await self._connection.execute(_FORGET, {**of, "until": until})
        return generation

    async def record(self, entry: AuditRecord) -> None:
        values = dict(zip(AUDIT_COLUMNS, encode_audit(entry), strict=True))
        with translate_errors():
            await self._connection.execute(_RECORD, values)
        self.event_ids.append(entry.event_id)


def _raise(account: AccountId) -> str:
    """Takes the account's lock and its next generation.

    As text, since it runs in one round trip with the transaction's beginning.
    """
    return (
        "INSERT INTO generations (account, generation)"  # noqa: S608  # twelve digits
        f" VALUES ('{parse_account_id(account)}', 1) ON CONFLICT (account)"
        " DO UPDATE SET generation = generations.generation + 1"
    )
