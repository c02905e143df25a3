"""Pagination: an opaque marker, stable while others write."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from msgspec import Struct

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class PageRequest(Struct, frozen=True):
    """Where to begin (the marker of the page before) and how many at the most."""

    marker: str | None = None
    limit: int = 100


class Page(Struct, Generic[Item_co], frozen=True):
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
