"""Sign-ins end for good, and console sessions with all that was derived from them.

``ConsoleLogout``, ``EndLogin`` and ``FrontChannelLogout`` end only what is named;
``EndConsoleSessions`` also what came from it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.sessions.ends import end_for_good, refuse_earlier
from broker.sessions.revoke import revoke_key_id, revoke_session
from broker.stores.cache.port import Cache, SessionRecord

_SIGN_IN_MAX = timedelta(minutes=30)
"""Longer than a proof takes from its issue to opening a console session."""


class EndMark(TypedDict):
    """Refuses sign-ins still under way; ``Until`` is in seconds since 1970."""

    Mark: str
    Until: float


class EndConsoleSessionsRequest(TypedDict):
    """The sessions that a logout ends, and a mark for those still being opened."""

    AccessKeyIds: Sequence[str]
    EndMarks: Sequence[EndMark]


def end_console_sessions(cache: Cache) -> Action:
    """The action, given what it works with."""

    # The cache may share the database's single writer, so it is read before the
    # transaction begins.
    async def find(
        given: EndConsoleSessionsRequest, _call: Call
    ) -> dict[str, SessionRecord | None]:
        return {key: await cache.find_session(key) for key in given["AccessKeyIds"]}

    return Action(
        service="signin",
        name="EndConsoleSessions",
        needs=needs_nothing,
        handle=_end,
        prepare=find,
        writes=True,
        audited=("AccessKeyIds",),
        calls=0,
    )


async def _end(given: EndConsoleSessionsRequest, call: Call) -> None:
    for mark in given["EndMarks"]:
        await refuse_earlier(
            call.change,
            call.account,
            mark["Mark"],
            upto=mark["Until"],
            until=call.now + _SIGN_IN_MAX,
        )
    found = call.prepared
    if not isinstance(found, dict):
        raise TypeError("nothing was prepared")
    reason = f"logout at {call.caller.principal.arn}"
    for access_key_id, record in found.items():
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


async def _end_for_good(given: EndingRequest, call: Call) -> None:
    await end_for_good(
        call.change,
        call.account,
        given["Marks"],
        until=datetime.fromtimestamp(given["ExpiresAt"], UTC),
        reason=f"ended by {call.caller.principal.arn}",
    )


END_SIGN_INS = tuple(
    Action(
        service="signin",
        name=name,
        needs=needs_nothing,
        handle=_end_for_good,
        writes=True,
        calls=0,
    )
    for name in ("ConsoleLogout", "EndLogin", "FrontChannelLogout")
)
