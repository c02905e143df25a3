"""Reading for a page: whole short lists, and what one may see of a larger whole."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.console.admin.visit import Visit, words
from broker.errors import AccessDenied, NoSuchEntity

_START = re.compile(r"[0-9]{1,6}", re.ASCII)
_PAGES_MAX = 20
_PAGE = 1000
OLD_DAYS = 90
"""An access key that is older should be replaced."""


class PageReader:
    """Reads a page's parts; a part that is refused is missing, and it is said why."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self.refused: list[str] = []

    async def iam(self, action: str, **given: object) -> Mapping[str, Any] | None:
        """The answer; None when it is refused or there is none.

        Raises:
            BrokerError: anything else than that.
        """
        try:
            return await self._visit.iam(action, **given)
        except AccessDenied as error:
            self.refused.append(words(error))
        except NoSuchEntity:
            pass
        return None

    async def list_all(self, action: str, member: str, **given: object) -> list[Any]:
        """A short list as a whole; empty when it is refused.

        Raises:
            BrokerError: anything else than that.
        """
        try:
            return await list_all(self._visit, action, member, **given)
        except AccessDenied as error:
            self.refused.append(words(error))
            return []


async def list_all(
    visit: Visit, action: str, member: str, **given: object
) -> list[Any]:
    """A list as a whole, page by page, within bounds.

    Raises:
        BrokerError: it cannot be read.
    """
    found: list[Any] = []
    marker: str | None = None
    for _ in range(_PAGES_MAX):
        answer = await visit.iam(action, **given, MaxItems=_PAGE, Marker=marker)
        found += answer[member]
        marker = answer.get("Marker")
        if marker is None:
            break
    return found


def days_since(at: datetime, now: datetime) -> int:
    """Whole days."""
    return max(0, (now - at).days)


def read_start(text: str) -> int:
    """How far into a list a page begins; 0 for what is no such number."""
    return int(text) if _START.fullmatch(text) else 0


def tag_lines(tags: list[dict[str, str]]) -> str:
    """Tags as they are typed."""
    return "\n".join(f"{tag['Key']}={tag['Value']}" for tag in tags)
