"""How entities are stored: one column for each field, with the field's name."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

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


def load_texts(text: str) -> tuple[str, ...]:
    """The texts of a JSON column."""
    return tuple(json.loads(text))


@dataclass(frozen=True, slots=True)
class ColumnFormat:
    """How a field's value is written to its column and read back; None stays None."""

    dump: Callable[[Any], object]
    load: Callable[[Any], object]


TIME = ColumnFormat(to_micros, from_micros)
FLAG = ColumnFormat(int, bool)
MAPPING = ColumnFormat(dump_mapping, load_mapping)
TEXTS = ColumnFormat(dump, load_texts)
ROW = ColumnFormat(dump, lambda text: tuple(json.loads(text)))
"""A row of a model's own, such as a lineage."""


def name_key(name: str) -> str:
    """What names are compared by."""
    return name.lower()


def key_of_name(entity: Any) -> str:  # noqa: ANN401  # any entity with a name
    """The ``name_key`` of an entity."""
    return name_key(entity.name)


@dataclass(frozen=True, slots=True)
class Part:
    """How a field's value is written to several columns and read back."""

    dump: Callable[[Any], Mapping[str, object]]
    load: Callable[[AnyRow], object]


class EntityTable(Generic[Entity]):
    """The table of a kind of entity.

    ``formats`` are those of fields that the database cannot hold as they are;
    ``derived`` are columns that are computed from the entity and never read, and
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
        parts: Mapping[str, Part] | None = None,
        columns: Mapping[str, str] | None = None,
        counted: Collection[str] = (),
        selected: Select[Any] | None = None,
        **formats: ColumnFormat,
    ) -> None:
        self.table = table
        self.selected: Select[Any] = select(table) if selected is None else selected
        self.entity = kind
        self._derived = derived or {}
        self._parts = parts or {}
        self._formats = formats
        named = {one.name: one.name for one in fields(kind)} | dict(columns or {})
        columns_of = {one: named[one] for one in named if one not in self._parts}
        self._fields = tuple(columns_of)
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
