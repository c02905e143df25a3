"""``GetDelegatedAccessToken``: always refused; the broker issues no trade-in tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from broker.actions.action import Action, Call
from broker.actions.sts.callers import refuse_user_sessions
from broker.errors import ExpiredTradeInToken
from broker.permit.need import Need

if TYPE_CHECKING:
    from broker.model.types import sts as types

_NAME = "GetDelegatedAccessToken"


async def _needs(
    _given: types.GetDelegatedAccessTokenRequest, call: Call
) -> tuple[Need]:
    refuse_user_sessions(call, _NAME)
    return (Need(action=f"sts:{_NAME}", resource="*", account=call.account),)


async def _refuse(
    _given: types.GetDelegatedAccessTokenRequest, _call: Call
) -> NoReturn:
    """Delegation requests are for AWS partners, so every token is an unknown one."""
    raise ExpiredTradeInToken(
        "The trade-in token provided in the request has expired and can no longer be"
        " exchanged for credentials. Request a new token and retry the operation."
    )


GET_DELEGATED_ACCESS_TOKEN = Action(
    service="sts", name=_NAME, needs=_needs, handle=_refuse
)
