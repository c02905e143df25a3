"""The users, groups and roles that a managed policy is attached to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import read
from broker.actions.iam.paging import cut, page_request, truncation
from broker.kinds.managed_policies import (
    require_managed_policy,
)
from broker.kinds.owners import kind_of
from broker.model.entities import Group, Role, User
from broker.stores.directory.policies import (
    find_owners,
    list_attached_owners,
    list_bounded_owners,
)

if TYPE_CHECKING:
    from broker.model.types import iam as types


async def _list_entities(
    params: types.ListEntitiesForPolicyRequest, call: Call
) -> types.ListEntitiesForPolicyResponse:
    policy = await require_managed_policy(
        call.directory, call.account, params["PolicyArn"]
    )
    usage = params.get("PolicyUsageFilter")
    unique_ids: set[str] = set()
    if usage != "PermissionsBoundary":
        unique_ids.update(
            await list_attached_owners(call.directory, call.account, policy.arn)
        )
    if usage != "PermissionsPolicy":
        unique_ids.update(
            await list_bounded_owners(call.directory, call.account, policy.arn)
        )
    kind = params.get("EntityFilter")
    prefix = params.get("PathPrefix", "/")
    owners = [
        owner
        for owner in await find_owners(call.directory, call.account, unique_ids)
        if owner.path.startswith(prefix) and kind in {None, type(owner).__name__}
    ]
    page = cut(
        owners,
        lambda owner: f"{kind_of(owner).noun}/{owner.name.lower()}",
        page_request(params),
    )
    return {
        "PolicyGroups": [
            {"GroupName": owner.name, "GroupId": owner.group_id}
            for owner in page.items
            if isinstance(owner, Group)
        ],
        "PolicyUsers": [
            {"UserName": owner.name, "UserId": owner.user_id}
            for owner in page.items
            if isinstance(owner, User)
        ],
        "PolicyRoles": [
            {"RoleName": owner.name, "RoleId": owner.role_id}
            for owner in page.items
            if isinstance(owner, Role)
        ],
        **truncation(page),
    }


POLICY_ENTITIES = (read("ListEntitiesForPolicy", _list_entities, on.policy),)
