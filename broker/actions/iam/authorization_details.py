"""``GetAccountAuthorizationDetails``: every identity and its policies.

One page is read at a time, each kind of belonging with one query, so that the memory
a call takes depends on ``MaxItems`` alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import read
from broker.actions.iam.paging import page_request, truncation
from broker.actions.iam.views import role_last_used
from broker.errors import ValidationError
from broker.kinds.documents import shown_trust_policies
from broker.kinds.instances import instance_profile_view
from broker.kinds.managed_policies import list_used_aws_managed, list_versions
from broker.kinds.names import parse_policy_arn
from broker.model.account import AccountId
from broker.model.entities import Group, InlinePolicy, ManagedPolicy, Role, User
from broker.model.page import Page, PageRequest
from broker.stores.directory.identities import list_memberships, list_profiles_of_roles
from broker.stores.directory.kinds import GROUP, MANAGED_POLICY, ROLE, USER
from broker.stores.directory.policies import (
    list_attachments_of,
    list_inline_policies_of,
)
from broker.stores.directory.port import DirectoryReader

if TYPE_CHECKING:
    from broker.model.types import iam as types


class _Details(Struct):
    users: list[types.UserDetail] = []
    groups: list[types.GroupDetail] = []
    roles: list[types.RoleDetail] = []
    policies: list[types.ManagedPolicyDetail] = []


# The items are counted only: whatever they are is in the details by then.
_Section = Callable[[Call, PageRequest, _Details], Awaitable[Page[Any]]]


class _PoliciesOfOwners(Struct, frozen=True):
    """The policies of the owners on a page."""

    inline: Mapping[str, tuple[InlinePolicy, ...]]
    attached: Mapping[str, tuple[str, ...]]

    @classmethod
    async def load(
        cls, directory: DirectoryReader, account: AccountId, ids: Sequence[str]
    ) -> _PoliciesOfOwners:
        return cls(
            await list_inline_policies_of(directory, account, ids),
            await list_attachments_of(directory, account, ids),
        )

    def inline_of(self, owner_id: str) -> list[types.PolicyDetail]:
        return [
            {
                "PolicyName": policy.name,
                "PolicyDocument": views.encoded(policy.document),
            }
            for policy in self.inline.get(owner_id, ())
        ]

    def attached_of(self, owner_id: str) -> list[types.AttachedPolicy]:
        return [
            {"PolicyName": parse_policy_arn(arn).name, "PolicyArn": arn}
            for arn in self.attached.get(owner_id, ())
        ]


async def _users(call: Call, page: PageRequest, details: _Details) -> Page[User]:
    users = await call.directory.page_of(USER, call.account, page)
    ids = [user.user_id for user in users.items]
    owned = await _PoliciesOfOwners.load(call.directory, call.account, ids)
    groups = await list_memberships(call.directory, call.account, ids)
    for user in users.items:
        detail: types.UserDetail = {
            "Path": user.path,
            "UserName": user.name,
            "UserId": user.user_id,
            "Arn": user.arn,
            "CreateDate": user.created_at,
            "GroupList": [group.name for group in groups.get(user.user_id, ())],
            "AttachedManagedPolicies": owned.attached_of(user.user_id),
            "Tags": views.tag_list(user.tags),
        }
        inline = owned.inline_of(user.user_id)
        if inline:
            detail["UserPolicyList"] = inline
        if user.boundary_arn is not None:
            detail["PermissionsBoundary"] = views.boundary(user.boundary_arn)
        details.users.append(detail)
    return users


async def _groups(call: Call, page: PageRequest, details: _Details) -> Page[Group]:
    groups = await call.directory.page_of(GROUP, call.account, page)
    ids = [group.group_id for group in groups.items]
    owned = await _PoliciesOfOwners.load(call.directory, call.account, ids)
    details.groups += [
        {
            "Path": group.path,
            "GroupName": group.name,
            "GroupId": group.group_id,
            "Arn": group.arn,
            "CreateDate": group.created_at,
            "GroupPolicyList": owned.inline_of(group.group_id),
            "AttachedManagedPolicies": owned.attached_of(group.group_id),
        }
        for group in groups.items
    ]
    return groups


async def _roles(call: Call, page: PageRequest, details: _Details) -> Page[Role]:
    roles = await call.directory.page_of(ROLE, call.account, page)
    ids = [role.role_id for role in roles.items]
    owned = await _PoliciesOfOwners.load(call.directory, call.account, ids)
    used = await role_last_used(call.directory, call.account, ids)
    profiles = await list_profiles_of_roles(call.directory, call.account, ids)
    rows = await shown_trust_policies(
        call.directory, [role.trust_policy for role in roles.items]
    )
    for role, trust in zip(roles.items, rows, strict=True):
        detail: types.RoleDetail = {
            "Path": role.path,
            "RoleName": role.name,
            "RoleId": role.role_id,
            "Arn": role.arn,
            "CreateDate": role.created_at,
            "AssumeRolePolicyDocument": views.encoded(trust),
            "InstanceProfileList": [
                instance_profile_view(profile, [views.contained_role(role, trust)])
                for profile in profiles.get(role.role_id, ())
            ],
            "RolePolicyList": owned.inline_of(role.role_id),
            "AttachedManagedPolicies": owned.attached_of(role.role_id),
            "Tags": views.tag_list(role.tags),
            "RoleLastUsed": used.get(role.role_id, {}),
        }
        if role.boundary_arn is not None:
            detail["PermissionsBoundary"] = views.boundary(role.boundary_arn)
        details.roles.append(detail)
    return roles


async def _own_policies(
    call: Call, page: PageRequest, details: _Details
) -> Page[ManagedPolicy]:
    policies = await call.directory.page_of(MANAGED_POLICY, call.account, page)
    for policy in policies.items:
        details.policies.append(await _policy(call, policy))
    return policies


async def _aws_policies(
    call: Call, page: PageRequest, details: _Details
) -> Page[ManagedPolicy]:
    """Only those attached somewhere, as in AWS; all on one page."""
    del page
    for policy in await list_used_aws_managed(call.directory, call.account):
        details.policies.append(await _policy(call, policy))
    return Page((), None)


async def _policy(call: Call, policy: ManagedPolicy) -> types.ManagedPolicyDetail:
    versions = await list_versions(call.directory, policy)
    # Without the description, which GetPolicy shows: as recorded.
    return {
        "PolicyName": policy.name,
        "PolicyId": policy.policy_id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": policy.default_version.version_id,
        "AttachmentCount": policy.attachment_count,
        "PermissionsBoundaryUsageCount": policy.boundary_count,
        "IsAttachable": True,
        "CreateDate": policy.created_at,
        "UpdateDate": policy.updated_at,
        "PolicyVersionList": [
            {
                **views.listed_version(policy, version),
                "Document": views.encoded(version.document),
            }
            for version in versions
        ],
    }


_SECTIONS: Mapping[str, _Section] = {
    "User": _users,
    "Group": _groups,
    "Role": _roles,
    "LocalManagedPolicy": _own_policies,
    "AWSManagedPolicy": _aws_policies,
}
"""In the order in which they are read out; a marker names the one under way."""


async def _get_details(
    params: types.GetAccountAuthorizationDetailsRequest, call: Call
) -> types.GetAccountAuthorizationDetailsResponse:
    request = page_request(params)
    sections = [name for name in _SECTIONS if name in params.get("Filter", _SECTIONS)]
    marker: str | None = None
    if request.marker is not None:
        name, colon, marker = request.marker.partition(":")
        if name not in sections or not colon:
            raise ValidationError("Invalid Marker.")
        sections = sections[sections.index(name) :]
    details = _Details()
    room, next_marker = request.limit, None
    while sections:
        if room <= 0:
            next_marker = f"{sections[0]}:"
            break
        page = await _SECTIONS[sections[0]](
            call, PageRequest(marker or None, room), details
        )
        marker = None
        room -= len(page.items)
        if page.marker is not None:
            next_marker = f"{sections[0]}:{page.marker}"
            break
        sections = sections[1:]
    return {
        "UserDetailList": details.users,
        "GroupDetailList": details.groups,
        "RoleDetailList": details.roles,
        "Policies": details.policies,
        **truncation(Page((), next_marker)),
    }


AUTHORIZATION_DETAILS = (
    read("GetAccountAuthorizationDetails", _get_details, on.account, calls=20),
)
