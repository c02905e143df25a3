"""Which kinds of credentials may call what; and what they may ask about themselves.

Source: IAM User Guide, id_credentials_sts-comparison; recorded STS answers (REC-A).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from broker.actions.action import Action, Call, Needs, needs_nothing
from broker.errors import AccessDenied, ExpiredTradeInToken, ValidationError
from broker.model.account import find_account_of_key_id
from broker.model.request import Params
from broker.model.session import SessionKind
from broker.permit.need import Need
from broker.sessions.messages import AuthorizationMessages

if TYPE_CHECKING:
    from broker.model.types import sts as types


_CALLS_LITTLE = frozenset({SessionKind.FEDERATION_TOKEN, SessionKind.SESSION_TOKEN})


def refuse_sessions(call: Call, operation: str) -> None:
    """Refuse every temporary credential.

    Raises:
        AccessDenied: in AWS's words.
    """
    if call.caller.session is not None:
        raise AccessDenied(
            f"Cannot call {operation} with session credentials",
            detail="only long-term keys may call it",
        )


def refuse_user_sessions(call: Call, operation: str) -> None:
    """Refuse the credentials of ``GetSessionToken`` and ``GetFederationToken``.

    Raises:
        AccessDenied: it is one of the two.
    """
    session = call.caller.session
    if session is not None and session.kind in _CALLS_LITTLE:
        raise AccessDenied(
            f"Cannot call {operation} with {session.kind} credentials",
            detail="these sessions call little of STS",
        )


def _needed(operation: str) -> Needs:
    """The permission to call one of these, and none for user sessions."""

    async def needs(_given: Params, call: Call) -> tuple[Need, ...]:
        refuse_user_sessions(call, operation)
        need = Need(action=f"sts:{operation}", resource="*", account=call.account)
        return (need,)

    return needs


async def _get_caller_identity(
    _given: Params, call: Call
) -> types.GetCallerIdentityResponse:
    principal = call.caller.principal
    return {
        "UserId": principal.userid,
        "Account": principal.account,
        "Arn": principal.arn,
    }


async def _get_access_key_info(
    params: types.GetAccessKeyInfoRequest, _call: Call
) -> types.GetAccessKeyInfoResponse:
    account = find_account_of_key_id(params["AccessKeyId"])
    if account is None:
        raise ValidationError("The specified access key id is invalid.")
    return {"Account": account}


async def _refuse_trade_in(
    _given: types.GetDelegatedAccessTokenRequest, _call: Call
) -> NoReturn:
    """Delegation requests are for AWS partners, so every token is an unknown one."""
    raise ExpiredTradeInToken(
        "The trade-in token provided in the request has expired and can no longer be"
        " exchanged for credentials. Request a new token and retry the operation."
    )


def caller_actions(messages: AuthorizationMessages) -> tuple[Action, ...]:
    """What callers may ask; ``messages`` opens those that say why a call was refused."""

    async def decode(
        params: types.DecodeAuthorizationMessageRequest, call: Call
    ) -> types.DecodeAuthorizationMessageResponse:
        text = messages.open(call.account, params["EncodedMessage"], call.now)
        return {"DecodedMessage": text}

    decoding, info = "DecodeAuthorizationMessage", "GetAccessKeyInfo"
    trading = "GetDelegatedAccessToken"
    return (
        # No permission is needed, and no Deny has an effect.
        Action(
            service="sts",
            name="GetCallerIdentity",
            needs=needs_nothing,
            handle=_get_caller_identity,
        ),
        Action(
            service="sts",
            name=info,
            needs=_needed(info),
            handle=_get_access_key_info,
            audited=("AccessKeyId",),
        ),
        Action(service="sts", name=decoding, needs=_needed(decoding), handle=decode),
        Action(
            service="sts", name=trading, needs=_needed(trading), handle=_refuse_trade_in
        ),
    )
