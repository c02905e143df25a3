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
from broker.model.request import Given
from broker.model.tokens import JoinToken
from broker.permit.context import tag_context
from broker.permit.need import Need
from broker.sessions.lineage import lineage_of_token
from broker.sessions.revoke import revoke_for_good
from broker.stores.directory.kinds import INSTANCE, INSTANCE_PROFILE, JOIN_TOKEN, ROLE
from broker.stores.directory.reports import list_uses

if TYPE_CHECKING:
    from broker.model.types import broker as types


async def _create_token(
    given: types.CreateJoinTokenRequest, call: Call
) -> Mapping[str, Any]:
    profile = await require_instance_profile(
        call.change, call.account, given["InstanceProfileName"]
    )
    owner = owning_profile(
        profile,
        created_by=call.caller.principal.arn,
        lineage=tuple(lineage_row(lineage_of_token(call.caller))),
    )
    token, answer = await create_token(JOIN_TOKENS, given, call, owner)
    call.record.add_resource(token.arn)
    return {**answer, "JoinToken": _token_view(token, profile)}


async def _list_tokens(
    given: types.ListJoinTokensRequest, call: Call
) -> Mapping[str, Any]:
    page = await call.directory.page_of(JOIN_TOKEN, call.account, page_request(given))
    profiles = await _profiles(call, [one.owner_id for one in page.items])
    return {
        "JoinTokens": [
            _token_view(one, profiles.get(one.owner_id)) for one in page.items
        ],
        **truncation(page),
    }


async def _delete_token(given: types.DeleteJoinTokenRequest, call: Call) -> None:
    owner = Owner(call.account)
    await JOIN_TOKENS.delete(call.change, owner, given["TokenId"])


async def _list(
    given: types.ListInstancesRequest, call: Call
) -> types.ListInstancesResponse:
    where = {}
    if "InstanceProfileName" in given:
        profile = await require_instance_profile(
            call.directory, call.account, given["InstanceProfileName"]
        )
        where["profile_id"] = profile.profile_id
    page = await call.directory.page_of(
        INSTANCE, call.account, page_request(given), **where
    )
    answer: types.ListInstancesResponse = {
        "Instances": await _views(page.items, call),
        **truncation(page),
    }
    return answer


async def _get(
    given: types.GetInstanceRequest, call: Call
) -> types.GetInstanceResponse:
    return {"Instance": await _view(await _require(given, call), call)}


async def _associate(
    given: types.AssociateInstanceProfileRequest, call: Call
) -> types.AssociateInstanceProfileResponse:
    profile = await require_instance_profile(
        call.change, call.account, given["InstanceProfileName"]
    )
    after = await rules.associate_profile(
        call.change, await _require(given, call), profile
    )
    return {"Instance": await _view(after, call)}


async def _disassociate(
    given: types.DisassociateInstanceProfileRequest, call: Call
) -> types.DisassociateInstanceProfileResponse:
    after = await rules.associate_profile(
        call.change, await _require(given, call), None
    )
    return {"Instance": await _view(after, call)}


async def _end(given: types.EndInstanceRequest, call: Call) -> None:
    instance = await _require(given, call)
    await call.change.remove(INSTANCE, instance)
    await revoke_for_good(
        call.change,
        account=call.account,
        target=instance.instance_id,
        now=call.now,
        reason="the instance was ended",
    )


async def _require(given: Given, call: Call) -> Instance:
    return await rules.require_instance(
        call.directory, call.account, given["InstanceId"]
    )


async def _profiles(
    call: Call, profile_ids: Sequence[str | None]
) -> dict[str, InstanceProfile]:
    found = {}
    for profile_id in dict.fromkeys(filter(None, profile_ids)):
        profile = await call.directory.find(INSTANCE_PROFILE, call.account, profile_id)
        if profile is not None:
            found[profile_id] = profile
    return found


async def _views(found: Sequence[Instance], call: Call) -> list[types.Instance]:
    profiles = await _profiles(call, [one.profile_id for one in found])
    uses = await list_uses(
        call.directory, call.account, [one.instance_id for one in found]
    )
    used = {use.subject: use.at for use in reversed(uses)}
    views: list[types.Instance] = []
    for one in found:
        view: types.Instance = {
            "InstanceId": one.instance_id,
            "Arn": one.arn,
            "RegisterDate": one.registered_at,
            "RegisteredBy": one.registered_by,
        }
        profile = profiles.get(one.profile_id or "")
        if profile is not None:
            view["InstanceProfileArn"] = profile.arn
            view["InstanceProfileId"] = profile.profile_id
        if one.instance_id in used:
            view["LastUsedDate"] = used[one.instance_id]
        views.append(view)
    return views


async def _view(instance: Instance, call: Call) -> types.Instance:
    (view,) = await _views([instance], call)
    return view


def _token_view(token: JoinToken, profile: InstanceProfile | None) -> dict[str, Any]:
    shown = {
        **view(token),
        "Arn": token.arn,
        "InstanceProfileId": token.owner_id,
        "CreatedBy": token.created_by,
    }
    if profile is not None:
        shown["InstanceProfileArn"] = profile.arn
    if token.instance_id:
        shown["InstanceId"] = token.instance_id
    return shown


def _on_token(given: Given, call: Call) -> str:
    return f"arn:aws:broker::{call.account}:join-token/{given['TokenId']}"


async def _on_instance(given: Given, call: Call) -> Further:
    instance_id = given["InstanceId"]
    found = await call.directory.find(INSTANCE, call.account, instance_id)
    return (
        found.arn if found else instance_arn(call.account, call.region, instance_id),
    )


async def _on_profile(given: Given, call: Call) -> Further:
    name = given["InstanceProfileName"]
    profile = await call.directory.named(INSTANCE_PROFILE, call.account, name)
    if profile is None:
        return (iam_arn(call.account, f"instance-profile/{name}"),)
    return (profile.arn, *await _passed(profile, call))


async def _on_instance_and_profile(given: Given, call: Call) -> Further:
    instance, *_ = await _on_instance(given, call)
    _, *passed = await _on_profile(given, call)
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
