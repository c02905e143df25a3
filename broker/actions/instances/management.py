"""Join tokens, and machines as administrators and autoscalers see them.

Handing a role to a machine needs ``iam:PassRole``, as at EC2.

Source: EC2's ``AssociateIamInstanceProfile``; IAM User Guide, "Grant a user permissions
to pass a role to an AWS service".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from broker.actions.action import Call
from broker.actions.decisions.declare import (
    Further,
    change,
    create_token,
    everything,
    read,
)
from broker.actions.iam.paging import page_request, truncation
from broker.kinds import instances as rules
from broker.kinds.bearer_tokens import JOIN_TOKENS, Owner, owning_profile, view
from broker.kinds.instances import require_instance_profile
from broker.model.arn import iam_arn
from broker.model.lineage import lineage_row
from broker.model.machines import Instance, InstanceProfile, instance_arn
from broker.model.principal import EC2
from broker.model.registered import JoinToken
from broker.model.request import Params
from broker.permit.context import tag_context
from broker.permit.need import Need
from broker.sessions.lineage import lineage_of_token
from broker.sessions.revoke import revoke_for_good
from broker.stores.directory.kinds import INSTANCE, INSTANCE_PROFILE, JOIN_TOKEN, ROLE
from broker.stores.directory.reports import list_uses

if TYPE_CHECKING:
    from broker.model.types import broker as types


async def _create_token(
    params: types.CreateJoinTokenRequest, call: Call
) -> Mapping[str, Any]:
    profile = await require_instance_profile(
        call.change, call.account, params["InstanceProfileName"]
    )
    owner = owning_profile(
        profile,
        created_by=call.caller.principal.arn,
        lineage=tuple(lineage_row(lineage_of_token(call.caller))),
    )
    token, answer = await create_token(JOIN_TOKENS, params, call, owner)
    call.record.add_resource(token.arn)
    return {**answer, "JoinToken": _token_view(token, profile)}


async def _list_tokens(
    params: types.ListJoinTokensRequest, call: Call
) -> Mapping[str, Any]:
    page = await call.directory.page_of(JOIN_TOKEN, call.account, page_request(params))
    profiles = await _profiles(call, [token.owner_id for token in page.items])
    return {
        "JoinTokens": [
            _token_view(token, profiles.get(token.owner_id)) for token in page.items
        ],
        **truncation(page),
    }


async def _delete_token(params: types.DeleteJoinTokenRequest, call: Call) -> None:
    owner = Owner(call.account)
    await JOIN_TOKENS.delete(call.change, owner, params["TokenId"])


async def _list(
    params: types.ListInstancesRequest, call: Call
) -> types.ListInstancesResponse:
    where = {}
    if "InstanceProfileName" in params:
        profile = await require_instance_profile(
            call.directory, call.account, params["InstanceProfileName"]
        )
        where["profile_id"] = profile.profile_id
    page = await call.directory.page_of(
        INSTANCE, call.account, page_request(params), **where
    )
    answer: types.ListInstancesResponse = {
        "Instances": await _views(page.items, call),
        **truncation(page),
    }
    return answer


async def _get(
    params: types.GetInstanceRequest, call: Call
) -> types.GetInstanceResponse:
    return {"Instance": await _view(await _require(params, call), call)}


async def _associate(
    params: types.AssociateInstanceProfileRequest, call: Call
) -> types.AssociateInstanceProfileResponse:
    profile = await require_instance_profile(
        call.change, call.account, params["InstanceProfileName"]
    )
    after = await rules.associate_profile(
        call.change, await _require(params, call), profile
    )
    return {"Instance": await _view(after, call)}


async def _disassociate(
    params: types.DisassociateInstanceProfileRequest, call: Call
) -> types.DisassociateInstanceProfileResponse:
    after = await rules.associate_profile(
        call.change, await _require(params, call), None
    )
    return {"Instance": await _view(after, call)}


async def _end(params: types.EndInstanceRequest, call: Call) -> None:
    instance = await _require(params, call)
    await call.change.remove(INSTANCE, instance)
    await revoke_for_good(
        call.change,
        account=call.account,
        target=instance.instance_id,
        now=call.now,
        reason="the instance was ended",
    )


async def _require(params: Params, call: Call) -> Instance:
    return await rules.require_instance(
        call.directory, call.account, params["InstanceId"]
    )


async def _profiles(
    call: Call, profile_ids: Sequence[str | None]
) -> dict[str, InstanceProfile]:
    results = {}
    for profile_id in dict.fromkeys(filter(None, profile_ids)):
        profile = await call.directory.find(INSTANCE_PROFILE, call.account, profile_id)
        if profile is not None:
            results[profile_id] = profile
    return results


async def _views(instances: Sequence[Instance], call: Call) -> list[types.Instance]:
    profiles = await _profiles(call, [entry.profile_id for entry in instances])
    uses = await list_uses(
        call.directory, call.account, [entry.instance_id for entry in instances]
    )
    used = {use.subject: use.at for use in reversed(uses)}
    views: list[types.Instance] = []
    for instance in instances:
        view: types.Instance = {
            "InstanceId": instance.instance_id,
            "Arn": instance.arn,
            "RegisterDate": instance.registered_at,
            "RegisteredBy": instance.registered_by,
        }
        profile = profiles.get(instance.profile_id or "")
        if profile is not None:
            view["InstanceProfileArn"] = profile.arn
            view["InstanceProfileId"] = profile.profile_id
        if instance.instance_id in used:
            view["LastUsedDate"] = used[instance.instance_id]
        views.append(view)
    return views


async def _view(instance: Instance, call: Call) -> types.Instance:
    (view,) = await _views([instance], call)
    return view


def _token_view(token: JoinToken, profile: InstanceProfile | None) -> dict[str, Any]:
    details = {
        **view(token),
        "Arn": token.arn,
        "InstanceProfileId": token.owner_id,
        "CreatedBy": token.created_by,
    }
    if profile is not None:
        details["InstanceProfileArn"] = profile.arn
    if token.instance_id:
        details["InstanceId"] = token.instance_id
    return details


def _on_token(params: Params, call: Call) -> str:
    return f"arn:aws:broker::{call.account}:join-token/{params['TokenId']}"


async def _on_instance(params: Params, call: Call) -> Further:
    instance_id = params["InstanceId"]
    instance = await call.directory.find(INSTANCE, call.account, instance_id)
    return (
        instance.arn
        if instance
        else instance_arn(call.account, call.region, instance_id),
    )


async def _on_profile(params: Params, call: Call) -> Further:
    name = params["InstanceProfileName"]
    profile = await call.directory.named(INSTANCE_PROFILE, call.account, name)
    if profile is None:
        return (iam_arn(call.account, f"instance-profile/{name}"),)
    return (profile.arn, *await _passed(profile, call))


async def _on_instance_and_profile(params: Params, call: Call) -> Further:
    instance, *_ = await _on_instance(params, call)
    _, *passed = await _on_profile(params, call)
    return (instance, *passed)


async def _passed(profile: InstanceProfile, call: Call) -> tuple[Need, ...]:
    """The permission to hand the profile's role to a machine."""
    if profile.role_id is None:
        return ()  # putting one in needs the permission
    role = await call.directory.find(ROLE, call.account, profile.role_id)
    if role is None:
        return ()
    return (
        Need(
            action="iam:PassRole",
            resource=role.arn,
            account=call.account,
            context={
                **tag_context("aws:resourcetag", role.tags),
                **tag_context("iam:resourcetag", role.tags),
                "iam:passedtoservice": (EC2,),
            },
        ),
    )


INSTANCE_MANAGEMENT = (
    change("CreateJoinToken", _create_token, _on_profile),
    read("ListJoinTokens", _list_tokens, everything),
    change("DeleteJoinToken", _delete_token, _on_token, calls=0),
    read("ListInstances", _list, everything),
    read("GetInstance", _get, _on_instance),
    change("AssociateInstanceProfile", _associate, _on_instance_and_profile),
    change("DisassociateInstanceProfile", _disassociate, _on_instance),
    change("EndInstance", _end, _on_instance, calls=0),
)
