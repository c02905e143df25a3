"""The reads and writes that are the same for every kind: one method for all of them.

What `port` promises, on a connection or in a transaction that runs statements.
"""

import base64
import binascii
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from functools import cache
from operator import methodcaller
from typing import Any, Protocol

from sqlalchemy import (
    Column,
    Table,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.sql import ColumnElement, Delete, Executable, Select, Update

from broker.errors import ValidationError
from broker.model.account import AccountId
from broker.model.page import Page, PageRequest
from broker.stores.directory.kinds import KINDS
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.revocations import SqlRevocationReads, SqlRevocationWrites
from broker.stores.directory.statements import (
    NUL,
    Item,
    Parameters,
    has_nul,
    select_all,
    select_listed,
    select_one,
    under_path,
)
from broker.stores.directory.stored import WHOLE, AnyRow, Entity, EntityTable, Kind
from broker.stores.directory.timeline import NEVER, ChangeId
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import GENERATIONS

_KEY = "key_"
_LAST_CHANGES = select(
    GENERATIONS.c.account, GENERATIONS.c.generation, GENERATIONS.c.mark
)
_ACCOUNTS_A_QUERY = 500
_KIND_IN: dict[Table, Kind[Any]] = {kind.table: kind for kind in KINDS}


class SqlReads(SqlRevocationReads, DirectoryReader, Protocol):
    """See ``DirectoryReader``."""

    async def find_row(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> AnyRow | None:
        rows = await self.rows(statement, parameters)
        return rows[0] if rows else None

    async def find_entity(
        self, stored: EntityTable[Entity], **values: object
    ) -> Entity | None:
        if has_nul(values.values()):
            return None
        row = await self.find_row(select_one(stored, tuple(values)), values)
        return None if row is None else stored.read(row)

    async def find_listed(
        self, stored: EntityTable[Entity], **values: object
    ) -> Entity | None:
        if has_nul(values.values()):
            return None
        row = await self.find_row(select_listed(stored, tuple(values)), values)
        return None if row is None else stored.read_listed(row)

    async def list_entities(
        self, stored: EntityTable[Entity], statement: Executable
    ) -> tuple[Entity, ...]:
        return tuple(map(stored.read_listed, await self.rows(statement)))

    async def number(self, statement: Executable) -> int:
        row = await self.find_row(statement)
        return 0 if row is None else int(row[0])

    async def page(
        self,
        statement: Select[Any],
        page: PageRequest,
        order: ColumnElement[str],
        read: Callable[[AnyRow], Item],
    ) -> Page[Item]:
        if page.marker is not None:
            statement = statement.where(order > _read_marker(page.marker))
        statement = statement.order_by(order).limit(page.limit + 1)
        rows = await self.rows(statement.add_columns(order.label("page_key")))
        listed_rows = rows[: page.limit]
        more = len(rows) > page.limit and bool(listed_rows)
        return Page(
            tuple(read(row) for row in listed_rows),
            _make_marker(listed_rows[-1].page_key) if more else None,
        )

    async def find(
        self, kind: Kind[Entity], account: AccountId, key: str = WHOLE
    ) -> Entity | None:
        return await self.find_entity(
            kind.stored, **{kind.key: key, "account": account}
        )

    async def named(
        self, kind: Kind[Entity], account: AccountId, name: str
    ) -> Entity | None:
        return await self.find_entity(
            kind.stored, **{kind.name: kind.named(name), "account": account}
        )

    async def all_of(
        self, kind: Kind[Entity], account: AccountId, /, **where: object
    ) -> tuple[Entity, ...]:
        if has_nul(where.values()):
            return ()
        params = {name: entity for name, entity in where.items() if entity is not None}
        absent = tuple(name for name in where if name not in params)
        statement = select_all(kind, ("account", *params), absent)
        rows = await self.rows(statement, {"account": account, **params})
        return tuple(map(kind.stored.read_listed, rows))

    async def with_documents(
        self, kind: Kind[Entity], listed: Iterable[Entity]
    ) -> AsyncIterator[Entity]:
        for entity in listed:
            if not kind.stored.has_documents:
                yield entity
                continue
            values = kind.stored.values(entity)
            key = {name: values[name] for name in ("account", kind.key)}
            whole = await self.find_entity(kind.stored, **key)
            if whole is not None:
                yield whole

    async def page_of(
        self,
        kind: Kind[Entity],
        account: AccountId,
        page: PageRequest,
        /,
        *,
        under: str = "",
        **where: object,
    ) -> Page[Entity]:
        columns = kind.table.c
        statement = kind.stored.listed.where(
            columns.account == account,
            *(columns[name] == value for name, value in where.items()),
        )
        if under:
            statement = statement.where(under_path(columns.path, under))
        return await self.page(
            statement, page, kind.page_order, kind.stored.read_listed
        )

    async def count(
        self, kind: Kind[Any], account: AccountId, /, **where: object
    ) -> int:
        columns = kind.table.c
        return await self.number(
            select(func.count()).where(
                columns.account == account,
                *(columns[name] == value for name, value in where.items()),
            )
        )

    async def watched_rows(self, statement: Executable) -> Sequence[AnyRow]:
        return await self.rows(statement)

    async def last_changes(
        self, accounts: Collection[AccountId] | None = None
    ) -> Mapping[AccountId, ChangeId]:
        if accounts is None:
            rows: list[Any] = [*await self.rows(_LAST_CHANGES)]
        else:
            rows = await self._last_changes_of(list(accounts))
        return {account: ChangeId(number, mark) for account, number, mark in rows}

    async def new_changes(
        self, known: Mapping[AccountId, ChangeId]
    ) -> Mapping[AccountId, ChangeId]:
        results: dict[AccountId, ChangeId] = {}
        missing = dict(known)
        # Many thousand rows, four times a second: no object for each.
        for account, number, mark in await self._last_changes_of(list(known)):
            last = missing.pop(account)
            if number != last[0] or mark != last[1]:
                results[account] = ChangeId(number, mark)
        for account, last in missing.items():
            if last != NEVER:
                results[account] = NEVER
        return results

    async def _last_changes_of(
        self, accounts: list[AccountId]
    ) -> list[tuple[AccountId, int, int]]:
        rows: list[Any] = []
        # An empty list still asks: the answer shows that the database is there.
        for start in range(0, max(1, len(accounts)), _ACCOUNTS_A_QUERY):
            some = accounts[start : start + _ACCOUNTS_A_QUERY]
            rows += await self.watched_rows(
                _LAST_CHANGES.where(GENERATIONS.c.account.in_(some))
            )
        return rows


class SqlWrites(SqlReads, SqlRevocationWrites, DirectoryChange, Protocol):
    """See ``DirectoryChange``."""

    async def _write_by(
        self, table: Table, values: Mapping[str, object], **key: object
    ) -> int:
        """Write columns of the rows whose key it is; how many there were."""
        named = {f"{_KEY}{name}": value for name, value in key.items()}
        return await self.run(_update_by(table, tuple(key)), {**values, **named})

    async def delete_by(self, table: Table, **key: object) -> int:
        named = {f"{_KEY}{name}": value for name, value in key.items()}
        return await self.run(_delete_by(table, tuple(key)), named)

    async def _write_named(
        self, table: Table, values: Mapping[str, object], kind: str, key: str
    ) -> None:
        """Write the row of an entity that keeps its name or takes a free one.

        A taken name leaves the transaction usable, as with ``insert_if_free``.
        """
        named = {f"{_KEY}{name}": values[name] for name in ("name_key", key)}
        statement = _update_named(table, key)
        if await self.run(statement, {**values, **named}) == 0:
            raise AlreadyExistsError(kind)

    async def insert(self, kind: Kind[Entity], entity: Entity) -> None:
        if not await self.insert_if_free(kind.table, kind.stored.values(entity)):
            raise AlreadyExistsError(kind.label)

    async def update(self, kind: Kind[Entity], entity: Entity) -> None:
        values = kind.stored.values(entity)
        key = {text: values[text] for text in ("account", kind.key)}
        for name in kind.kept:
            del values[name]
        if kind.name == "name_key":
            await self._write_named(kind.table, values, kind.label, kind.key)
        else:
            await self._write_by(kind.table, values, **key)

    async def put(self, kind: Kind[Entity], entity: Entity) -> None:
        values = kind.stored.values(entity)
        if not await self.insert_if_free(kind.table, values):
            await self.update(kind, entity)

    async def remove(self, kind: Kind[Entity], entity: Entity) -> None:
        values = kind.stored.values(entity)
        account, key = AccountId(str(values["account"])), values[kind.key]
        for table, rows in _owned(kind, lambda column: column == key, account):
            await self.run(delete(table).where(rows))
        await self.delete_by(kind.table, **{kind.key: key, "account": account})
        if kind.vouches:
            arn: str = entity.arn  # type: ignore[attr-defined]  # as all that vouch
            await self._end_vouched_for(account, arn, str(key))
        if kind.admits:
            await self._end_admitted(account, str(key))


@cache
def _update_by(table: Table, names: tuple[str, ...]) -> Update:
    return update(table).where(
        *(table.c[name] == bindparam(f"{_KEY}{name}") for name in names)
    )


@cache
def _delete_by(table: Table, names: tuple[str, ...]) -> Delete:
    return delete(table).where(
        *(table.c[name] == bindparam(f"{_KEY}{name}") for name in names)
    )


@cache
def _update_named(table: Table, key: str) -> Update:
    other = table.alias("other")
    namesake = select(other.c.account).where(
        other.c.account == table.c.account,
        other.c.name_key == bindparam(f"{_KEY}name_key"),
        other.c[key] != bindparam(f"{_KEY}{key}"),
    )
    return _update_by(table, (key,)).where(~namesake.exists())


def _owned(
    kind: Kind[Any],
    is_of_one: Callable[[Column[Any]], ColumnElement[bool]],
    account: AccountId,
) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    """The rows that go with some of a kind, each after those that go with it."""
    for column in kind.owns:
        table = column.table
        rows = (table.c.account == account) & is_of_one(column)
        if owner := _KIND_IN.get(table):
            ids = select(table.c[owner.key]).where(rows)
            yield from _owned(owner, methodcaller("in_", ids), account)
        yield table, rows


def _make_marker(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode("ascii").rstrip("=")


def _read_marker(marker: str) -> str:
    try:
        padded = marker + "=" * (-len(marker) % 4)
        key = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise ValidationError("Invalid Marker.") from error
    if NUL in key:
        raise ValidationError("Invalid Marker.")
    return key
