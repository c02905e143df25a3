"""A list that an IAM action gives page by page, with a search over it.

IAM knows no search by name, so a search reads on until the page is full, within
bounds; where it stopped the next page goes on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.console.admin.visit import Visit
from broker.errors import AccessDenied

ROWS = 40
_SEARCHED = 60
_CALLS_MAX = 30


@dataclass(frozen=True, slots=True)
class ListedPage:
    """Rows, and where the list goes on; empty at its end."""

    rows: tuple[Mapping[str, Any], ...]
    marker: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a page: what an action gave, or why it gave nothing."""

    found: Mapping[str, Any] | None
    refused: str = ""

    def get(self, member: str) -> Any:  # noqa: ANN401  # what the model says
        """A member of the answer; an empty list when there is none."""
        return [] if self.found is None else self.found.get(member, [])


async def list_page(
    visit: Visit,
    action: str,
    member: str,
    matches: Callable[[Mapping[str, Any]], bool] | None,
    **given: object,
) -> ListedPage:
    """One page of a list; with ``matches`` of the rows that it holds for.

    Raises:
        BrokerError: the action failed.
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


async def part(visit: Visit, action: str, **given: object) -> Part:
    """What an action gives for a part of a page that can do without it.

    Raises:
        BrokerError: the action failed otherwise than by a refusal.
    """
    try:
        return Part(await visit.iam(action, **given))
    except AccessDenied as error:
        return Part(None, error.words)
