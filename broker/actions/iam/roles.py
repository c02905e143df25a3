"""Roles: ``CreateRole``, ``GetRole``, ``ListRoles``, updates, ``DeleteRole``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import change, read
from broker.actions.iam.last_used import role_last_used
from broker.actions.iam.paging import page_request, stored_page, truncation
from broker.identities import roles
from broker.identities.accounts import require_account
from broker.identities.tags import KeyCase, given_tags
from broker.identities.trust import shown_trust_policies

if TYPE_CHECKING:
    from broker.model.types import iam as types


async def _create_role(
    given: types.CreateRoleRequest, call: Call
) -> types.CreateRoleResponse:
    role = await roles.create_role(
        call.change,
        await require_account(call.change, call.account),
        name=given["RoleName"],
        path=given.get("Path", "/"),
        trust_policy=given["AssumeRolePolicyDocument"],
        description=given.get("Description"),
        max_session_duration_seconds=given.get(
            "MaxSessionDuration", roles.DEFAULT_SESSION_SECONDS
        ),
        boundary_arn=given.get("PermissionsBoundary"),
        tags=given_tags(given.get("Tags", ()), KeyCase.INSENSITIVE),
        now=call.now,
    )
    # As it was sent, as recorded; every later answer shows it as it is stored.
    return {"Role": views.created_role(role, given["AssumeRolePolicyDocument"])}


async def _get_role(given: types.GetRoleRequest, call: Call) -> types.GetRoleResponse:
    role = await roles.require_role(call.directory, call.account, given["RoleName"])
    (shown,) = await shown_trust_policies(call.directory, [role.trust_policy])
    used = await role_last_used(call.directory, call.account, [role.role_id])
    return {"Role": views.got_role(role, shown, used.get(role.role_id))}


async def _list_roles(
    given: types.ListRolesRequest, call: Call
) -> types.ListRolesResponse:
    page = await stored_page(
        call.directory.list_roles(
            call.account, given.get("PathPrefix", "/"), page_request(given)
        )
    )
    shown = await shown_trust_policies(
        call.directory, [role.trust_policy for role in page.items]
    )
    return {
        "Roles": [
            views.listed_role(role, text)
            for role, text in zip(page.items, shown, strict=True)
        ],
        **truncation(page),
    }


async def _update_role(given: types.UpdateRoleRequest, call: Call) -> None:
    role = await roles.require_role(call.change, call.account, given["RoleName"])
    await call.change.update_role(
        replace(
            role,
            description=given.get("Description", role.description) or None,
            max_session_duration_seconds=given.get(
                "MaxSessionDuration", role.max_session_duration_seconds
            ),
        )
    )


async def _update_role_description(
    given: types.UpdateRoleDescriptionRequest, call: Call
) -> types.UpdateRoleDescriptionResponse:
    role = await roles.require_role(call.change, call.account, given["RoleName"])
    described = replace(role, description=given["Description"] or None)
    await call.change.update_role(described)
    (shown,) = await shown_trust_policies(call.change, [role.trust_policy])
    return {"Role": views.described_role(described, shown)}


async def _update_trust(given: types.UpdateAssumeRolePolicyRequest, call: Call) -> None:
    await roles.update_trust_policy(
        call.change,
        await require_account(call.change, call.account),
        await roles.require_role(call.change, call.account, given["RoleName"]),
        given["PolicyDocument"],
    )


async def _delete_role(given: types.DeleteRoleRequest, call: Call) -> None:
    role = await roles.require_role(call.change, call.account, given["RoleName"])
    await roles.delete_role(call.change, role)


ROLES = (
    change(
        "CreateRole",
        _create_role,
        on.new("role", "RoleName"),
        on.boundary_asked,
        unsupported=("MaxSigninSessionDuration",),
    ),
    read("GetRole", _get_role, on.role, on.boundary_held),
    read("ListRoles", _list_roles, on.all_of("role")),
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
    change("DeleteRole", _delete_role, on.role, on.boundary_held),
)
