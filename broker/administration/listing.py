"""Paged lists of an IAM action, with a search.

IAM's lists have no search by name, so a search reads on until the page is full,
within bounds; the next page continues where it stopped.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from broker.console.tables import Sorting
from broker.console.visit import Visit, address
from broker.errors import AccessDenied

T = TypeVar("T")

ROWS = 40
SORTED_MAX = 400
"""Rows that are read to sort a list that the store has in another order."""

_SEARCHED = 60
_CALLS_MAX = 30
_OFFSET = re.compile(r"[0-9]{1,6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListedPage:
    """Rows, and the marker of the next page; empty at the end of the list."""

    rows: tuple[Mapping[str, Any], ...]
    marker: str


@dataclass(frozen=True, slots=True)
class PageLinks:
    """The links below a list; empty for the page that is shown, and after the last."""

    first: str
    next: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a page: an action's result, or why it was refused."""

    found: Mapping[str, Any] | None
    refused: str = ""

    def get(self, member: str) -> Any:  # noqa: ANN401  # what the model says
        """A member of the result; an empty list when there is none."""
        return [] if self.found is None else self.found.get(member, [])


async def list_page(
    visit: Visit,
    action: str,
    member: str,
    matches: Callable[[Mapping[str, Any]], bool] | None,
    *,
    service: str = "iam",
    **given: object,
) -> ListedPage:
    """Read one page of a list of ``service``, filtered by ``matches`` if given.

    Raises:
        BrokerError: The action failed.
    """
    marker = visit.text("marker") or None
    if matches is None:
        result = await visit.perform(
            service, action, Marker=marker, MaxItems=ROWS, **given
        )
        return ListedPage(tuple(result[member]), str(result.get("Marker", "")))
    found: list[Mapping[str, Any]] = []
    for _ in range(_CALLS_MAX):
        result = await visit.perform(
            service, action, Marker=marker, MaxItems=_SEARCHED, **given
        )
        found += filter(matches, result[member])
        marker = result.get("Marker")
        if marker is None or len(found) >= ROWS:
            break
    return ListedPage(tuple(found), marker or "")


def page_links(visit: Visit, path: str, marker: str, /, **query: str) -> PageLinks:
    """The links of a list that goes on at ``marker``; ``query`` is the search."""
    return PageLinks(
        first=address(path, **query) if visit.text("marker") else "",
        next=address(path, **query, marker=marker) if marker else "",
    )


def cut_page(visit: Visit, rows: Sequence[T], size: int) -> tuple[Sequence[T], str]:
    """The rows of the requested page of a whole list, and the marker of the next."""
    given = visit.text("marker")
    start = int(given) if _OFFSET.fullmatch(given) else 0
    end = start + size
    return rows[start:end], str(end) if end < len(rows) else ""


async def sorted_page(
    visit: Visit,
    sorting: Sorting,
    by: Mapping[str, Callable[[T], Any]],
    read: Callable[[str | None], Awaitable[tuple[Sequence[T], str]]],
    size: int,
) -> tuple[Sequence[T], str, bool]:
    """A page of a list in another order than its own, and the marker of the next.

    ``read`` reads a part of the list at a marker. Only the list's first rows are
    sorted; the last value says whether there are more.
    """
    rows: list[T] = []
    marker: str | None = None
    while True:
        part, following = await read(marker)
        rows += part
        marker = following or None
        if marker is None or len(rows) >= SORTED_MAX:
            break
    shown, following = cut_page(visit, sorting.order(rows, by), size)
    return shown, following, marker is not None


async def read_part(
    visit: Visit, action: str, *, service: str = "iam", **given: object
) -> Part:
    """Perform an action for an optional part of a page.

    Raises:
        BrokerError: The action failed for another reason than missing permissions.
    """
    try:
        return Part(await visit.perform(service, action, **given))
    except AccessDenied as error:
        return Part(None, error.words)
