"""``GetAccessKeyInfo``: the account that an access key id carries."""

from broker.actions.action import Action, Call
from broker.actions.sts.callers import refuse_user_sessions
from broker.actions.types.sts import GetAccessKeyInfoRequest, GetAccessKeyInfoResponse
from broker.authz.need import Need
from broker.errors import ValidationError
from broker.model.account import find_account_of_key_id


async def _needs(_given: GetAccessKeyInfoRequest, call: Call) -> tuple[Need, ...]:
    refuse_user_sessions(call, "GetAccessKeyInfo")
    return (Need(action="sts:GetAccessKeyInfo", resource="*", account=call.account),)


async def _get_access_key_info(
    given: GetAccessKeyInfoRequest, _call: Call
) -> GetAccessKeyInfoResponse:
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
