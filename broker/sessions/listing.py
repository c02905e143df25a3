"""Lists of an account's sessions: read from the cache, compared with the revocations.

A list may miss a session that the cache lost. A revoked one stays listed until it would
have expired.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.page import Page, PageRequest
from broker.sessions.lineage import (
    LineageDirectory,
    LineageSnapshot,
    find_end,
    trace,
)
from broker.stores.cache.port import Cache, SessionRecord

_PAGE = 100
_READS_MAX = 50
"""Of one list; what follows is read from its marker."""


class SessionStatus(StrEnum):
    """Whether a session that has not expired still opens anything."""

    ACTIVE = "ACTIVE"
    REVOKED = "REVOKED"


class ListedSession(Struct, frozen=True):
    """A session of a list."""

    record: SessionRecord
    status: SessionStatus


async def list_sessions(
    cache: Cache,
    directory: LineageDirectory,
    account: AccountId,
    page: PageRequest,
    *,
    status: str = "",
    accepts: Callable[[SessionRecord], bool] = lambda _record: True,
) -> Page[ListedSession]:
    """At most ``page.limit`` sessions, fewer where much was read that is not accepted.

    Raises:
        InvalidMarkerError: the marker is none of the cache's.
        StoreUnavailableError: the cache is away, or the directory.
    """
    snapshot = LineageSnapshot(directory)
    results: list[ListedSession] = []
    marker = page.marker
    for _ in range(_READS_MAX):
        rest = min(_PAGE, page.limit - len(results))
        read = await cache.list_sessions(account, PageRequest(marker, rest))
        for record in filter(accepts, read.items):
            listed = ListedSession(record, await look_up_status(record, snapshot))
            if not status or listed.status == status:
                results.append(listed)
        marker = read.marker
        if marker is None or len(results) >= page.limit:
            break
        await asyncio.sleep(0)  # thousands take longer than other calls should wait
    return Page(tuple(results), marker)


async def look_up_status(
    record: SessionRecord, directory: LineageDirectory
) -> SessionStatus:
    """What the revocations say of a session.

    Raises:
        StoreUnavailableError: the directory is away.
    """
    ended = await find_end(trace(record), directory)
    return SessionStatus.REVOKED if ended else SessionStatus.ACTIVE
