"""Where statements run, and the statements that many modules need."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

from sqlalchemy import Table, bindparam, func
from sqlalchemy.sql import ColumnElement, Executable, Select

from broker.model.names import fold_name
from broker.model.page import Page, PageRequest
from broker.stores.directory.stored import AnyRow, Entity, EntityTable, Kind

Item = TypeVar("Item")
Parameters = Mapping[str, object]

NUL = "\0"
"""A character that no stored text has; PostgreSQL refuses statements with it."""

_IDS_A_QUERY = 500


class Reads(Protocol):
    """A place where reading statements run: a free connection or a transaction."""

    async def rows(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> Sequence[AnyRow]:
        """All rows of a statement."""
        ...

    async def watched_rows(self, statement: Executable) -> Sequence[AnyRow]:
        """All rows of the statement that also serves as the health check."""
        ...

    async def find_row(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> AnyRow | None:
        """The first row, or None."""
        ...

    async def find_entity(
        self, stored: EntityTable[Entity], **values: object
    ) -> Entity | None:
        """The entity whose columns have these values, or None."""
        ...

    async def find_listed(
        self, stored: EntityTable[Entity], **values: object
    ) -> Entity | None:
        """The same without its documents, as lists have it."""
        ...

    async def list_entities(
        self, stored: EntityTable[Entity], statement: Executable
    ) -> tuple[Entity, ...]:
        """The entities of all rows of a statement, without their documents."""
        ...

    async def number(self, statement: Executable) -> int:
        """The number that a statement counts."""
        ...

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
        ...


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

    async def delete_by(self, table: Table, **key: object) -> int:
        """Delete the rows whose key it is; how many there were."""
        ...

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
