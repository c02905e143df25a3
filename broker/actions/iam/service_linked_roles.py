"""Service-linked roles, and the protection of their kind from other operations."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import ActionTarget, Context, change, read
from broker.kinds import roles
from broker.kinds.accounts import require_account
from broker.kinds.roles import require_modifiable, require_role
from broker.model.arn import iam_arn
from broker.model.machines import SERVICE_ROLE_PATH, DeletionTask
from broker.model.request import Given
from broker.stores.directory.kinds import ROLE

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


def protecting(actions: Iterable[Action]) -> tuple[Action, ...]:
    """The actions; those that would change a service's own role refuse it."""
    return tuple(
        _protecting(action) if action.name in _PROTECTED else action
        for action in actions
    )


def _protecting(action: Action) -> Action:
    async def handle(given: Given, call: Call) -> Any:  # noqa: ANN401  # as the action's
        role = await call.directory.named(ROLE, call.account, given["RoleName"])
        if role is not None and not _describes(action, given):
            require_modifiable(role)
        return await action.handle(given, call)

    return replace(action, handle=handle)


def _describes(action: Action, given: Given) -> bool:
    """Whether a call leaves everything but the description as it is."""
    return action.name == "UpdateRole" and "MaxSessionDuration" not in given


async def _create(given: Given, call: Call) -> dict[str, Any]:
    role = await roles.create_linked_role(
        call.change,
        await require_account(call.change, call.account),
        service=given["AWSServiceName"],
        suffix=given.get("CustomSuffix"),
        description=given.get("Description"),
        now=call.now,
    )
    return {"Role": views.described_role(role, role.trust_policy)}


async def _delete(given: Given, call: Call) -> dict[str, Any]:
    role = await require_role(call.change, call.account, given["RoleName"])
    task = await roles.delete_linked_role(call.change, role, now=call.now)
    return {"DeletionTaskId": task.task_id}


async def _status(given: Given, call: Call) -> dict[str, Any]:
    task = await roles.require_deletion_task(
        call.directory, call.account, given["DeletionTaskId"]
    )
    answer: dict[str, Any] = {"Status": task.status}
    if task.reason:
        answer["Reason"] = {"Reason": task.reason, **await _usage(task, call)}
    return answer


async def _usage(task: DeletionTask, call: Call) -> dict[str, Any]:
    """Where the role is still used, which is why it was not deleted."""
    role = await call.directory.named(ROLE, call.account, roles.role_of_task(task))
    if role is None:
        return {}
    regions = await roles.usage_of(call.directory, role, now=call.now)
    return {
        "RoleUsageList": [
            {"Region": region, "Resources": [role.arn]} for region in sorted(regions)
        ]
    }


_UNKNOWN_SERVICE = roles.LinkedService("*", "")


async def _new_role(given: Given, call: Call) -> ActionTarget:
    service = given["AWSServiceName"]
    # What is refused later still has an ARN for the policies to decide about.
    key = service.partition(".amazonaws.com")[0]
    linked = roles.linked_services().get(key, _UNKNOWN_SERVICE)
    name = roles.linked_role_name(linked, given.get("CustomSuffix"))
    path = f"role{SERVICE_ROLE_PATH}{service}/{name}"
    return ActionTarget(iam_arn(call.account, path))


async def _task_role(given: Given, call: Call) -> ActionTarget:
    path = given["DeletionTaskId"].removeprefix("task/").rpartition("/")[0]
    return ActionTarget(iam_arn(call.account, f"role/{path}"))


def linked_service(given: Given, _on: ActionTarget) -> Context:
    """``iam:AWSServiceName``."""
    return {"iam:awsservicename": (given["AWSServiceName"],)}


SERVICE_LINKED_ROLES = (
    change("CreateServiceLinkedRole", _create, _new_role, linked_service),
    change("DeleteServiceLinkedRole", _delete, on.role),
    read("GetServiceLinkedRoleDeletionStatus", _status, _task_role),
)
