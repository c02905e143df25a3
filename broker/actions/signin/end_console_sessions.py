"""``EndConsoleSessions``: an identity provider told of a logout; its sessions end.

What was made from them ends with them, as with every session that is revoked.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.sessions.revoke import revoke_session


class EndingSession(TypedDict):
    """A session; its expiry in seconds since 1970."""

    AccessKeyId: str
    ExpiresAt: int


class EndConsoleSessionsRequest(TypedDict):
    """The sessions that the logout is about."""

    Sessions: Sequence[EndingSession]


async def _end(given: EndConsoleSessionsRequest, call: Call) -> Mapping[str, Any]:
    for session in given["Sessions"]:
        await revoke_session(
            call.change,
            account=call.account,
            access_key_id=session["AccessKeyId"],
            now=call.now,
            expires_at=session["ExpiresAt"],
            reason=f"logout at {call.caller.principal.arn}",
        )
    return {}


END_CONSOLE_SESSIONS = Action(
    service="signin",
    name="EndConsoleSessions",
    needs=needs_nothing,
    handle=_end,
    writes=True,
    audited=("Sessions",),
)
