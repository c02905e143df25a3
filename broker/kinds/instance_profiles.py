"""Instance profiles: each holds at most one role for machines to take up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.errors import DeleteConflict, LimitExceeded, NoSuchEntity
from broker.kinds.kind import Named, Work
from broker.kinds.limits import Quota
from broker.kinds.names import check_path
from broker.kinds.tags import KeyCase, given_tags
from broker.model.entities import Role
from broker.model.machines import InstanceProfile
from broker.runtime.entropy import new_unique_id
from broker.stores.directory.kinds import INSTANCE_PROFILE
from broker.stores.directory.port import DirectoryChange, DirectoryReader

if TYPE_CHECKING:
    from broker.model.types import iam as types


async def _make(
    given: types.CreateInstanceProfileRequest, work: Work
) -> InstanceProfile:
    tags = given_tags(given.get("Tags", ()), KeyCase.SENSITIVE)
    return InstanceProfile(
        account=work.account,
        profile_id=new_unique_id("AIPA"),
        name=given["InstanceProfileName"],
        path=check_path(given.get("Path", "/")),
        created_at=work.now,
        tags=tags,
    )


def instance_profile_view(
    found: InstanceProfile, roles: Sequence[types.Role] = ()
) -> types.InstanceProfile:
    """An instance profile as lists show it, with the roles inside."""
    return {
        "Path": found.path,
        "InstanceProfileName": found.name,
        "InstanceProfileId": found.profile_id,
        "Arn": found.arn,
        "CreateDate": found.created_at,
        "Roles": list(roles),
    }


async def _check_removal(found: InstanceProfile, _directory: DirectoryReader) -> None:
    if found.role_id is not None:
        raise DeleteConflict(_ROLE_INSIDE)


INSTANCE_PROFILES = Named(
    kind=INSTANCE_PROFILE,
    quota=Quota.INSTANCE_PROFILES,
    make=_make,
    view=instance_profile_view,
    check_removal=_check_removal,
    name="InstanceProfileName",
    resource="instance-profile",
    one="InstanceProfile",
    many="InstanceProfiles",
    shown="instance profile",
    missing="Instance Profile {} cannot be found.",
    taken="Instance Profile {0.name} already exists.",
)
require_instance_profile = INSTANCE_PROFILES.require


async def add_role(
    change: DirectoryChange, profile: InstanceProfile, role: Role
) -> None:
    """Put a role into an instance profile.

    Raises:
        LimitExceeded: there is one in it.
    """
    if profile.role_id is not None:
        raise LimitExceeded(
            "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"
        )
    await change.update(INSTANCE_PROFILE, replace(profile, role_id=role.role_id))


async def remove_role(
    change: DirectoryChange, profile: InstanceProfile, role: Role
) -> None:
    """Take a role out of an instance profile.

    Raises:
        NoSuchEntity: it is not in it.
    """
    if profile.role_id != role.role_id:
        raise NoSuchEntity(
            f"Role {role.name} in Instance Profile {profile.name} cannot be found."
        )
    await change.update(INSTANCE_PROFILE, replace(profile, role_id=None))


async def require_in_no_profile(directory: DirectoryReader, role: Role) -> None:
    """Refuse to go on while an instance profile holds a role.

    Raises:
        DeleteConflict: one does.
    """
    if await directory.count(INSTANCE_PROFILE, role.account, role_id=role.role_id):
        raise DeleteConflict(_ROLE_INSIDE)


_ROLE_INSIDE = "Cannot delete entity, must remove roles from instance profile first."
