"""Roles."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from broker.entropy import new_unique_id
from broker.errors import EntityAlreadyExists
from broker.identities.attachments import checked_boundary
from broker.identities.instance_profiles import require_in_no_profile
from broker.identities.kind import finder, insert, require_room
from broker.identities.limits import Quota
from broker.identities.names import check_path
from broker.identities.owners import require_no_policies
from broker.identities.service_linked_roles import refuse_reserved_path
from broker.identities.trust import stored_trust_policy
from broker.model.account import Account
from broker.model.entities import Role
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.port import DirectoryChange

DEFAULT_SESSION_SECONDS = 3600


require_role = finder(ROLE, "The role with name {} cannot be found.")


async def create_role(
    change: DirectoryChange,
    account: Account,
    *,
    name: str,
    trust_policy: str,
    path: str = "/",
    description: str | None = None,
    max_session_duration_seconds: int = DEFAULT_SESSION_SECONDS,
    boundary_arn: str | None = None,
    tags: Mapping[str, str],
    now: datetime,
) -> Role:
    """Make a role.

    Raises:
        EntityAlreadyExists: the name is taken.
        MalformedPolicyDocument: the trust policy is refused.
        LimitExceeded: the account has too many roles, or the trust policy is too large.
        NoSuchEntity, InvalidInput: the boundary is not a policy.
    """
    check_path(path)
    refuse_reserved_path(path)
    if await change.named(ROLE, account.account_id, name) is not None:
        raise EntityAlreadyExists(f"Role with name {name} already exists.")
    await require_room(change, account, ROLE, Quota.ROLES)
    if boundary_arn is not None:
        await checked_boundary(change, account.account_id, boundary_arn)
    role = Role(
        account=account.account_id,
        role_id=new_unique_id("AROA"),
        name=name,
        path=path,
        trust_policy=await stored_trust_policy(change, account, trust_policy),
        created_at=now,
        description=description or None,
        max_session_duration_seconds=max_session_duration_seconds,
        tags=tags,
        boundary_arn=boundary_arn,
    )
    await insert(change, ROLE, role, "Role with name {0.name} already exists.")
    return role


async def update_trust_policy(
    change: DirectoryChange, account: Account, role: Role, trust_policy: str
) -> None:
    """Replace a role's trust policy.

    Raises:
        MalformedPolicyDocument: it is refused.
        LimitExceeded: it is too large.
    """
    stored = await stored_trust_policy(change, account, trust_policy)
    await change.update_role(replace(role, trust_policy=stored))


async def delete_role(change: DirectoryChange, role: Role) -> None:
    """Remove a role.

    Raises:
        DeleteConflict: it still has policies, or an instance profile holds it.
    """
    await require_in_no_profile(change, role)
    await require_no_policies(change, role)
    await change.delete_role(role)
