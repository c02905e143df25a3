"""How entities are stored: one column for each field, with the field's name."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from operator import attrgetter
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from sqlalchemy import Select, Table, select
from sqlalchemy.engine import Row

from broker.stores.times import from_micros, to_micros

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Entity = TypeVar("Entity", bound="DataclassInstance")
AnyRow = Row[Any]


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


@dataclass(frozen=True, slots=True)
class ColumnFormat:
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


def name_key(name: str) -> str:
    """What names are compared by."""
    return name.lower()


def key_of_name(entity: Any) -> str:  # noqa: ANN401  # any entity with a name
    """The ``name_key`` of an entity."""
    return name_key(entity.name)


@dataclass(frozen=True, slots=True)
class Columns:
    """How a field's value is written to several columns and read back."""

    dump: Callable[[Any], Mapping[str, object]]
    load: Callable[[AnyRow], object]


class EntityTable(Generic[Entity]):
    """The table of a kind of entity.

    A field is stored as its type says; ``formats`` are those that do it differently.
    ``derived`` are columns that are computed from the entity and never read (by
    default the ``name_key`` of what has one), and
    ``counted`` are fields that ``selected``, the statement that reads, computes.
    ``parts`` are fields in several columns, ``columns`` those with another name.
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
        **formats: ColumnFormat,
    ) -> None:
        self.table = table
        self.selected: Select[Any] = select(table) if selected is None else selected
        self.entity = kind
        named_key = {"name_key": key_of_name} if "name_key" in table.c else {}
        self._derived = named_key if derived is None else derived
        self._parts = parts or {}
        named = {one.name: one.name for one in fields(kind)} | dict(columns or {})
        columns_of = {one: named[one] for one in named if one not in self._parts}
        self._fields = tuple(columns_of)
        hints = get_type_hints(kind)
        known = {
            one: formats.get(one) or _find_format(hints[one]) for one in columns_of
        }
        self._formats = {name: one for name, one in known.items() if one is not None}
        self._read = attrgetter(*columns_of.values())
        self._written = {
            name: column for name, column in columns_of.items() if name not in counted
        }
        self._values_of = attrgetter(*self._written)

    def read(self, row: AnyRow) -> Entity:
        """The entity of a row, which may have other columns as well."""
        values = dict(zip(self._fields, self._read(row), strict=True))
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
            column = self._formats.get(name)
            as_stored = value if column is None or value is None else column.dump(value)
            values[self._written[name]] = as_stored
        for name, part in self._parts.items():
            values.update(part.dump(getattr(entity, name)))
        for name, derive in self._derived.items():
            values[name] = derive(entity)
        return values
