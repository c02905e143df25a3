"""Paged lists of an IAM action, with a search.

IAM's lists have no search by name, so a search reads on until the page is full,
within bounds; the next page continues where it stopped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.console.visit import Visit
from broker.errors import AccessDenied

ROWS = 40
_SEARCHED = 60
_CALLS_MAX = 30


@dataclass(frozen=True, slots=True)
class ListedPage:
    """Rows, and the marker of the next page; empty at the end of the list."""

    rows: tuple[Mapping[str, Any], ...]
    marker: str


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
    **given: object,
) -> ListedPage:
    """Read one page of a list, filtered by ``matches`` if given.

    Raises:
        BrokerError: The action failed.
    """
    marker = visit.text("marker") or None
    if matches is None:
        result = await visit.iam(action, Marker=marker, MaxItems=ROWS, **given)
        return ListedPage(tuple(result[member]), str(result.get("Marker", "")))
    found: list[Mapping[str, Any]] = []
    for _ in range(_CALLS_MAX):
        result = await visit.iam(action, Marker=marker, MaxItems=_SEARCHED, **given)
        found += filter(matches, result[member])
        marker = result.get("Marker")
        if marker is None or len(found) >= ROWS:
            break
    return ListedPage(tuple(found), marker or "")


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
