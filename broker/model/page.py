"""Pagination: an opaque marker, stable while others write."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item", covariant=True)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Where to begin (the marker of the page before) and how many at the most."""

    marker: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items, and the marker of the next page (None on the last)."""

    items: tuple[Item, ...]
    marker: str | None
