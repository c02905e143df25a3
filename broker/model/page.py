"""Pagination: an opaque marker, stable while others write."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Where to begin (the marker of the page before) and how many at the most."""

    marker: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[Item_co]):
    """Some items, and the marker of the next page (None on the last)."""

    items: tuple[Item_co, ...]
    marker: str | None


async def read_pages(
    read: Callable[[PageRequest], Awaitable[Page[Item]]], limit: int
) -> AsyncIterator[tuple[Item, ...]]:
    """Read a whole list: the items of each page, up to ``limit`` at a time."""
    marker: str | None = None
    while True:
        page = await read(PageRequest(marker, limit))
        yield page.items
        marker = page.marker
        if marker is None:
            return
