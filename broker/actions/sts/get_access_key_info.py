"""``GetAccessKeyInfo``: the account that an access key id carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.actions.action import Action, Call
from broker.actions.sts.callers import refuse_user_sessions
from broker.errors import ValidationError
from broker.model.account import find_account_of_key_id
from broker.permit.need import Need

if TYPE_CHECKING:
    from broker.model.types import sts as types


async def _needs(_given: types.GetAccessKeyInfoRequest, call: Call) -> tuple[Need, ...]:
    refuse_user_sessions(call, "GetAccessKeyInfo")
    return (Need(action="sts:GetAccessKeyInfo", resource="*", account=call.account),)


async def _get_access_key_info(
    given: types.GetAccessKeyInfoRequest, _call: Call
) -> types.GetAccessKeyInfoResponse:
    account = find_account_of_key_id(given["AccessKeyId"])
    if account is None:
        raise ValidationError("The specified access key id is invalid.")
    return {"Account": account}


GET_ACCESS_KEY_INFO = Action(
    service="sts",
    name="GetAccessKeyInfo",
    needs=_needs,
    handle=_get_access_key_info,
    audited=("AccessKeyId",),
)
