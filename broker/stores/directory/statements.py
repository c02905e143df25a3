"""What the entity modules stand on: running statements, pages, JSON columns."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Table, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Row
from sqlalchemy.sql import ColumnElement, Executable, Select

from broker.model.account import AccountId
from broker.model.page import Page, PageRequest
from broker.stores.errors import AlreadyExistsError, InvalidMarkerError

Item = TypeVar("Item")
AnyRow = Row[Any]


class Reads(Protocol):
    """A place where reading statements run: a free connection or a transaction."""

    async def rows(self, statement: Executable) -> Sequence[AnyRow]:
        """All rows of a statement."""
        ...

    async def find_row(self, statement: Executable) -> AnyRow | None:
        """The first row, or None."""
        rows = await self.rows(statement)
        return rows[0] if rows else None

    async def page(
        self,
        statement: Select[Any],
        page: PageRequest,
        order: ColumnElement[str],
        read: Callable[[AnyRow], Item],
    ) -> Page[Item]:
        """The rows after the page's marker, in the order of a unique column.

        Raises:
            InvalidMarkerError: the marker is none of ours.
        """
        if page.marker is not None:
            statement = statement.where(order > _read_marker(page.marker))
        statement = statement.order_by(order).limit(page.limit + 1)
        rows = await self.rows(statement.add_columns(order.label("page_key")))
        shown = rows[: page.limit]
        more = len(rows) > page.limit and bool(shown)
        return Page(
            tuple(read(row) for row in shown),
            _make_marker(shown[-1].page_key) if more else None,
        )


class Writes(Reads, Protocol):
    """A transaction in which entities are written."""

    async def run(self, statement: Executable) -> int:
        """Run a writing statement; how many rows it touched."""
        ...

    async def insert_new(
        self, table: Table, values: Mapping[str, object], kind: str
    ) -> None:
        """Insert a row whose unique columns must be free.

        A taken name leaves the transaction usable: nothing was raised inside the
        database.

        Raises:
            AlreadyExistsError: of ``kind``.
        """
        if not await self.insert_if_free(table, values):
            raise AlreadyExistsError(kind)

    async def insert_if_free(self, table: Table, values: Mapping[str, object]) -> bool:
        """Insert unless a unique column's value is taken; whether it was free."""
        ...


def insert_or_ignore(dialect: str, table: Table, values: Mapping[str, object]) -> Any:  # noqa: ANN401  # the dialects' inserts share no type
    """``INSERT … ON CONFLICT DO NOTHING`` in either dialect."""
    make = sqlite_insert if dialect == "sqlite" else postgresql_insert
    return make(table).values(**values).on_conflict_do_nothing()


def name_key(name: str) -> str:
    """What names are compared by."""
    return name.lower()


def arn_key(arn: str) -> str:
    """The compared name at the end of a policy's ARN."""
    return arn.rpartition("/")[2].lower()


def under_path(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Whether a path begins with a prefix, exactly (``LIKE`` folds case on SQLite)."""
    return func.substr(column, 1, len(prefix)) == prefix


def count_rows(table: Table, account: AccountId) -> Select[Any]:
    """How many rows of a table are the account's."""
    return (
        select(func.count().label("number"))
        .select_from(table)
        .where(table.c.account == account)
    )


def dump(value: object) -> str:
    """JSON text for a column."""
    return json.dumps(value, separators=(",", ":"))


def dump_mapping(value: Mapping[str, object]) -> str:
    """JSON text of a mapping, its order kept."""
    return json.dumps(dict(value), separators=(",", ":"))


def load_mapping(text: str) -> dict[str, Any]:
    """The mapping of a JSON column."""
    value = json.loads(text)
    return value if isinstance(value, dict) else {}


def load_texts(text: str) -> tuple[str, ...]:
    """The texts of a JSON column."""
    return tuple(json.loads(text))


def _make_marker(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode("ascii").rstrip("=")


def _read_marker(marker: str) -> str:
    try:
        padded = marker + "=" * (-len(marker) % 4)
        key = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidMarkerError("the marker is not one of this list's") from error
    if "\0" in key:
        raise InvalidMarkerError("the marker is not one of this list's")
    return key
