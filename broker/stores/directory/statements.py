"""Shared by the entity modules: running statements, and paging."""

import base64
import binascii
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

from sqlalchemy import Table, bindparam, delete, func, or_, select, tuple_, update
from sqlalchemy.sql import ColumnElement, Delete, Executable, Select, Update

from broker.errors import ValidationError
from broker.model.account import AccountId
from broker.model.lineage import admitted_target, chain_label
from broker.model.names import fold_name
from broker.model.page import Page, PageRequest
from broker.model.revocation import (
    BARS,
    REVOCATION_LIFE,
    Bar,
    Revocation,
    Revocations,
    read_bar,
)
from broker.runtime.clock import Clock
from broker.stores.directory.kind import AnyRow, Entity, EntityTable, Kind
from broker.stores.errors import AlreadyExistsError
from broker.stores.schema import INSTANCE_ORIGINS, INSTANCES, REVOCATIONS
from broker.stores.times import to_micros

Item = TypeVar("Item")
Parameters = Mapping[str, object]

NUL = "\0"
"""A character that no stored text has; PostgreSQL refuses statements with it."""

_KEY = "key_"
_IDS_A_QUERY = 500


class Reads(Protocol):
    """A place where reading statements run: a free connection or a transaction."""

    async def rows(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> Sequence[AnyRow]:
        """All rows of a statement."""
        ...

    async def find_row(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> AnyRow | None:
        """The first row, or None."""
        rows = await self.rows(statement, parameters)
        return rows[0] if rows else None

    async def find_entity(
        self, stored: EntityTable[Entity], **values: object
    ) -> Entity | None:
        """The entity whose columns have these values, or None."""
        if has_nul(values.values()):
            return None
        row = await self.find_row(select_one(stored, tuple(values)), values)
        return None if row is None else stored.read(row)

    async def find_listed(
        self, stored: EntityTable[Entity], **values: object
    ) -> Entity | None:
        """The same without its documents, as lists have it."""
        if has_nul(values.values()):
            return None
        row = await self.find_row(select_listed(stored, tuple(values)), values)
        return None if row is None else stored.read_listed(row)

    async def list_entities(
        self, stored: EntityTable[Entity], statement: Executable
    ) -> tuple[Entity, ...]:
        """The entities of all rows of a statement, without their documents."""
        return tuple(map(stored.read_listed, await self.rows(statement)))

    async def number(self, statement: Executable) -> int:
        """The number that a statement counts."""
        row = await self.find_row(statement)
        return 0 if row is None else int(row[0])

    async def page(
        self,
        statement: Select[Any],
        page: PageRequest,
        order: ColumnElement[str],
        read: Callable[[AnyRow], Item],
    ) -> Page[Item]:
        """The rows after the page's marker, in the order of a unique column.

        Raises:
            ValidationError: the marker is none of ours.
        """
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


async def list_entities_of(
    directory: Reads,
    stored: EntityTable[Entity],
    statement: Select[Any],
    column: ColumnElement[str],
    values: Collection[str],
) -> tuple[Entity, ...]:
    """The entities of the rows in which a column has one of these values."""
    entities: list[Entity] = []
    for some in batches(values):
        entities += await directory.list_entities(
            stored, statement.where(column.in_(some))
        )
    return tuple(entities)


async def grouped(
    directory: Reads,
    statement: Select[Any],
    column: ColumnElement[str],
    values: Collection[str],
    read: Callable[[AnyRow], Item],
) -> Mapping[str, tuple[Item, ...]]:
    """What rows hold, by the value that a column has; values without are left out."""
    results: dict[str, list[Item]] = {}
    for some in batches(values):
        wanted = statement.add_columns(column.label("of_value"))
        for row in await directory.rows(wanted.where(column.in_(some))):
            results.setdefault(row.of_value, []).append(read(row))
    return {value: tuple(items) for value, items in results.items()}


class Writes(Reads, Protocol):
    """A transaction in which entities are written."""

    async def run(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> int:
        """Run a writing statement; how many rows it touched."""
        ...

    async def touch(
        self,
        table: Table,
        where: ColumnElement[bool],
        parameters: Parameters | None = None,
    ) -> None:
        """Rows count as changed, because what is read together with them does."""
        ...

    async def _write_by(
        self, table: Table, values: Mapping[str, object], **key: object
    ) -> int:
        """Write columns of the rows whose key it is; how many there were."""
        named = {f"{_KEY}{name}": value for name, value in key.items()}
        return await self.run(_update_by(table, tuple(key)), {**values, **named})

    async def delete_by(self, table: Table, **key: object) -> int:
        """Delete the rows whose key it is; how many there were."""
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

    async def insert_if_free(self, table: Table, values: Mapping[str, object]) -> bool:
        """Insert unless a unique column's value is taken; whether it was free.

        A taken one leaves the transaction usable: nothing is raised in the database.
        """
        ...


# Building a statement takes several times as long as running it: those that every call
# needs are built once and take parameters.


@cache
def insert_into(dialect: str, table: Table) -> Any:  # noqa: ANN401  # the dialects' inserts share no type
    """``INSERT`` in either dialect, which may say what to do ``ON CONFLICT``."""
    # Each dialect is loaded only where it is used: imports are half of a start.
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415  # above

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415  # above

    return postgresql.insert(table)


@cache
def insert_or_ignore(dialect: str, table: Table) -> Any:  # noqa: ANN401  # as above
    """``INSERT … ON CONFLICT DO NOTHING``; parameters by column."""
    return insert_into(dialect, table).on_conflict_do_nothing()


@cache
def select_one(stored: EntityTable[Any], names: tuple[str, ...]) -> Select[Any]:
    """The entity whose columns have the values of parameters."""
    return _where_equal(stored.selected, stored.table, names)


@cache
def select_listed(stored: EntityTable[Any], names: tuple[str, ...]) -> Select[Any]:
    """The same without its documents."""
    return _where_equal(stored.listed, stored.table, names)


def _where_equal(
    statement: Select[Any], table: Table, names: tuple[str, ...]
) -> Select[Any]:
    return statement.where(*(table.c[name] == bindparam(name) for name in names))


@cache
def select_all(
    kind: Kind[Any], names: tuple[str, ...], absent: tuple[str, ...]
) -> Select[Any]:
    """Those that have these values and lack others, as lists have them."""
    columns = kind.table.c
    missing = (columns[name].is_(None) for name in absent)
    order = kind.order or (kind.page_order,)
    return select_listed(kind.stored, names).where(*missing).order_by(*order)


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


def has_nul(values: Iterable[object]) -> bool:
    """Whether no row can have these values: a text has a character that none has."""
    return any(isinstance(value, str) and NUL in value for value in values)


def batches(ids: Collection[str]) -> Iterator[list[str]]:
    """Ids in lists that are short enough for one query."""
    rest = list(ids)
    for start in range(0, len(rest), _IDS_A_QUERY):
        yield rest[start : start + _IDS_A_QUERY]


def arn_key(arn: str) -> str:
    """The compared name at the end of a policy's ARN."""
    return fold_name(arn.rpartition("/")[2])


def under_path(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Whether a path begins with a prefix, exactly (``LIKE`` folds case on SQLite)."""
    return func.substr(column, 1, len(prefix)) == prefix


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


class RevocationReads(Reads, Protocol):
    """What is revoked."""

    _clock: Clock

    async def revocations(self, account: AccountId) -> Revocations:
        """Everything of the account that is revoked and not yet past its expiry."""
        rows = await self.rows(
            select(REVOCATIONS.c.target, REVOCATIONS.c.not_before_ms).where(
                REVOCATIONS.c.account == account,
                REVOCATIONS.c.expires_at > to_micros(self._clock.now()),
            )
        )
        return Revocations.read((row.target, row.not_before_ms) for row in rows)

    async def list_bars(self, account: AccountId) -> tuple[Bar, ...]:
        """Who is barred, by issuer and subject."""
        rows = await self.rows(
            select(REVOCATIONS.c.target, REVOCATIONS.c.reason).where(
                REVOCATIONS.c.account == account, REVOCATIONS.c.target.like(BARS)
            )
        )
        bars = (read_bar(row.target, row.reason) for row in rows)
        return tuple(sorted(bars, key=lambda bar: (bar.issuer, bar.subject)))


class RevocationWrites(RevocationReads, Writes, Protocol):
    """Revoking."""

    async def revoke(self, revocation: Revocation) -> int:
        """Durable; never undone by a cache's loss. How many machines it ended."""
        where = (
            REVOCATIONS.c.account == revocation.account,
            REVOCATIONS.c.target == revocation.target,
        )
        not_before = revocation.not_before_ms
        expires_at = to_micros(revocation.expires_at)
        known = await self.find_row(select(REVOCATIONS).where(*where))
        if known is not None:
            # A later revocation may widen an earlier one, never narrow it.
            if not_before is not None and known.not_before_ms is not None:
                not_before = max(not_before, known.not_before_ms)
            expires_at = max(expires_at, known.expires_at)
            await self.run(delete(REVOCATIONS).where(*where))
        await self.run(
            REVOCATIONS.insert().values(
                account=revocation.account,
                target=revocation.target,
                not_before_ms=not_before,
                expires_at=expires_at,
                reason=revocation.reason,
            )
        )
        await self.run(
            delete(REVOCATIONS).where(
                REVOCATIONS.c.account == revocation.account,
                REVOCATIONS.c.expires_at < to_micros(self._clock.now()),
            )
        )

        return await self._delete_instances(
            revocation.account,
            Revocations.read([(revocation.target, not_before)]),
        )

    async def narrow(self, revocation: Revocation) -> None:
        """Put this in place of a revocation of the same target that reaches further."""
        await self.forget_revocation(revocation.account, revocation.target)
        await self.revoke(revocation)

    async def forget_revocation(self, account: AccountId, target: str) -> int:
        """Take one back; how many there were."""
        return await self.delete_by(REVOCATIONS, account=account, target=target)

    async def write_origins(
        self,
        account: AccountId,
        instance_id: str,
        origins: Iterable[tuple[AccountId, str, int, int]],
    ) -> None:
        """What a machine comes from, in place of what is written: see `Trace.labels`.

        Each has the account in which a revocation may name it.
        """
        row_key = {"account": account, "instance_id": instance_id}
        await self.delete_by(INSTANCE_ORIGINS, **row_key)
        known = {(of, label): times for of, label, *times in origins}
        for (of, label), (since_ms, until_ms) in known.items():
            times = {"since_ms": since_ms, "until_ms": until_ms}
            await self.run(
                INSTANCE_ORIGINS.insert(),
                {**row_key, "of_account": of, "label": label, **times},
            )

    async def _delete_instances(self, account: AccountId, revoked: Revocations) -> int:
        """End the machines, of any account, that come from what is revoked in this one.

        Their keys would outlive the revocation.
        """
        columns = INSTANCE_ORIGINS.c

        def issued_before(label: str, until_ms: int) -> ColumnElement[bool]:
            return (columns.label == label) & (columns.since_ms < until_ms)

        names = {*revoked.access_key_ids, *revoked.mint_ids}
        named: list[ColumnElement[bool]] = [columns.label.in_(names)]
        named += [issued_before(*mark) for mark in revoked.not_before_ms.items()]
        for first, times in revoked.chains.items():
            named += [
                (columns.label == chain_label(first))
                & (columns.since_ms <= at_ms)
                & (columns.until_ms >= at_ms)
                for at_ms in times
            ]
        other = INSTANCE_ORIGINS.alias("other").c
        for subject, roles in revoked.roles.items():
            of_subject = select(other.account, other.instance_id).where(
                other.of_account == account, other.label == subject
            )
            instance = tuple_(columns.account, columns.instance_id)
            named += [
                issued_before(*role) & instance.in_(of_subject)
                for role in roles.items()
            ]
        ended = select(columns.account, columns.instance_id).where(
            columns.of_account == account, or_(*named)
        )
        rows = await self.rows(ended.distinct())
        for row in rows:
            row_key = {"account": row.account, "instance_id": row.instance_id}
            await self.delete_by(INSTANCES, **row_key)
            await self.delete_by(INSTANCE_ORIGINS, **row_key)
        return len(rows)

    async def _end_admitted(self, account: AccountId, principal_id: str) -> None:
        """End the machines that a deleted user or role admitted, if there are any."""
        target = admitted_target(principal_id)
        columns = INSTANCE_ORIGINS.c
        admitted = select(columns.instance_id).where(
            columns.of_account == account, columns.label == target
        )
        if await self.find_row(admitted.limit(1)) is None:
            return
        expires_at = self._clock.now() + REVOCATION_LIFE
        await self.revoke(
            Revocation(
                account=account,
                target=target,
                not_before_ms=int(expires_at.timestamp() * 1000),
                expires_at=expires_at,
                reason="the user or role that admitted them was deleted",
            )
        )

    async def _end_vouched_for(
        self, account: AccountId, provider_arn: str, provider_id: str
    ) -> None:
        """Leave marks that end the sessions of a deleted provider.

        Another provider may get its ARN, but never its id: that is the target for what
        is issued right now, or by a worker that does not know of the end yet.
        """
        now = self._clock.now()
        expires_at = now + REVOCATION_LIFE
        for target, not_before_ms in (
            # The millisecond of the deletion itself counts as before it.
            (provider_arn, int(now.timestamp() * 1000) + 1),
            (provider_id, int(expires_at.timestamp() * 1000)),
        ):
            await self.revoke(
                Revocation(
                    account=account,
                    target=target,
                    not_before_ms=not_before_ms,
                    expires_at=expires_at,
                    reason="the provider was deleted",
                )
            )
