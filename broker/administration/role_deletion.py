"""Deleting a role together with what blocks ``DeleteRole``."""

from broker.console.visit import Visit


async def delete_role(visit: Visit, name: str) -> None:
    """Delete a role, after detaching it from policies and instance profiles.

    Raises:
        BrokerError: A step failed; the steps before it stand.
    """
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
