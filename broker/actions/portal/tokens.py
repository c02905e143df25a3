"""``CreateToken``: a client exchanges a code, a device code or a refresh token.

The door's own proof does the checking; what is left is to spend what was exchanged,
together with the record of it. ``Authorize`` is the consent that a code stands for.

Source: botocore's sso-oidc model.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.model.request import Given
from broker.sessions.issue import commit_once
from broker.sessions.portal import OpenPortal
from broker.sessions.record import describe_session
from broker.sessions.revoke import revoke_session
from broker.stores.ledger.port import Ledger


class TokenRequest(TypedDict):
    """Which client exchanges what kind of grant."""

    ClientName: str
    GrantType: str


def create_token(ledger: Ledger) -> tuple[Action, ...]:
    """The handlers, with what they need."""

    async def spend(_given: TokenRequest, call: Call) -> Mapping[str, Any]:
        await commit_once(ledger, call.record.complete(), call.mark)
        call.record.committed = True
        return {}

    return tuple(
        Action(
            service="sso-oauth",
            name=name,
            needs=needs_nothing,
            handle=handle,
            audited=("SessionName", "ClientName", "GrantType", "Answer", "Address"),
        )
        for name, handle in (("CreateToken", spend), ("Authorize", _agree))
    )


async def _agree(_given: Given, _call: Call) -> Mapping[str, Any]:
    return {}


class PortalLogoutRequest(TypedDict):
    """The sign-in that ends."""

    SignIn: OpenPortal


async def _log_out(given: PortalLogoutRequest, call: Call) -> None:
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
    handle=_log_out,
    writes=True,
    calls=0,
)
