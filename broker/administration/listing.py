"""Lists of what an account has, each described once: search, order, pages, deletion.

A `ListPage` is the page of one kind. IAM's lists have no search by name, so a search
reads on until the page is full, within bounds; the next page continues where it stopped.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.responses import Response

from broker.administration.reading import list_all
from broker.console.tables import Sorting
from broker.console.visit import BOTH, GET, PageRoute, Visit, address, go
from broker.errors import AccessDenied, BrokerError, ServiceUnavailable

T = TypeVar("T")

ROWS = 40
SORTED_MAX = 400
"""Rows that are read to sort a list that the store has in another order."""

PICKED_MAX = 50
"""Rows that are deleted at once."""

_READ = 100
_SEARCHED = 60
_CALLS_MAX = 30
_SEARCH_MAX = 128
_FILTER_MAX = 512
_OFFSET = re.compile(r"[0-9]{1,6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """What a list is asked for: a search, other filters, and an order."""

    filters: Mapping[str, str]
    sorting: Sorting | None
    matches: Callable[[Any], bool] | None

    @property
    def search(self) -> str:
        """The text to search for."""
        return self.filters["q"]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a list. Without a ``marker`` they are all, still to be sorted and cut.

    ``cut`` says that only the list's beginning is in order.
    """

    rows: Sequence[Any]
    marker: str | None = None
    cut: bool = False
    sortable: bool = True
    more: Mapping[str, object] = field(default_factory=dict)


Read = Callable[[Visit, Query], Awaitable[Found]]


@dataclass(frozen=True, slots=True)
class Deletion:
    """Deletes entities that were selected in a list; ``lines`` say what will happen.

    ``member`` of a row is its name.
    Each is deleted by actions of its own, with their own permissions.
    """

    noun: str
    member: str
    lines: tuple[str, ...]
    delete: Callable[[Visit, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """The page of a list; the template has its texts and how a row is shown.

    ``searched`` is the text of a row that a search looks at, ``by`` the values that sort.
    """

    path: str
    here: str
    template: str
    read: Read
    searched: Callable[[Any], str] | None = None
    by: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    order: str = "name"
    rows: int = ROWS
    filters: tuple[str, ...] = ()
    deletion: Deletion | None = None

    def route(self) -> PageRoute:
        """The page's route; a POST deletes what was selected."""
        return PageRoute(
            self.path, self.here, self.answer, BOTH if self.deletion else GET
        )

    async def answer(self, visit: Visit, **more: object) -> Response:
        """Show a page of the list, or delete what was selected."""
        if visit.posted and self.deletion:
            return await self._delete(visit, self.deletion)
        query = self._query(visit)
        found = await self.read(visit, query)
        shown, marker = found.rows, found.marker
        if marker is None:
            shown = [
                row for row in shown if query.matches is None or query.matches(row)
            ]
            if query.sorting:
                shown = query.sorting.order(shown, self.by)
            shown, marker = cut_page(visit, shown, self.rows)
        kept = dict(query.filters, sort=query.sorting.text if query.sorting else "")
        return await visit.show(
            self.template,
            path=self.path,
            rows=shown,
            picked=self.deletion and self.deletion.member,
            query=query.filters,
            asked=any(query.filters.values()),
            sorting=query.sorting if found.sortable else None,
            pages=page_links(visit, self.path, marker, **kept),
            cut=SORTED_MAX if found.cut else 0,
            **{**found.more, **more},
        )

    def _query(self, visit: Visit) -> Query:
        search = visit.text("q")[:_SEARCH_MAX]
        filters = {name: visit.text(name)[:_FILTER_MAX] for name in self.filters}
        kept = {"q": search, **filters}
        read, lowered = self.searched, search.lower()
        return Query(
            kept,
            Sorting.read(visit.text("sort"), self.path, self.by, self.order, **kept)
            if self.by
            else None,
            (lambda row: lowered in read(row).lower()) if search and read else None,
        )

    async def _delete(self, visit: Visit, deletion: Deletion) -> Response:
        """Answer the form of the list: ask, or delete once that was answered."""
        picked = tuple(dict.fromkeys(visit.form.values("picked")))[:PICKED_MAX]
        if not picked or visit.text("do") != "delete":
            return go(self.path)
        noun = deletion.noun if len(picked) == 1 else f"{deletion.noun}s"
        failed: list[str] = []
        for name in picked if visit.text("sure") == "yes" else ():
            try:
                await deletion.delete(visit, name)
            except ServiceUnavailable:
                raise
            except BrokerError as error:
                failed.append(f"{name}: {error.words}")
        if visit.text("sure") == "yes" and not failed:
            return visit.done(f"{len(picked)} {noun} deleted.", self.path)
        if failed:
            visit.status = 400
        return await visit.show(
            "admin/bulk_delete.html",
            title=f"Delete {len(picked)} {noun}",
            noun=deletion.noun,
            path=self.path,
            lines=deletion.lines,
            picked=picked,
            deleted=len(picked) - len(failed),
            failed=failed,
        )


def whole_list(action: str, member: str) -> Read:
    """Read all of a list of IAM, which a quota bounds."""

    async def read(visit: Visit, _query: Query) -> Found:
        return Found(await list_all(visit, action, member))

    return read


def paged_list(action: str, member: str, *, service: str = "iam") -> Read:
    """Read a page of a list."""

    async def read(visit: Visit, query: Query) -> Found:
        return await read_page(visit, query, (service, action, member))

    return read


async def read_page(
    visit: Visit, query: Query, listed: tuple[str, str, str], **given: object
) -> Found:
    """Read one page of a list (service, action, member), filtered by a search.

    Raises:
        BrokerError: The action failed.
    """
    service, action, member = listed
    marker = visit.text("marker") or None
    if query.matches is None:
        result = await visit.perform(
            service, action, Marker=marker, MaxItems=ROWS, **given
        )
        return Found(result[member], result.get("Marker") or "")
    found: list[Any] = []
    for _ in range(_CALLS_MAX):
        result = await visit.perform(
            service, action, Marker=marker, MaxItems=_SEARCHED, **given
        )
        found += filter(query.matches, result[member])
        marker = result.get("Marker")
        if marker is None or len(found) >= ROWS:
            break
    return Found(found, marker or "")


@dataclass(frozen=True, slots=True)
class PageLinks:
    """The links below a list; empty for the page that is shown, and after the last."""

    first: str
    next: str


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


async def read_sorted(
    visit: Visit,
    query: Query,
    read: Callable[[str | None, int], Awaitable[tuple[Sequence[Any], str]]],
    size: int,
) -> Found:
    """A page of a list that the store has in the order of names.

    ``read`` reads a part of the list, of some size at a marker. In another order, only
    the list's first rows are read and sorted.
    """
    if query.sorting is None or query.sorting.text == "name":
        return Found(*await read(visit.text("marker") or None, size))
    rows: list[Any] = []
    marker: str | None = None
    while True:
        part, following = await read(marker, _READ)
        rows += part
        marker = following or None
        if marker is None or len(rows) >= SORTED_MAX:
            return Found(rows, cut=marker is not None)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a page: an action's result, or why it was refused."""

    found: Mapping[str, Any] | None
    refused: str = ""

    def get(self, member: str) -> Any:  # noqa: ANN401  # what the model says
        """A member of the result; an empty list when there is none."""
        return [] if self.found is None else self.found.get(member, [])


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
