"""Roles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.errors import EntityAlreadyExists, about
from broker.kinds.accounts import require_account
from broker.kinds.instance_profiles import require_in_no_profile
from broker.kinds.kind import Named, Work
from broker.kinds.limits import Quota
from broker.kinds.names import check_path
from broker.kinds.owners import checked_boundary, require_no_policies
from broker.kinds.service_linked_roles import refuse_reserved_path
from broker.kinds.tags import KeyCase, given_tags
from broker.kinds.trust import stored_trust_policy
from broker.model.account import Account
from broker.model.entities import Role
from broker.runtime.entropy import new_unique_id
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.port import DirectoryChange, DirectoryReader

if TYPE_CHECKING:
    from broker.model.types import iam as types

DEFAULT_SESSION_SECONDS = 3600
_TAKEN = "Role with name {0.name} already exists."


async def _make(given: types.CreateRoleRequest, work: Work) -> Role:
    tags = given_tags(given.get("Tags", ()), KeyCase.INSENSITIVE)
    boundary_arn = given.get("PermissionsBoundary")
    role = Role(
        account=work.account,
        role_id=new_unique_id("AROA"),
        name=given["RoleName"],
        path=check_path(given.get("Path", "/")),
        trust_policy="",
        created_at=work.now,
        description=given.get("Description") or None,
        max_session_duration_seconds=given.get(
            "MaxSessionDuration", DEFAULT_SESSION_SECONDS
        ),
        tags=tags,
        boundary_arn=boundary_arn,
    )
    refuse_reserved_path(role.path)
    if await work.change.named(ROLE, work.account, role.name) is not None:
        raise EntityAlreadyExists(_TAKEN.format(role))
    await work.require_room(ROLE, Quota.ROLES)
    if boundary_arn is not None:
        with about("PermissionsBoundary"):
            await checked_boundary(work.change, work.account, boundary_arn)
    account = await require_account(work.change, work.account)
    trust_policy = given["AssumeRolePolicyDocument"]
    stored = await stored_trust_policy(work.change, account, trust_policy)
    return replace(role, trust_policy=stored)


def _view(found: Role) -> types.Role:
    """Without its trust policy, which names unique ids as it is stored."""
    return {
        "Path": found.path,
        "RoleName": found.name,
        "RoleId": found.role_id,
        "Arn": found.arn,
        "CreateDate": found.created_at,
    }


async def check_removal(role: Role, directory: DirectoryReader) -> None:
    """Refuse to remove a role that has something.

    Raises:
        DeleteConflict: it still has policies, or an instance profile holds it.
    """
    await require_in_no_profile(directory, role)
    await require_no_policies(directory, role)


ROLES = Named(
    kind=ROLE,
    quota=None,
    make=_make,
    view=_view,
    check_removal=check_removal,
    missing="The role with name {} cannot be found.",
    taken=_TAKEN,
    name="RoleName",
    resource="role",
    one="Role",
    many="Roles",
    shown="role",
)
require_role = ROLES.require


async def update_trust_policy(
    change: DirectoryChange, account: Account, role: Role, trust_policy: str
) -> None:
    """Replace a role's trust policy.

    Raises:
        MalformedPolicyDocument: it is refused.
        LimitExceeded: it is too large.
    """
    stored = await stored_trust_policy(change, account, trust_policy)
    await change.update(ROLE, replace(role, trust_policy=stored))
