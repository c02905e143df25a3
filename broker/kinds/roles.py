"""Roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from broker.errors import (
    EntityAlreadyExists,
    InvalidInput,
    about,
)
from broker.kinds.accounts import require_account
from broker.kinds.documents import stored_trust_policy
from broker.kinds.instances import require_in_no_profile
from broker.kinds.limits import Quota
from broker.kinds.names import require_path
from broker.kinds.owners import checked_boundary, require_no_policies
from broker.kinds.rules import Named, Work
from broker.kinds.tags import KeyCase, given_tags
from broker.model.account import Account
from broker.model.entities import Role
from broker.model.machines import SERVICE_ROLE_PATH
from broker.runtime.entropy import new_unique_id
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.port import DirectoryChange, DirectoryReader

if TYPE_CHECKING:
    from broker.model.types import iam as types
from broker.kinds.service_linked_roles import is_service_linked

DEFAULT_SESSION_SECONDS = 3600
_TAKEN = "Role with name {0.name} already exists."


async def _make(params: types.CreateRoleRequest, work: Work) -> Role:
    tags = given_tags(params.get("Tags", ()), KeyCase.INSENSITIVE)
    boundary_arn = params.get("PermissionsBoundary")
    role = Role(
        account=work.account,
        role_id=new_unique_id("AROA"),
        name=params["RoleName"],
        path=require_path(params.get("Path", "/")),
        trust_policy="",
        created_at=work.now,
        description=params.get("Description") or None,
        max_session_duration_seconds=params.get(
            "MaxSessionDuration", DEFAULT_SESSION_SECONDS
        ),
        tags=tags,
        boundary_arn=boundary_arn,
    )
    if is_service_linked(role):
        raise InvalidInput(
            f"The path {SERVICE_ROLE_PATH} is reserved for service-linked roles."
        )
    if await work.change.named(ROLE, work.account, role.name) is not None:
        raise EntityAlreadyExists(_TAKEN.format(role))
    await work.require_room(ROLE, Quota.ROLES)
    if boundary_arn is not None:
        with about("PermissionsBoundary"):
            await checked_boundary(work.change, work.account, boundary_arn)
    account = await require_account(work.change, work.account)
    trust_policy = params["AssumeRolePolicyDocument"]
    stored = await stored_trust_policy(work.change, account, trust_policy)
    return replace(role, trust_policy=stored)


def _view(role: Role) -> types.Role:
    """Without its trust policy, which names unique ids as it is stored."""
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.role_id,
        "Arn": role.arn,
        "CreateDate": role.created_at,
    }


async def _check_removal(role: Role, directory: DirectoryReader) -> None:
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
    check_removal=_check_removal,
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
