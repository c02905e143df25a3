"""The directory on SQLite or PostgreSQL: reads, and the one transaction of a change.

A change begins by raising the account's generation. That row's lock makes changes of
one account run one after the other, and the new number shows only with the commit.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, cast

from sqlalchemy import Table, bindparam, delete, or_, select, text
from sqlalchemy.sql import ColumnElement, Delete, Executable, Insert, Update

from broker.model.account import AccountId, parse_account_id
from broker.model.audit import AuditRecord
from broker.model.credentials import MfaDevice, MfaState, Passkey
from broker.runtime.clock import Clock
from broker.stores.audit_rows import AUDIT_COLUMNS, encode_audit
from broker.stores.database import Database, DatabaseConnection, translate_errors
from broker.stores.directory.changed_rows import ROWS_MAX, ChangedRows
from broker.stores.directory.generic import SqlReads, SqlWrites
from broker.stores.directory.identities import replace_state, replace_use
from broker.stores.directory.port import Directory, DirectoryReader
from broker.stores.directory.readings import LOOKED_UP_BY
from broker.stores.directory.statements import Parameters, insert_or_ignore
from broker.stores.directory.stored import AnyRow
from broker.stores.directory.timeline import (
    CHANGES_KEPT,
    NEVER,
    TIMELINES,
    ChangeId,
    describe_timeline,
    is_lost,
    new_mark,
)
from broker.stores.errors import OutcomeUnknownError, StoreUnavailableError
from broker.stores.schema import AUDIT, CHANGES, GENERATIONS
from broker.stores.urls import SqliteLocation

_GENERATION = select(GENERATIONS.c.generation).where(
    GENERATIONS.c.account == bindparam("of_account")
)
_LAST = select(GENERATIONS).where(GENERATIONS.c.account == bindparam("of_account"))
_LOCK = _GENERATION.with_for_update(read=True)
_RECORD = AUDIT.insert()
_EARLIER = CHANGES.alias("earlier")
_NOTE = (
    CHANGES.insert()
    .values(
        account=bindparam("of_account"),
        generation=_GENERATION.scalar_subquery(),
        mark=bindparam("new_mark"),
        rows=bindparam("changed"),
    )
    .returning(
        CHANGES.c.generation,
        select(_EARLIER.c.mark)
        .where(
            _EARLIER.c.account == bindparam("of_account"),
            _EARLIER.c.generation == bindparam("known"),
        )
        .scalar_subquery()
        .label("known_mark"),
    )
)
_FORGET = delete(CHANGES).where(
    CHANGES.c.account == bindparam("of_account"),
    CHANGES.c.generation <= bindparam("until"),
)

_CHANGED_A_QUERY = 100

_ANNOUNCE = text(
    "INSERT INTO generations (account, generation, mark) VALUES (:account, 1, :mark)"
    " ON CONFLICT (account) DO UPDATE"
    " SET generation = generations.generation + 1, mark = excluded.mark"
    " WHERE generations.generation = :generation AND generations.mark = :last_mark"
)

CHANGES_A_DELETE = 64
"""Made between two deletions of older ones."""

Observer = Callable[[AccountId, ChangeId, ChangedRows], None]

_log = logging.getLogger(__name__)


class Judge(Protocol):
    """Looks at a change before it is committed; what it raises undoes the change."""

    async def __call__(
        self,
        change: "SqlChange",
        before: DirectoryReader,
        *,
        is_first: bool,
        is_above: bool,
    ) -> None:
        """Judge a change.

        ``before`` reads what is committed, which is all that was there before the
        change if it ``is_first`` in its transaction. A change that ``is_above`` the
        account's invariants is only told of.
        """
        ...


async def judge_nothing(
    change: "SqlChange", before: DirectoryReader, *, is_first: bool, is_above: bool
) -> None:
    """Let every change be."""


class SqlDirectory(SqlReads, Directory):
    """See ``Directory``."""

    def __init__(
        self, database: Database, clock: Clock, judge: Judge = judge_nothing
    ) -> None:
        self._database = database
        self._clock = clock
        self._judge = judge
        self._observers: list[Observer] = []
        self._find_known: Callable[[AccountId], ChangeId] = lambda _: NEVER

    def on_commit(self, observer: Observer) -> None:
        """Call an observer after every change of this process; see ``Directory``."""
        self._observers.append(observer)

    def require(self, find_known: Callable[[AccountId], ChangeId]) -> None:
        """Refuse changes of an account that lacks a known one; see ``Directory``."""
        self._find_known = find_known

    async def rows(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> Sequence[AnyRow]:
        return await self._database.rows(statement, parameters)

    async def watched_rows(self, statement: Executable) -> Sequence[AnyRow]:
        """All rows of the statement that also serves as the health check."""
        return await self._database.watched_rows(statement)

    async def changes(
        self, since: Mapping[AccountId, int]
    ) -> Mapping[AccountId, Mapping[ChangeId, ChangedRows]]:
        results: dict[AccountId, dict[ChangeId, ChangedRows]] = {
            account_id: {} for account_id in since
        }
        rest = [
            (CHANGES.c.account == account) & (CHANGES.c.generation >= generation)
            for account, generation in since.items()
        ]
        for start in range(0, len(rest), _CHANGED_A_QUERY):
            some = rest[start : start + _CHANGED_A_QUERY]
            for row in await self.watched_rows(select(CHANGES).where(or_(*some))):
                change = ChangeId(row.generation, row.mark)
                results[row.account][change] = ChangedRows.load(row.rows)
        return results

    async def announce_timeline(self, last: ChangeId) -> ChangeId:
        row_key = {"account": TIMELINES, "mark": new_mark()}
        known = {"generation": last.generation, "last_mark": last.mark}
        async with self._database.transaction() as connection:
            raised = await connection.execute(_ANNOUNCE, {**row_key, **known})
            row = (await connection.execute(_LAST, {"of_account": TIMELINES})).one()
            if raised.rowcount == 1:
                at = describe_timeline(self._clock.now())
                values = {**row_key, "generation": row.generation, "rows": at}
                await connection.execute(CHANGES.insert(), values)
        return ChangeId(row.generation, row.mark)

    @asynccontextmanager
    async def change(
        self, account: AccountId, *held: AccountId, is_above: bool = False
    ) -> AsyncIterator["SqlChange"]:
        mark = new_mark()
        # On SQLite no two changes run at a time, of whatever accounts.
        others = () if isinstance(self._database.location, SqliteLocation) else held
        first = {other: _hold(other) for other in others}
        first[account] = _raise(account, mark)
        # In one order everywhere: no two changes wait for each other.
        statements = [first[each] for each in sorted(first)]
        async with self._database.connection(account, *statements) as connection:
            change = SqlChange(connection, self._clock, account)
            yield change
            is_first = connection.is_first
            await self._judge(change, self, is_first=is_first, is_above=is_above)
            this = await change.note_rows(mark, self._find_known(account))
            try:
                with translate_errors():
                    await connection.commit()
            except Exception as error:
                if not await self._is_recorded(change, error):
                    raise
                _log.warning("a commit's answer was lost, but it took place")
        for observer in self._observers:
            observer(account, this, change.changed)

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


class SqlChange(SqlWrites):
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
        self._note(table)
        if columns and not isinstance(statement, Insert):
            # What a row is looked up by may change as well.
            where = cast("ColumnElement[bool]", statement.whereclause)
            await self.touch(cast("Table", statement.table), where, parameters)
        if columns and not isinstance(statement, Delete):
            rows = await self.rows(statement.returning(*columns), parameters)
            self._note(table, rows)
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
        self._note(table.name, await self.rows(some, parameters))

    def _note(self, table: str, rows: Sequence[AnyRow] = ()) -> None:
        columns = [column.name for column in LOOKED_UP_BY.get(table, ())]
        self.changed.note(table, columns, rows)

    async def insert_if_free(self, table: Table, values: Mapping[str, object]) -> bool:
        dialect = self._connection.dialect.name
        return await self.run(insert_or_ignore(dialect, table), values) == 1

    async def note_rows(self, mark: int, known: ChangeId) -> ChangeId:
        """Write which rows the change wrote; which change of the account it is.

        Raises:
            StoreUnavailableError: the account lacks a change that is known.
        """
        of = {"of_account": self.account}
        values = {"new_mark": mark, "changed": self.changed.dump()}
        (row,) = await self.rows(_NOTE, {**of, **values, "known": known.generation})
        generation = int(row.generation)
        listed = (
            () if row.known_mark is None else (known._replace(mark=row.known_mark),)
        )
        if is_lost(known, ChangeId(generation, mark), listed):
            raise StoreUnavailableError("the database lacks changes that it had")
        if generation % CHANGES_A_DELETE == 0:
            until = generation - CHANGES_KEPT
            with translate_errors():
                await self._connection.execute(_FORGET, {**of, "until": until})
        return ChangeId(generation, mark)

    async def record(self, entry: AuditRecord) -> None:
        values = dict(zip(AUDIT_COLUMNS, encode_audit(entry), strict=True))
        with translate_errors():
            await self._connection.execute(_RECORD, values)
        self.event_ids.append(entry.event_id)


def _hold(account: AccountId) -> str:
    """Waits for the account's changes that run, and has others wait."""
    return (
        "SELECT 1 FROM generations"  # noqa: S608  # digits
        f" WHERE account = '{parse_account_id(account)}' FOR SHARE"
    )


def _raise(account: AccountId, mark: int) -> str:
    """Takes the account's lock, its next generation and the mark.

    As text, since it runs in one round trip with the transaction's beginning.
    """
    return (
        "INSERT INTO generations (account, generation, mark)"  # noqa: S608  # digits
        f" VALUES ('{parse_account_id(account)}', 1, {mark:d}) ON CONFLICT (account)"
        " DO UPDATE SET generation = generations.generation + 1, mark = excluded.mark"
    )
