"""What is the same for every kind of thing: finding, listing, writing, removing."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Table, delete, func, select
from sqlalchemy.sql import ColumnElement

from broker.model.account import AccountId
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import Entity
from broker.stores.directory.kind import WHOLE, Kind
from broker.stores.directory.kinds import KINDS
from broker.stores.directory.revocations import RevocationReads, RevocationWrites
from broker.stores.directory.statements import has_nul, select_all, under_path

_KIND_IN: dict[Table, Kind[Any]] = {kind.table: kind for kind in KINDS}


class EntityReads(RevocationReads):
    """See ``EntityReader``."""

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
        given = {name: one for name, one in where.items() if one is not None}
        absent = tuple(name for name in where if name not in given)
        statement = select_all(kind, ("account", *given), absent)
        rows = await self.rows(statement, {"account": account, **given})
        return tuple(map(kind.stored.read, rows))

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
        statement = kind.stored.selected.where(
            columns.account == account,
            *(columns[name] == value for name, value in where.items()),
        )
        if under:
            statement = statement.where(under_path(columns.path, under))
        return await self.page(statement, page, kind.page_order, kind.stored.read)

    async def count(
        self, kind: Kind[Any], account: AccountId, /, **where: object
    ) -> int:
        columns = kind.table.c
        row = await self.find_row(
            select(func.count().label("number")).where(
                columns.account == account,
                *(columns[name] == value for name, value in where.items()),
            )
        )
        return 0 if row is None else int(row.number)


class EntityWrites(EntityReads, RevocationWrites):
    """See ``EntityChange``."""

    async def insert(self, kind: Kind[Entity], entity: Entity) -> None:
        await self.insert_new(kind.table, kind.stored.values(entity), kind.label)

    async def update(self, kind: Kind[Entity], entity: Entity) -> None:
        values = kind.stored.values(entity)
        key = {one: values[one] for one in ("account", kind.key)}
        for name in kind.kept:
            del values[name]
        if kind.name == "name_key":
            await self.update_named(kind.table, values, kind.label, kind.key)
        else:
            await self.update_by(kind.table, values, **key)

    async def put(self, kind: Kind[Entity], entity: Entity) -> None:
        values = kind.stored.values(entity)
        if not await self.insert_if_free(kind.table, values):
            await self.update(kind, entity)

    async def remove(self, kind: Kind[Entity], entity: Entity) -> None:
        values, columns = kind.stored.values(entity), kind.table.c
        where = (columns.account == values["account"]) & (
            columns[kind.key] == values[kind.key]
        )
        for table, rows in _with_owned(kind.table, where, values["account"]):
            await self.run(delete(table).where(rows))
        if kind.vouches:
            await self.end_vouched_for(
                AccountId(str(values["account"])),
                entity.arn,  # type: ignore[attr-defined]  # as all that vouch
                str(values[kind.key]),
            )


def _with_owned(
    table: Table, where: ColumnElement[bool], account: object
) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    """The rows of a table, after those of other tables that go with them."""
    kind = _KIND_IN.get(table)
    if kind is None:
        yield table, where
        return
    for column in kind.owns:
        owners = select(table.c[kind.key]).where(where)
        owned = (column.table.c.account == account) & column.in_(owners)
        yield from _with_owned(column.table, owned, account)
    yield table, where
