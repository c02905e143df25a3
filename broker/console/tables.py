"""Sorting of a table by links: the order is in the address, as ``sort=KEY`` or ``-KEY``.

The template's macro `head` makes the links; a page passes it a `Sorting`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from broker.console.visit import address

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Sorting:
    """The order of a table at ``path``; ``query`` is what its links keep."""

    path: str
    key: str
    descending: bool = False
    query: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        text: str,
        path: str,
        keys: Collection[str],
        default: str,
        /,
        **query: str,
    ) -> "Sorting":
        """Read ``KEY`` or ``-KEY``; what is not one of ``keys`` is the default."""
        key = text.removeprefix("-")
        if key not in keys:
            text, key = default, default.removeprefix("-")
        return cls(path, key, text.startswith("-"), query)

    @property
    def text(self) -> str:
        """The parameter ``sort``."""
        return f"-{self.key}" if self.descending else self.key

    def link(self, key: str) -> str:
        """Where a column's head leads: to its order, or the reverse."""
        turned = key == self.key and not self.descending
        return address(self.path, **self.query, sort=f"-{key}" if turned else key)

    def order(
        self, rows: Iterable[Row], by: Mapping[str, Callable[[Row], Any]]
    ) -> list[Row]:
        """The rows in this order; those without a value (None) come last."""
        value = by[self.key]
        listed = list(rows)
        known = [row for row in listed if value(row) is not None]
        return sorted(known, key=value, reverse=self.descending) + [
            row for row in listed if value(row) is None
        ]
