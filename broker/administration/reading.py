"""Reading for a page: whole lists, and parts that may be refused."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.console.visit import Visit
from broker.errors import AccessDenied, NoSuchEntity

_PAGES_MAX = 20
_PAGE = 1000
OLD_DAYS = 90
"""The age in days from which an access key should be rotated."""


class PageReader:
    """Reads the parts of a page; ``refused`` has the reasons for those missing."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self.refused: list[str] = []

    async def iam(self, action: str, **params: object) -> Mapping[str, Any] | None:
        """An action's result; None when it is refused or nothing is found.

        Raises:
            BrokerError: The action failed for another reason.
        """
        try:
            return await self._visit.iam(action, **params)
        except AccessDenied as error:
            self.refused.append(error.words)
        except NoSuchEntity:
            pass
        return None

    async def list_all(self, action: str, member: str, **params: object) -> list[Any]:
        """A whole list; empty when it is refused.

        Raises:
            BrokerError: The action failed for another reason.
        """
        try:
            return await list_all(self._visit, action, member, **params)
        except AccessDenied as error:
            self.refused.append(error.words)
            return []


async def list_all(
    visit: Visit, action: str, member: str, **params: object
) -> list[Any]:
    """Read a whole list, up to ``_PAGES_MAX`` pages; of IAM, or ``service:Action``.

    Raises:
        BrokerError: The action failed.
    """
    service, _, name = action.rpartition(":")
    results: list[Any] = []
    marker: str | None = None
    for _ in range(_PAGES_MAX):
        answer = await visit.perform(
            service or "iam", name, **params, MaxItems=_PAGE, Marker=marker
        )
        results += answer[member]
        marker = answer.get("Marker")
        if marker is None:
            break
    return results


def days_since(at: datetime, now: datetime) -> int:
    """Whole days, never negative."""
    return max(0, (now - at).days)
