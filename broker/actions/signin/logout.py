"""Logouts end sign-ins for good, and console sessions with all that was derived from them.

``ConsoleLogout`` and ``FrontChannelLogout`` end only what is named;
``EndConsoleSessions`` also what came from it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypedDict

from broker.actions.action import Action, Call, console_action, needs_nothing
from broker.model.revocation import REVOCATION_LIFE
from broker.sessions.ends import end_for_good, refuse_earlier
from broker.sessions.revoke import (
    revoke_key_id,
    revoke_session,
)
from broker.stores.cache.port import Cache, SessionRecord


class EndMark(TypedDict):
    """Ends what was issued before; ``Until`` is in seconds since 1970."""

    Mark: str
    Until: float


class EndConsoleSessionsRequest(TypedDict):
    """The sessions that a logout ends, and marks for all else that its proofs open."""

    AccessKeyIds: Sequence[str]
    EndMarks: Sequence[EndMark]


def end_console_sessions(cache: Cache) -> Action:
    """The action, given what it works with."""

    # The cache may share the database's single writer, so it is read before the
    # transaction begins.
    async def find(
        params: EndConsoleSessionsRequest, _call: Call
    ) -> dict[str, SessionRecord | None]:
        return {key: await cache.find_session(key) for key in params["AccessKeyIds"]}

    return console_action(
        "EndConsoleSessions",
        needs_nothing,
        _end,
        "AccessKeyIds",
        prepare=find,
        writes=True,
        calls=0,
    )


async def _end(params: EndConsoleSessionsRequest, call: Call) -> None:
    for mark in params["EndMarks"]:
        await refuse_earlier(
            call.change,
            call.account,
            mark["Mark"],
            upto=mark["Until"],
            until=call.now + REVOCATION_LIFE,
        )
    prepared = call.prepared
    if not isinstance(prepared, dict):
        raise TypeError("nothing was prepared")
    reason = f"logout at {call.caller.principal.arn}"
    for access_key_id, record in prepared.items():
        if isinstance(record, SessionRecord) and record.account == call.account:
            await revoke_session(call.change, record, now=call.now, reason=reason)
        else:
            await revoke_key_id(
                call.change,
                account=call.account,
                access_key_id=access_key_id,
                now=call.now,
                reason=reason,
            )


class EndingRequest(TypedDict):
    """The marks of what ends (`broker.sessions.ends`), in the caller's account.

    ``ExpiresAt`` (seconds since 1970) is when the last of it would have ended anyway.
    """

    Marks: Sequence[str]
    ExpiresAt: int


async def _end_for_good(params: EndingRequest, call: Call) -> None:
    await end_for_good(
        call.change,
        call.account,
        params["Marks"],
        # What came from it may last longer: a machine's credentials, or a role's.
        until=max(
            datetime.fromtimestamp(params["ExpiresAt"], UTC), call.now + REVOCATION_LIFE
        ),
        reason=f"ended by {call.caller.principal.arn}",
    )


END_SIGN_INS = tuple(
    console_action(name, needs_nothing, _end_for_good, writes=True, calls=0)
    for name in ("ConsoleLogout", "FrontChannelLogout")
)
