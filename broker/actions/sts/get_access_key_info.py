"""``GetAccessKeyInfo``: the account that an access key id carries."""

from broker.actions.action import Action, Call
from broker.actions.types.sts import GetAccessKeyInfoRequest, GetAccessKeyInfoResponse
from broker.authz.need import Need
from broker.errors import AccessDenied, ValidationError
from broker.model.account import find_account_of_key_id
from broker.model.session import SessionKind


async def _needs(_given: GetAccessKeyInfoRequest, call: Call) -> tuple[Need, ...]:
    session = call.caller.session
    if session is not None and session.kind in _REFUSED:
        raise AccessDenied(
            f"Cannot call GetAccessKeyInfo with {session.kind} credentials",
            detail="reference 9.1: these sessions may call GetCallerIdentity only",
        )
    return (Need(action="sts:GetAccessKeyInfo", resource="*", account=call.account),)


async def _get_access_key_info(
    given: GetAccessKeyInfoRequest, _call: Call
) -> GetAccessKeyInfoResponse:
    account = find_account_of_key_id(given["AccessKeyId"])
    if account is None:
        raise ValidationError("The specified access key id is invalid.")
    return {"Account": account}


_REFUSED = frozenset({SessionKind.FEDERATION_TOKEN, SessionKind.SESSION_TOKEN})

GET_ACCESS_KEY_INFO = Action(
    service="sts",
    name="GetAccessKeyInfo",
    needs=_needs,
    handle=_get_access_key_info,
    audited=("AccessKeyId",),
)
