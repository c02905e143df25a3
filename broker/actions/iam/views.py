"""Entities as IAM's answers show them.

Which members an answer has differs from operation to operation and is as recorded:
the one that makes an entity shows less than the one that gets it, and lists leave
out tags and boundaries.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from broker.kinds.credential_report import PASSWORD_USE
from broker.kinds.managed_policies import MANAGED_POLICIES
from broker.kinds.roles import ROLES
from broker.kinds.tags import tag_pairs
from broker.kinds.users import USERS
from broker.model import entities
from broker.model.account import AccountId
from broker.runtime.bounded import remembered
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.reports import list_uses

if TYPE_CHECKING:
    from broker.model.types import iam as types


_DOCUMENT_CHARACTERS_MAX = 32_768
"""Of one that is kept encoded: roles have few trust policies among them."""


@remembered(_DOCUMENT_CHARACTERS_MAX)
def encoded(document: str) -> str:
    """A policy document as it stands in an answer: percent-encoded by RFC 3986."""
    return quote(document, safe="")


def tag_list(tags: Mapping[str, str]) -> list[types.Tag]:
    """Tags by key."""
    return [{"Key": key, "Value": value} for key, value in tag_pairs(tags)]


def boundary(arn: str) -> types.AttachedPermissionsBoundary:
    """A permissions boundary."""
    return {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn}


def created_role(role: entities.Role, trust_policy: str) -> types.Role:
    """A role as ``CreateRole`` shows it, with the trust policy that it was sent."""
    view = contained_role(role, trust_policy)
    if role.boundary_arn is not None:
        view["PermissionsBoundary"] = boundary(role.boundary_arn)
    if role.tags:
        view["Tags"] = tag_list(role.tags)
    return view


def got_role(
    role: entities.Role, trust_policy: str, last_used: types.RoleLastUsed | None = None
) -> types.Role:
    """A role as ``GetRole`` shows it."""
    view = created_role(role, trust_policy)
    _add_settings(view, role)
    view["RoleLastUsed"] = last_used or {}
    return view


def contained_role(role: entities.Role, trust_policy: str) -> types.Role:
    """A role as an instance profile shows it."""
    view: types.Role = ROLES.view(role)
    return {**view, "AssumeRolePolicyDocument": encoded(trust_policy)}


def described_role(role: entities.Role, trust_policy: str) -> types.Role:
    """A role as ``UpdateRoleDescription`` shows it."""
    view = created_role(role, trust_policy)
    if role.description is not None:
        view["Description"] = role.description
    return view


def listed_role(role: entities.Role, trust_policy: str) -> types.Role:
    """A role as ``ListRoles`` shows it."""
    view = contained_role(role, trust_policy)
    _add_settings(view, role)
    return view


def listed_user(
    user: entities.User, password_last_used: datetime | None = None
) -> types.User:
    """A user as ``ListUsers`` shows it."""
    view: types.User = USERS.view(user)
    if password_last_used is not None:
        view["PasswordLastUsed"] = password_last_used
    return view


def got_user(
    user: entities.User, password_last_used: datetime | None = None
) -> types.User:
    """A user as ``CreateUser`` and ``GetUser`` show it."""
    view = listed_user(user, password_last_used)
    if user.boundary_arn is not None:
        view["PermissionsBoundary"] = boundary(user.boundary_arn)
    if user.tags:
        view["Tags"] = tag_list(user.tags)
    return view


def created_policy(policy: entities.ManagedPolicy) -> types.Policy:
    """A managed policy as ``CreatePolicy`` shows it."""
    view: types.Policy = MANAGED_POLICIES.view(policy)
    if policy.tags:
        view["Tags"] = tag_list(policy.tags)
    return view


def got_policy(policy: entities.ManagedPolicy) -> types.Policy:
    """A managed policy as ``GetPolicy`` shows it."""
    view: types.Policy = MANAGED_POLICIES.view(policy)
    if policy.description is not None:
        view["Description"] = policy.description
    view["Tags"] = tag_list(policy.tags)
    return view


def listed_version(
    policy: entities.ManagedPolicy, version: entities.PolicyVersion
) -> types.PolicyVersion:
    """A version as ``ListPolicyVersions`` and ``CreatePolicyVersion`` show it."""
    return {
        "VersionId": version.version_id,
        "IsDefaultVersion": version.version_id == policy.default_version.version_id,
        "CreateDate": version.created_at,
    }


def _add_settings(view: types.Role, role: entities.Role) -> None:
    view["MaxSessionDuration"] = role.max_session_duration_seconds
    if role.description is not None:
        view["Description"] = role.description


async def role_last_used(
    directory: DirectoryReader, account: AccountId, role_ids: Collection[str]
) -> dict[str, types.RoleLastUsed]:
    """By role id; roles that were never used are left out."""
    results: dict[str, types.RoleLastUsed] = {}
    for use in await list_uses(directory, account, role_ids):
        results.setdefault(use.subject, {"LastUsedDate": use.at, "Region": use.region})
    return results


async def password_last_used(
    directory: DirectoryReader, account: AccountId, user_ids: Collection[str]
) -> dict[str, datetime]:
    """By user id; users that never signed in with a password are left out."""
    return {
        use.subject: use.at
        for use in await list_uses(directory, account, user_ids)
        if (use.service, use.action) == PASSWORD_USE
    }
