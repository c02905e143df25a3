"""Lists of what an account has, each described once: search, order, pages, deletion.

A `ListPage` is the page of one kind. A list is read as a whole, which quotas bound, and
searched, sorted and cut here, so that it has a total and its pages have numbers.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from broker.administration.reading import list_all
from broker.console.tables import ROWS, Sorting, cut_page
from broker.console.visit import BOTH, GET, PageRoute, Visit, address, go
from broker.errors import AccessDenied, BrokerError, ServiceUnavailable

READ_MAX = 5_000
"""Rows that are read; of a longer list, a search finds the others."""

PICKED_MAX = 50
"""Rows that are deleted at once."""

_SEARCH_MAX = 128
_FILTER_MAX = 512


class Query(Struct, frozen=True):
    """What a list is asked for: a search, other filters, and an order."""

    filters: Mapping[str, str]
    sorting: Sorting | None
    matches: Callable[[Any], bool] | None

    @property
    def search(self) -> str:
        """The text to search for."""
        return self.filters["q"]

    @property
    def kept(self) -> dict[str, str]:
        """What links to other pages of the list keep."""
        return {**self.filters, "sort": self.sorting.text if self.sorting else ""}


class Found(Struct, frozen=True):
    """All rows of a list; ``cut`` says that there are more.

    ``shown`` makes of a row what the template shows.
    """

    rows: Sequence[Any]
    cut: bool = False
    sortable: bool = True
    more: Mapping[str, object] = {}
    shown: Callable[[Any], Any] = lambda row: row


Read = Callable[[Visit, Query], Awaitable[Found]]


class Deletion(Struct, frozen=True):
    """Deletes entities that were selected in a list; ``lines`` say what will happen.

    ``member`` of a row is its name.
    Each is deleted by actions of its own, with their own permissions.
    """

    noun: str
    member: str
    lines: tuple[str, ...]
    delete: Callable[[Visit, str], Awaitable[None]]


class ListPage(Struct, frozen=True, kw_only=True):
    """The page of a list; the template has its texts and how a row is shown.

    ``searched`` is the text of a row that a search looks at, ``by`` the values that sort.
    """

    path: str
    here: str
    template: str
    read: Read
    searched: Callable[[Any], str] | None = None
    by: Mapping[str, Callable[[Any], Any]] = {}
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
        listed = await self.read(visit, query)
        rows = [row for row in listed.rows if not query.matches or query.matches(row)]
        if query.sorting and listed.sortable:
            rows = query.sorting.order(rows, self.by)
        page = cut_page(rows, visit.text("page"), self.path, self.rows, **query.kept)
        return await visit.show(
            self.template,
            path=self.path,
            address=address,
            here_again=address(self.path, **query.kept, page=visit.text("page")),
            rows=[listed.shown(row) for row in page.rows],
            picked=self.deletion and self.deletion.member,
            query=query.filters,
            asked=any(query.filters.values()),
            sorting=query.sorting if listed.sortable else None,
            pages=page,
            paths=any(_path(row) != "/" for row in rows),
            cut=listed.cut,
            **{**listed.more, **more},
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
        query = self._query(visit)
        back = address(self.path, **query.kept, page=visit.text("page"))
        if not picked or visit.text("do") != "delete":
            return go(back)
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
            return visit.done(f"{len(picked)} {noun} deleted.", back)
        if failed:
            visit.status = 400
        return await visit.show(
            "admin/bulk_delete.html",
            title=f"Delete {len(picked)} {noun}",
            noun=deletion.noun,
            path=back,
            lines=deletion.lines,
            picked=picked,
            deleted=len(picked) - len(failed),
            failed=failed,
        )


def _path(row: Any) -> str:  # noqa: ANN401  # what a list's rows are
    is_model = isinstance(row, Mapping)
    return str(row.get("Path", "/") if is_model else getattr(row, "path", "/"))


def whole_list(action: str, member: str) -> Read:
    """Read all of a list, which a quota bounds; as `list_all` does."""

    async def read(visit: Visit, _query: Query) -> Found:
        return Found(await list_all(visit, action, member))

    return read


class PagePart(Struct, frozen=True):
    """A part of a page: an action's result, or why it was refused."""

    found: Mapping[str, Any] | None
    refused: str = ""

    def get(self, member: str) -> Any:  # noqa: ANN401  # what the model says
        """A member of the result; an empty list when there is none."""
        return [] if self.found is None else self.found.get(member, [])


async def read_part(
    visit: Visit, action: str, *, service: str = "iam", **params: object
) -> PagePart:
    """Perform an action for an optional part of a page.

    Raises:
        BrokerError: The action failed for another reason than missing permissions.
    """
    try:
        return PagePart(await visit.perform(service, action, **params))
    except AccessDenied as error:
        return PagePart(None, error.words)
