"""How a kind of thing is described to the store and to the workers' memory.

A kind is data: the table it is stored in, what it is found by, what goes with it. The
port's ``find``, ``named``, ``all_of``, ``page_of``, ``insert``, ``update`` and
``remove`` are the same for every kind. What a worker remembers of a kind follows from
its description as well.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sqlalchemy import Column, Table
from sqlalchemy.sql import ColumnElement

from broker.model.account import AccountId
from broker.stores.directory.entity_tables import Entity, EntityTable, name_key

if TYPE_CHECKING:
    from broker.stores.directory.port import DirectoryReader

Value = TypeVar("Value")
Key = str | tuple[str, ...]
"""One value for each column that something is looked up by; an empty text for none."""

WHOLE = ""
"""The key of what an account has only one of."""


@dataclass(frozen=True, eq=False)
class Reading(Generic[Value]):
    """What is read as one, and the columns by which rows of a table are its own.

    A table without columns outdates the reading with any row.
    """

    load: Callable[["DirectoryReader", AccountId, Any], Awaitable[Value]]
    rows: Mapping[Table, tuple[Column[Any], ...]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Kind(Generic[Entity]):
    """A kind of thing that accounts have.

    ``key`` is the column of its unique id; the account's own column for what an
    account has one of. ``name`` is the column of the name that it is found by as well,
    which is unique in an account. Lists are in ``order``, else in that of names, or of
    ids. ``kept`` are columns that an update leaves alone. ``owns`` are columns of other
    tables with this kind's ids: rows that are removed with it. A kind ``vouches`` if
    sessions that began with one end when it is removed.
    """

    stored: EntityTable[Entity]
    key: str
    label: str
    name: str = ""
    order: tuple[ColumnElement[Any], ...] = ()
    kept: tuple[str, ...] = ()
    owns: tuple[Column[Any], ...] = ()
    vouches: bool = False

    @property
    def table(self) -> Table:
        """Where it is stored."""
        return self.stored.table

    @cached_property
    def page_order(self) -> Column[Any]:
        """The unique column by which pages go."""
        return self.table.c[self.name or self.key]

    def named(self, name: str) -> str:
        """A name as it is compared."""
        return name_key(name) if self.name.endswith("_key") else name


class Remembered(Kind[Entity]):
    """A kind that workers remember, so that it is found without a query.

    By id and by name, all of an account, and their number.
    """

    @cached_property
    def by_key(self) -> Reading[Entity | None]:
        """One by its id."""
        column = self.table.c[self.key]
        return Reading(
            lambda directory, account, key: directory.find(self, account, key),
            {self.table: () if self.key == "account" else (column,)},
        )

    @cached_property
    def by_name(self) -> Reading[Entity | None]:
        """One by its name, as it is compared."""
        return Reading(
            lambda directory, account, key: directory.named(self, account, key),
            {self.table: (self.table.c[self.name],)},
        )

    @cached_property
    def whole(self) -> Reading[tuple[Entity, ...]]:
        """All of an account."""
        return Reading(
            lambda directory, account, _: directory.all_of(self, account),
            {self.table: ()},
        )

    @cached_property
    def number(self) -> Reading[int]:
        """How many an account has."""
        return Reading(
            lambda directory, account, _: directory.count(self, account),
            {self.table: ()},
        )

    def readings(self) -> tuple[Reading[Any], ...]:
        """All that is remembered of it."""
        by_name = (self.by_name,) if self.name else ()
        return (self.by_key, *by_name, self.whole, self.number)
