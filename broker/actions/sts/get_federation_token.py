"""``GetFederationToken``: a user lends a part of their permissions to a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from broker.actions.action import Action, Call
from broker.actions.sts.callers import refuse_sessions
from broker.actions.sts.session_policies import read_session_policies
from broker.actions.sts.user_mint import UserMinter, UserRequest
from broker.model.arn import sts_arn
from broker.model.session import SessionKind
from broker.permit.context import tag_context
from broker.permit.need import Need
from broker.sessions.tags import SessionTags, require_session_tags

if TYPE_CHECKING:
    from broker.model.types import sts as types

_NAME = "GetFederationToken"


def get_federation_token(minter: UserMinter) -> Action:
    """The action, given what it works with."""

    async def needs(
        given: types.GetFederationTokenRequest, call: Call
    ) -> tuple[Need, ...]:
        refuse_sessions(call, _NAME)
        tags = _tags(given)
        context = {**tag_context("aws:requesttag", tags.tags)}
        if tags.tags:
            context["aws:tagkeys"] = tuple(tags.tags)
        if "DurationSeconds" in given:
            context["sts:durationseconds"] = (str(given["DurationSeconds"]),)
        actions = [f"sts:{_NAME}"]
        if tags.tags:
            actions.append("sts:TagSession")
        return tuple(
            Need(
                action=action,
                resource=_arn(given, call),
                account=call.account,
                context=context,
            )
            for action in actions
        )

    async def handle(
        given: types.GetFederationTokenRequest, call: Call
    ) -> Mapping[str, Any]:
        policies = await read_session_policies(given, call.account, call.directory)
        tags = _tags(given)
        minted, answer = await minter.mint(
            given,
            call,
            UserRequest(
                kind=SessionKind.FEDERATION_TOKEN,
                name=given["Name"],
                principal_arn=_arn(given, call),
                policies=policies,
                tags=tags,
            ),
        )
        answer["FederatedUser"] = {
            "FederatedUserId": f"{call.account}:{given['Name']}",
            "Arn": _arn(given, call),
        }
        # Recorded: here it is there without policies and tags, too.
        answer["PackedPolicySize"] = minted.packed_policy_size
        return answer

    return Action(
        service="sts",
        name=_NAME,
        needs=needs,
        handle=handle,
        audited=("Name", "DurationSeconds", "PolicyArns", "Tags"),
    )


def _arn(given: types.GetFederationTokenRequest, call: Call) -> str:
    return sts_arn(call.account, f"federated-user/{given['Name']}")


def _tags(given: types.GetFederationTokenRequest) -> SessionTags:
    return require_session_tags(
        [(tag["Key"], tag["Value"]) for tag in given.get("Tags", ())]
    )
