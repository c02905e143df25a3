"""Roles: ``CreateRole``, ``GetRole``, ``ListRoles``, updates, ``DeleteRole``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import change, read
from broker.actions.iam.last_used import role_last_used
from broker.actions.iam.plain import Plain
from broker.kinds import roles
from broker.kinds.accounts import require_account
from broker.kinds.documents import shown_trust_policies
from broker.kinds.kind import create
from broker.model.entities import Role
from broker.stores.directory.kinds import ROLE

if TYPE_CHECKING:
    from broker.model.types import iam as types


async def _create_role(
    given: types.CreateRoleRequest, call: Call
) -> types.CreateRoleResponse:
    role = await create(roles.ROLES, given, call.work)
    # As it was sent, as recorded; every later answer shows it as it is stored.
    return {"Role": views.created_role(role, given["AssumeRolePolicyDocument"])}


async def _get_role(given: types.GetRoleRequest, call: Call) -> types.GetRoleResponse:
    role = await roles.require_role(call.directory, call.account, given["RoleName"])
    (shown,) = await shown_trust_policies(call.directory, [role.trust_policy])
    used = await role_last_used(call.directory, call.account, [role.role_id])
    return {"Role": views.got_role(role, shown, used.get(role.role_id))}


async def _views(found: Sequence[Role], call: Call) -> list[types.Role]:
    policies = [role.trust_policy for role in found]
    shown = await shown_trust_policies(call.directory, policies)
    return [
        views.listed_role(role, text) for role, text in zip(found, shown, strict=True)
    ]


async def _update_role(given: types.UpdateRoleRequest, call: Call) -> None:
    role = await roles.require_role(call.change, call.account, given["RoleName"])
    await call.change.update(
        ROLE,
        replace(
            role,
            description=given.get("Description", role.description) or None,
            max_session_duration_seconds=given.get(
                "MaxSessionDuration", role.max_session_duration_seconds
            ),
        ),
    )


async def _update_role_description(
    given: types.UpdateRoleDescriptionRequest, call: Call
) -> types.UpdateRoleDescriptionResponse:
    role = await roles.require_role(call.change, call.account, given["RoleName"])
    described = replace(role, description=given["Description"] or None)
    await call.change.update(ROLE, described)
    (shown,) = await shown_trust_policies(call.change, [role.trust_policy])
    return {"Role": views.described_role(described, shown)}


async def _update_trust(given: types.UpdateAssumeRolePolicyRequest, call: Call) -> None:
    await roles.update_trust_policy(
        call.change,
        await require_account(call.change, call.account),
        await roles.require_role(call.change, call.account, given["RoleName"]),
        given["PolicyDocument"],
    )


_PLAIN = Plain(roles.ROLES, _views)

ROLES = (
    change(
        "CreateRole",
        _create_role,
        on.new("role", "RoleName"),
        on.boundary_asked,
        unsupported=("MaxSigninSessionDuration",),
    ),
    read("GetRole", _get_role, on.role, on.boundary_held),
    read("ListRoles", _PLAIN.list_all, on.all_of("role")),
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
