"""Roles, those of services, and the instance profiles that hold one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import ActionTarget, Context, Target, change, read
from broker.actions.iam.plain import Answer, Plain
from broker.actions.iam.views import role_last_used
from broker.kinds import instances, roles, service_linked_roles
from broker.kinds.accounts import require_account
from broker.kinds.documents import shown_trust_policies
from broker.kinds.roles import require_role
from broker.kinds.rules import create
from broker.kinds.service_linked_roles import require_modifiable
from broker.kinds.tags import KeyCase
from broker.model.arn import iam_arn
from broker.model.entities import Role
from broker.model.machines import SERVICE_ROLE_PATH, DeletionTask, InstanceProfile
from broker.model.request import Params
from broker.permit.need import Need
from broker.stores.directory.kinds import ROLE

if TYPE_CHECKING:
    from broker.model.types import iam as types


_PROTECTED = frozenset(
    {
        "AddRoleToInstanceProfile",
        "AttachRolePolicy",
        "DeleteRole",
        "DeleteRolePermissionsBoundary",
        "DeleteRolePolicy",
        "DetachRolePolicy",
        "PutRolePermissionsBoundary",
        "PutRolePolicy",
        "RemoveRoleFromInstanceProfile",
        "UpdateAssumeRolePolicy",
        "UpdateRole",
    }
)
"""Operations whose model has ``UnmodifiableEntity``; descriptions may be changed.

Source: IAM User Guide, "Update a service-linked role".
"""

_UNKNOWN_SERVICE = service_linked_roles.LinkedService("*", "")
_MACHINES = "ec2.amazonaws.com"
_ON = on.named(instances.INSTANCE_PROFILES)


async def _create_role(
    params: types.CreateRoleRequest, call: Call
) -> types.CreateRoleResponse:
    role = await create(roles.ROLES, params, call.work)
    # As it was sent, as recorded; every later answer shows it as it is stored.
    return {"Role": views.created_role(role, params["AssumeRolePolicyDocument"])}


async def _get_role(params: types.GetRoleRequest, call: Call) -> types.GetRoleResponse:
    role = await roles.require_role(call.directory, call.account, params["RoleName"])
    (text,) = await shown_trust_policies(call.directory, [role.trust_policy])
    used = await role_last_used(call.directory, call.account, [role.role_id])
    return {"Role": views.got_role(role, text, used.get(role.role_id))}


async def _views(stored_roles: Sequence[Role], call: Call) -> list[types.Role]:
    policies = [role.trust_policy for role in stored_roles]
    rows = await shown_trust_policies(call.directory, policies)
    return [
        views.listed_role(role, text)
        for role, text in zip(stored_roles, rows, strict=True)
    ]


async def _update_role(params: types.UpdateRoleRequest, call: Call) -> None:
    role = await roles.require_role(call.change, call.account, params["RoleName"])
    await call.change.update(
        ROLE,
        replace(
            role,
            description=params.get("Description", role.description) or None,
            max_session_duration_seconds=params.get(
                "MaxSessionDuration", role.max_session_duration_seconds
            ),
        ),
    )


async def _update_role_description(
    params: types.UpdateRoleDescriptionRequest, call: Call
) -> types.UpdateRoleDescriptionResponse:
    role = await roles.require_role(call.change, call.account, params["RoleName"])
    described = replace(role, description=params["Description"] or None)
    await call.change.update(ROLE, described)
    (text,) = await shown_trust_policies(call.change, [role.trust_policy])
    return {"Role": views.described_role(described, text)}


async def _update_trust(
    params: types.UpdateAssumeRolePolicyRequest, call: Call
) -> None:
    await roles.update_trust_policy(
        call.change,
        await require_account(call.change, call.account),
        await roles.require_role(call.change, call.account, params["RoleName"]),
        params["PolicyDocument"],
    )


_PLAIN = Plain(roles.ROLES, _views, case=KeyCase.INSENSITIVE)

ROLES = (
    change(
        "CreateRole",
        _create_role,
        on.new("role", "RoleName"),
        on.boundary_asked,
        unsupported=("MaxSigninSessionDuration",),
    ),
    read("GetRole", _get_role, on.role, on.boundary_held),
    *_PLAIN.operations("ListRoles", "TagRole", "UntagRole", "ListRoleTags"),
    change(
        "UpdateRole",
        _update_role,
        on.role,
        on.boundary_held,
        unsupported=("MaxSigninSessionDuration", "ResetMaxSigninSessionDuration"),
    ),
    change(
        "UpdateRoleDescription", _update_role_description, on.role, on.boundary_held
    ),
    change("UpdateAssumeRolePolicy", _update_trust, on.role, on.boundary_held),
    change("DeleteRole", _PLAIN.delete, on.role, on.boundary_held),
)


def protecting(actions: Iterable[Action]) -> tuple[Action, ...]:
    """The actions; those that would change a service's own role refuse it."""
    return tuple(
        _protecting(action) if action.name in _PROTECTED else action
        for action in actions
    )


def _protecting(action: Action) -> Action:
    async def handle(params: Params, call: Call) -> Any:  # noqa: ANN401  # as the action's
        role = await call.directory.named(ROLE, call.account, params["RoleName"])
        if role is not None and not _describes(action, params):
            require_modifiable(role)
        return await action.handle(params, call)

    return replace(action, handle=handle)


