"""How a kind of thing is described to the store and to the workers' memory.

A kind is data: the table it is stored in, what it is found by, what goes with it. The
port's ``find``, ``named``, ``all_of``, ``page_of``, ``insert``, ``update`` and
``remove`` are the same for every kind. What a worker remembers of a kind follows from
its description as well.
"""

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from enum import Enum
from functools import cached_property
from operator import attrgetter
from types import UnionType
from typing import (
    Any,
    Generic,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Column, Select, Table, select
from sqlalchemy.engine import Row
from sqlalchemy.sql import ColumnElement

from broker.model.account import AccountId
from broker.model.document import UNREAD
from broker.model.names import fold_name
from broker.runtime.bounded import leave_out
from broker.stores.schema import DOCUMENT
from broker.stores.times import from_micros, to_micros

Entity = TypeVar("Entity", bound=Struct)
AnyRow = Row[Any]


name_key = fold_name
"""What columns that names are looked up by hold."""

Value = TypeVar("Value")

Key = str | tuple[str, ...]
"""One value for each column that something is looked up by; an empty text for none."""


WHOLE = ""
"""The key of what an account has only one of."""


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


class ColumnFormat(Struct, frozen=True):
    """How a field's value is written to its column and read back; None stays None."""

    dump: Callable[[Any], object]
    load: Callable[[Any], object]


_FORMATS = {
    datetime: ColumnFormat(to_micros, from_micros),
    bool: ColumnFormat(int, bool),
    Mapping: ColumnFormat(dump_mapping, load_mapping),
    tuple: ColumnFormat(dump, lambda text: tuple(json.loads(text))),
}


def _find_format(hint: Any) -> ColumnFormat | None:  # noqa: ANN401  # any annotation
    """How fields of a type are stored; None if the database holds them as they are."""
    if isinstance(hint, UnionType):
        hint = get_args(hint)[0]  # the other is None
    kind = get_origin(hint) or hint
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ColumnFormat(attrgetter("value"), kind)
    return _FORMATS.get(kind)


def key_of_name(entity: Any) -> str:  # noqa: ANN401  # any entity with a name
    """The ``name_key`` of an entity."""
    return name_key(entity.name)


class Columns(Struct, frozen=True):
    """How a field's value is written to several columns and read back."""

    dump: Callable[[Any], Mapping[str, object]]
    load: Callable[[AnyRow], object]


def is_document(column: Column[Any]) -> bool:
    """Whether a column holds a document, which only readings of one entity read."""
    return bool(column.info.get(DOCUMENT))


class EntityTable(Generic[Entity]):
    """The table of a kind of entity.

    A field is stored as its type says; ``formats`` are those that do it differently.
    ``derived`` are columns that are computed from the entity and never read (by
    default the ``name_key`` of what has one), and
    ``counted`` are fields that ``selected``, the statement that reads, computes.
    ``parts`` are fields in several columns, ``columns`` those with another name.
    ``listed`` selects the same without the columns that the schema calls documents;
    ``read_listed`` has `UNREAD` in place of each, which an update leaves alone.
    """

    def __init__(
        self,
        table: Table,
        kind: type[Entity],
        /,
        *,
        derived: Mapping[str, Callable[[Entity], object]] | None = None,
        parts: Mapping[str, Columns] | None = None,
        columns: Mapping[str, str] | None = None,
        counted: Collection[str] = (),
        selected: Select[Any] | None = None,
        listed: Select[Any] | None = None,
        **formats: ColumnFormat,
    ) -> None:
        self.table = table
        self.selected: Select[Any] = select(table) if selected is None else selected
        short = [column for column in table.c if not is_document(column)]
        self.listed: Select[Any] = select(*short) if listed is None else listed
        self.entity = kind
        named_key = {"name_key": key_of_name} if "name_key" in table.c else {}
        self._derived = named_key if derived is None else derived
        self._parts = parts or {}
        named = {name: name for name in kind.__struct_fields__} | dict(columns or {})
        columns_of = {text: named[text] for text in named if text not in self._parts}
        self._fields = tuple(columns_of)
        hints = get_type_hints(kind)
        known = {
            text: formats.get(text) or _find_format(hints[text]) for text in columns_of
        }
        self._formats = {
            name: column_format
            for name, column_format in known.items()
            if column_format is not None
        }
        long = {column.name for column in table.c if is_document(column)}
        self._documents = tuple(
            name for name, column in columns_of.items() if column in long
        )
        self.has_documents = listed is not None or bool(long)
        """Whether lists leave something out."""
        self._read = attrgetter(*columns_of.values())
        self._listed_fields = tuple(
            name for name in columns_of if name not in self._documents
        )
        self._read_listed = attrgetter(
            *(columns_of[name] for name in self._listed_fields)
        )
        self._written = {
            name: column for name, column in columns_of.items() if name not in counted
        }
        self._values_of = attrgetter(*self._written)

    def read(self, row: AnyRow) -> Entity:
        """The entity of a row, which may have other columns as well."""
        return self._make(row, dict(zip(self._fields, self._read(row), strict=True)))

    def read_listed(self, row: AnyRow) -> Entity:
        """The entity of a row of ``listed``, without its documents."""
        values = zip(self._listed_fields, self._read_listed(row), strict=True)
        made = self._make(row, dict(values) | dict.fromkeys(self._documents))
        return replace(made, **dict.fromkeys(self._documents, UNREAD))

    def _make(self, row: AnyRow, values: dict[str, Any]) -> Entity:
        for name, column in self._formats.items():
            if values[name] is not None:
                values[name] = column.load(values[name])
        for name, part in self._parts.items():
            values[name] = part.load(row)
        return self.entity(**values)

    def values(self, entity: Entity) -> dict[str, object]:
        """The values of an entity's columns."""
        written = zip(self._written, self._values_of(entity), strict=True)
        values: dict[str, object] = {}
        for name, value in written:
            if value is UNREAD:
                continue
            column = self._formats.get(name)
            as_stored = value if column is None or value is None else column.dump(value)
            values[self._written[name]] = as_stored
        for name, part in self._parts.items():
            values.update(part.dump(getattr(entity, name)))
        for name, derive in self._derived.items():
            values[name] = derive(entity)
        return values


class Reading(Struct, Generic[Value], frozen=True, eq=False):
    """What is read as one, and the columns by which rows of a table are its own.

    A table without columns outdates the reading with any row. What ``load`` reads from
    is the port's ``DirectoryReader``, which rests on what kinds there are.
    """

    load: Callable[[Any, AccountId, Any], Awaitable[Value]]
    rows: Mapping[Table, tuple[Column[Any], ...]]


leave_out(Reading)


class Kind(Struct, Generic[Entity], frozen=True, eq=False, kw_only=True, dict=True):
    """A kind of thing that accounts have.

    ``key`` is the column of its unique id; the account's own column for what an
    account has one of. ``name`` is the column of the name that it is found by as well,
    which is unique in an account. Lists are in ``order``, else in that of names, or of
    ids. ``kept`` are columns that an update leaves alone. ``owns`` are columns of other
    tables with this kind's ids: rows that are removed with it. A kind ``vouches`` if
    sessions that began with one end when it is removed; it ``admits`` if machines that
    came from one do.
    """

    stored: EntityTable[Entity]
    key: str
    label: str
    name: str = ""
    order: tuple[ColumnElement[Any], ...] = ()
    kept: tuple[str, ...] = ()
    owns: tuple[Column[Any], ...] = ()
    vouches: bool = False
    admits: bool = False

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


class Remembered(Kind[Entity], frozen=True):
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
        """All of an account, without their documents."""
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
