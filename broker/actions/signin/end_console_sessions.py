"""``EndConsoleSessions``: ends a provider's sessions after its logout message.

What was derived from them ends with them: switched roles, credentials, links.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.sessions.ends import refuse_earlier
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
