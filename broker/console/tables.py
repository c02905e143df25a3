"""Sorting and pages of a table by links: the address has ``sort=KEY`` or ``-KEY``, ``page=2``.

The templates' macros `head` and `pager` make the links of a `Sorting` and a `TablePage`.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from broker.console.visit import address

Row = TypeVar("Row")
ROWS = 50
_NUMBER = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


class Sorting(Struct, frozen=True):
    """The order of a table at ``path``; ``query`` is what its links keep."""

    path: str
    key: str
    descending: bool = False
    query: Mapping[str, str] = {}

    @classmethod
    def read(
        cls, text: str, path: str, keys: Collection[str], default: str, /, **query: str
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


class TablePage(Struct, Generic[Row], frozen=True):
    """Some rows of a table, where they are in it, and links to the pages beside them."""

    rows: Sequence[Row]
    total: int
    place: str
    number: str
    previous: str = ""
    next: str = ""


def page_number(text: str) -> int:
    """The page that an address asks for, from 0 on; the first for any other text."""
    return int(text) - 1 if _NUMBER.fullmatch(text) else 0


def cut_page(
    rows: Sequence[Row], number: str, path: str, size: int = ROWS, /, **query: str
) -> TablePage[Row]:
    """The page of this number, or the last; ``query`` is what its links keep."""
    page = min(page_number(number), max(0, len(rows) - 1) // size)
    listed_rows = rows[page * size : (page + 1) * size]
    return place_page(listed_rows, len(rows), page, path, size, **query)


def place_page(
    rows: Sequence[Row],
    total: int,
    page: int,
    path: str,
    size: int = ROWS,
    /,
    **query: str,
) -> TablePage[Row]:
    """A page that was read by itself, of a table with ``total`` rows."""
    start = page * size
    end = start + len(rows)

    def link(other: int) -> str:
        return address(path, **query, page=str(other + 1) if other else "")

    return TablePage(
        rows,
        total,
        f"{start + 1:,} to {end:,} of {total:,}" if total > size else f"{total:,}",
        f"Page {page + 1:,} of {-(-total // size):,}" if total > size else "",
        link(page - 1) if page else "",
        link(page + 1) if end < total else "",
    )
