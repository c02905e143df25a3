"""``GetSessionToken``: a user's own session, with or without a second factor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from broker.actions.action import Action, Call
from broker.actions.sts.callers import refuse_sessions
from broker.actions.sts.user_mint import UserMinter, UserRequest
from broker.model.session import SessionKind
from broker.permit.need import Need
from broker.proofs.mfa import MfaVerifier

if TYPE_CHECKING:
    from broker.model.types import sts as types

_NAME = "GetSessionToken"


def get_session_token(minter: UserMinter, mfa: MfaVerifier) -> Action:
    """The action, given what it works with."""

    async def needs(
        _given: types.GetSessionTokenRequest, call: Call
    ) -> tuple[Need, ...]:
        """No permission is needed, and no policy can refuse it."""
        refuse_sessions(call, _NAME)
        return ()

    async def handle(
        given: types.GetSessionTokenRequest, call: Call
    ) -> Mapping[str, Any]:
        mfa_at = await mfa.verify(
            call.caller, given.get("SerialNumber"), given.get("TokenCode"), call.now
        )
        _, answer = await minter.mint(
            given,
            call,
            UserRequest(
                kind=SessionKind.SESSION_TOKEN,
                name="",
                principal_arn=call.caller.principal.arn,
                mfa_at=mfa_at,
            ),
        )
        return answer

    return Action(
        service="sts",
        name=_NAME,
        needs=needs,
        handle=handle,
        audited=("DurationSeconds", "SerialNumber"),
    )
