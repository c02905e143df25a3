"""Deleting a role together with what blocks ``DeleteRole``."""

from broker.console.visit import Visit
from broker.errors import DeleteConflict
from broker.model.machines import SERVICE_ROLE_PATH


async def delete_role(visit: Visit, name: str) -> None:
    """Delete a role, after detaching it from policies and instance profiles.

    Raises:
        BrokerError: A step failed; the steps before it stand.
    """
    role = (await visit.iam("GetRole", RoleName=name))["Role"]
    if role["Path"].startswith(SERVICE_ROLE_PATH):
        await _delete_linked(visit, name)
        return
    profiles = await visit.iam("ListInstanceProfilesForRole", RoleName=name)
    for profile in profiles["InstanceProfiles"]:
        await visit.iam(
            "RemoveRoleFromInstanceProfile",
            InstanceProfileName=profile["InstanceProfileName"],
            RoleName=name,
        )
    attached = await visit.iam("ListAttachedRolePolicies", RoleName=name)
    for policy in attached["AttachedPolicies"]:
        await visit.iam(
            "DetachRolePolicy", RoleName=name, PolicyArn=policy["PolicyArn"]
        )
    for inline in (await visit.iam("ListRolePolicies", RoleName=name))["PolicyNames"]:
        await visit.iam("DeleteRolePolicy", RoleName=name, PolicyName=inline)
    await visit.iam("DeleteRole", RoleName=name)


async def _delete_linked(visit: Visit, name: str) -> None:
    """Delete a service's own role, which only one action can do.

    Raises:
        DeleteConflict: The role is in use.
    """
    task = await visit.iam("DeleteServiceLinkedRole", RoleName=name)
    status = await visit.iam(
        "GetServiceLinkedRoleDeletionStatus", DeletionTaskId=task["DeletionTaskId"]
    )
    if "Reason" in status:
        raise DeleteConflict(status["Reason"]["Reason"])
