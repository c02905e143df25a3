"""What a revocation ends: sessions, sign-ins of people and machines, counted by kind.

Sessions are those in the cache, of every account: what was made from a session is
often in another.
"""

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from broker.model.account import AccountId
from broker.model.page import read_pages
from broker.model.session import SessionKind
from broker.sessions.lineage import LineageDirectory, LineageSnapshot, find_end, trace
from broker.sessions.listing import SessionStatus, list_sessions
from broker.stores.cache.port import Cache, SessionRecord
from broker.stores.directory.accounts import list_accounts
from broker.stores.directory.kinds import INSTANCE
from broker.stores.errors import StoreUnavailableError

if TYPE_CHECKING:
    from broker.compose.installation import Installation

_PAGE = 500
_SIGN_INS = {
    SessionKind.CONSOLE.value: "console sign-in",
    SessionKind.PORTAL.value: "portal sign-in",
}


class EndedByRevocation:
    """Counts what revocations end that are made while this is open."""

    def __init__(self, installation: "Installation") -> None:
        self._stores = installation.stores
        self._live: list[SessionRecord] = []
        self._machines = 0
        self._is_whole = True

    async def look(self) -> None:
        """See what is live before the revocation."""
        directory = self._stores.directory
        for account in await list_accounts(directory):
            live, is_whole = await list_by_status(
                self._stores.cache, directory, account.account_id
            )
            self._live += live
            self._is_whole = self._is_whole and is_whole
        self._machines = await self._count_machines()

    async def describe(self) -> tuple[str, ...]:
        """Lines that say what has ended since."""
        directory = LineageSnapshot(self._stores.directory)
        ended = Counter[str]()
        for record in self._live:
            if await find_end(trace(record), directory):
                ended[_SIGN_INS.get(record.kind, f"{record.kind} session")] += 1
        if machines := self._machines - await self._count_machines():
            ended["machine"] = machines
        lines = [_summary(ended)]
        if not self._is_whole:
            lines.append(
                "The cache is unavailable: sessions have ended that are not counted."
            )
        return tuple(lines)

    async def _count_machines(self) -> int:
        """Of every account: what a session made is often in another."""
        directory = self._stores.directory
        accounts = await list_accounts(directory)
        numbers = [
            await directory.count(INSTANCE, account.account_id) for account in accounts
        ]
        return sum(numbers)


def _summary(ended: Counter[str]) -> str:
    if not ended:
        return "There was nothing to end."
    parts = (
        f"{count} {what}{'' if count == 1 else 's'}"
        for what, count in sorted(ended.items())
    )
    return f"Ended: {', '.join(parts)}."


async def list_by_status(
    cache: Cache,
    directory: LineageDirectory,
    account: AccountId,
    status: SessionStatus = SessionStatus.ACTIVE,
) -> tuple[list[SessionRecord], bool]:
    """List the cache's sessions of a status, and whether the list is complete."""
    records: list[SessionRecord] = []
    try:
        async for items in read_pages(
            partial(list_sessions, cache, directory, account, status=status), _PAGE
        ):
            records += (listed.record for listed in items)
    except StoreUnavailableError:
        return records, False
    return records, True
