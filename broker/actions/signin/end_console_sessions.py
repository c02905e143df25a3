"""``EndConsoleSessions``: an identity provider told of a logout; its sessions end.

What was made from them ends with them, as far as the cache knows it: a switched role,
credentials, links.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.signin.live_sessions import LiveSessions, made_from
from broker.sessions.revoke import revoke_session

_MOST = 500
"""Sessions that one logout ends by name; each takes along what it made itself."""


class EndingSession(TypedDict):
    """A session; its expiry in seconds since 1970."""

    AccessKeyId: str
    ExpiresAt: int


class EndConsoleSessionsRequest(TypedDict):
    """The sessions that the logout is about."""

    Sessions: Sequence[EndingSession]


class EndConsoleSessions:
    """The handler, with what it needs."""

    def __init__(self, live: LiveSessions) -> None:
        self._live = live

    def action(self) -> Action:
        """The declaration."""
        return Action(
            service="signin",
            name="EndConsoleSessions",
            needs=needs_nothing,
            handle=_end,
            prepare=self._find,
            writes=True,
            audited=("Sessions",),
        )

    async def _find(self, given: EndConsoleSessionsRequest, call: Call) -> None:
        """Until when each lasts that is to end: those named, and what they made.

        A session names the one that it was made from, not whose that was in turn.
        """
        ends = {one["AccessKeyId"]: one["ExpiresAt"] for one in given["Sessions"]}
        for record in made_from(ends.keys(), await self._live.of_account(call)):
            if len(ends) == _MOST:
                break
            ends.setdefault(record.access_key_id, record.expires_at)
        call.prepared = ends


async def _end(_given: EndConsoleSessionsRequest, call: Call) -> Mapping[str, Any]:
    ends = call.prepared
    if not isinstance(ends, dict):
        raise TypeError("nothing was prepared")
    for access_key_id, expires_at in ends.items():
        await revoke_session(
            call.change,
            account=call.account,
            access_key_id=access_key_id,
            now=call.now,
            expires_at=expires_at,
            reason=f"logout at {call.caller.principal.arn}",
        )
    return {}
