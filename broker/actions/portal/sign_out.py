"""``Logout``: a sign-in to the portal ends, and all that was made from it.

Source: botocore's sso model; AWS CLI Command Reference, "sso logout".
"""

from typing import TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.sessions.portal import OpenPortal
from broker.sessions.record import describe_session
from broker.sessions.revoke import revoke_session


class LogoutRequest(TypedDict):
    """The sign-in that ends."""

    SignIn: OpenPortal


async def _handle(given: LogoutRequest, call: Call) -> None:
    session = given["SignIn"].session
    await revoke_session(
        call.change,
        describe_session(session, call.caller.principal.arn),
        now=call.now,
        reason="signed out of the access portal",
    )


LOGOUT = Action(
    service="sso",
    name="Logout",
    needs=needs_nothing,
    handle=_handle,
    writes=True,
    calls=0,
)
