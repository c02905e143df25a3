"""``DecodeAuthorizationMessage``: why a call was refused, for those who may know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.actions.action import Action, Call
from broker.actions.sts.callers import refuse_user_sessions
from broker.permit.need import Need
from broker.sessions.messages import AuthorizationMessages

if TYPE_CHECKING:
    from broker.model.types import sts as types

_NAME = "DecodeAuthorizationMessage"


def decode_authorization_message(messages: AuthorizationMessages) -> Action:
    """The action, given what it works with."""

    async def handle(
        given: types.DecodeAuthorizationMessageRequest, call: Call
    ) -> types.DecodeAuthorizationMessageResponse:
        text = messages.open(call.account, given["EncodedMessage"], call.now)
        return {"DecodedMessage": text}

    return Action(service="sts", name=_NAME, needs=_needs, handle=handle)


async def _needs(
    _given: types.DecodeAuthorizationMessageRequest, call: Call
) -> tuple[Need]:
    refuse_user_sessions(call, _NAME)
    return (Need(action=f"sts:{_NAME}", resource="*", account=call.account),)
