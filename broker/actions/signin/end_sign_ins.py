"""``ConsoleLogout``, ``EndLogin`` and ``FrontChannelLogout``: end sign-ins for good.

Only what is named ends. ``EndConsoleSessions`` also ends what was derived from it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.sessions.ends import end_for_good


class EndingRequest(TypedDict):
    """The marks of what ends (`broker.sessions.ends`), in the caller's account.

    ``ExpiresAt`` (seconds since 1970) is when the last of it would have ended anyway.
    """

    Marks: Sequence[str]
    ExpiresAt: int


async def _end(given: EndingRequest, call: Call) -> None:
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
        handle=_end,
        writes=True,
        calls=0,
    )
    for name in ("ConsoleLogout", "EndLogin", "FrontChannelLogout")
)
