"""``GetCallerIdentity``: no permission is needed, and no Deny has an effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.actions.action import Action, Call, needs_nothing
from broker.model.request import Given

if TYPE_CHECKING:
    from broker.model.types import sts as types


async def _get_caller_identity(
    _given: Given, call: Call
) -> types.GetCallerIdentityResponse:
    principal = call.caller.principal
    return {
        "UserId": principal.userid,
        "Account": principal.account,
        "Arn": principal.arn,
    }


GET_CALLER_IDENTITY = Action(
    service="sts",
    name="GetCallerIdentity",
    needs=needs_nothing,
    handle=_get_caller_identity,
)