def _describes(action: Action, params: Params) -> bool:
    """Whether a call leaves everything but the description as it is."""
    return action.name == "UpdateRole" and "MaxSessionDuration" not in params


async def _create(params: Params, call: Call) -> dict[str, Any]:
    role = await service_linked_roles.create_linked_role(
        call.change,
        await require_account(call.change, call.account),
        service=params["AWSServiceName"],
        suffix=params.get("CustomSuffix"),
        description=params.get("Description"),
        now=call.now,
    )
    return {"Role": views.described_role(role, role.trust_policy)}


async def _delete(params: Params, call: Call) -> dict[str, Any]:
    role = await require_role(call.change, call.account, params["RoleName"])
    task = await service_linked_roles.delete_linked_role(
        call.change, role, now=call.now
    )
    return {"DeletionTaskId": task.task_id}


async def _status(params: Params, call: Call) -> dict[str, Any]:
    task = await service_linked_roles.require_deletion_task(
        call.directory, call.account, params["DeletionTaskId"]
    )
    answer: dict[str, Any] = {"Status": task.status}
    if task.reason:
        answer["Reason"] = {"Reason": task.reason, **await _usage(task, call)}
    return answer


async def _usage(task: DeletionTask, call: Call) -> dict[str, Any]:
    """Where the role is still used, which is why it was not deleted."""
    name = task.task_id.split("/")[-2]
    role = await call.directory.named(ROLE, call.account, name)
    if role is None:
        return {}
    regions = await service_linked_roles.usage_of(call.directory, role, now=call.now)
    return {
        "RoleUsageList": [
            {"Region": region, "Resources": [role.arn]} for region in sorted(regions)
        ]
    }


async def _new_role(params: Params, call: Call) -> ActionTarget:
    service = params["AWSServiceName"]
    # What is refused later still has an ARN for the policies to decide about.
    key = service.partition(".amazonaws.com")[0]
    linked = service_linked_roles.linked_services().get(key, _UNKNOWN_SERVICE)
    name = service_linked_roles.linked_role_name(linked, params.get("CustomSuffix"))
    path = f"role{SERVICE_ROLE_PATH}{service}/{name}"
    return ActionTarget(iam_arn(call.account, path))


async def _task_role(params: Params, call: Call) -> ActionTarget:
    path = params["DeletionTaskId"].removeprefix("task/").rpartition("/")[0]
    return ActionTarget(iam_arn(call.account, f"role/{path}"))


def linked_service(params: Params, _on: ActionTarget) -> Context:
    """``iam:AWSServiceName``."""
    return {"iam:awsservicename": (params["AWSServiceName"],)}


SERVICE_LINKED_ROLES = (
    change("CreateServiceLinkedRole", _create, _new_role, linked_service),
    change("DeleteServiceLinkedRole", _delete, on.role),
    read("GetServiceLinkedRoleDeletionStatus", _status, _task_role),
)


def passing(action: Action, role: Target, service: str) -> Action:
    """The action, which then also needs permission to pass ``role`` to a service."""

    async def needs(params: Params, call: Call) -> tuple[Need, ...]:
        own = await action.needs(params, call)
        passed = await role(params, call)
        return (
            *own,
            Need(
                action="iam:PassRole",
                resource=passed.arn,
                account=call.account,
                context={**passed.context, "iam:passedtoservice": (service,)},
            ),
        )

    return replace(action, needs=needs)


async def _profile_view(profile: InstanceProfile, call: Call) -> dict[str, Any]:
    roles = []
    if profile.role_id is not None:
        role = await call.directory.find(ROLE, call.account, profile.role_id)
        if role is not None:
            (text,) = await shown_trust_policies(call.directory, [role.trust_policy])
            roles.append(views.contained_role(role, text))
    return {**instances.instance_profile_view(profile, roles)}


async def _profile_views(
    profiles: Sequence[InstanceProfile], call: Call
) -> list[dict[str, Any]]:
    return [await _profile_view(profile, call) for profile in profiles]


async def _list_for_role(params: Params, call: Call) -> Answer:
    role = await require_role(call.directory, call.account, params["RoleName"])
    return await _PLAIN_PROFILES.list_all(params, call, role_id=role.role_id)


async def _add_role(params: Params, call: Call) -> None:
    profile = await _PLAIN_PROFILES.find(params, call)
    role = await require_role(call.change, call.account, params["RoleName"])
    await instances.add_role(call.change, profile, role)


async def _remove_role(params: Params, call: Call) -> None:
    profile = await _PLAIN_PROFILES.find(params, call)
    role = await require_role(call.change, call.account, params["RoleName"])
    await instances.remove_role(call.change, profile, role)


_PLAIN_PROFILES = Plain(instances.INSTANCE_PROFILES, _profile_views)

INSTANCE_PROFILES = (
    *_PLAIN_PROFILES.operations(
        "CreateInstanceProfile",
        "GetInstanceProfile",
        "ListInstanceProfiles",
        "DeleteInstanceProfile",
        "TagInstanceProfile",
        "UntagInstanceProfile",
        "ListInstanceProfileTags",
    ),
    read("ListInstanceProfilesForRole", _list_for_role, on.role),
    passing(change("AddRoleToInstanceProfile", _add_role, _ON), on.role, _MACHINES),
    change("RemoveRoleFromInstanceProfile", _remove_role, _ON),
)
