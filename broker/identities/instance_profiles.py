"""Instance profiles: each holds at most one role for machines to take up."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from broker.entropy import new_unique_id
from broker.errors import (
    DeleteConflict,
    EntityAlreadyExists,
    LimitExceeded,
    NoSuchEntity,
)
from broker.identities.limits import Quota, require_within
from broker.identities.names import check_path
from broker.model.account import Account, AccountId
from broker.model.entities import Role
from broker.model.machines import InstanceProfile
from broker.stores.directory.kinds import INSTANCE_PROFILE
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.errors import AlreadyExistsError


async def require_instance_profile(
    directory: DirectoryReader, account: AccountId, name: str
) -> InstanceProfile:
    """An instance profile by name, without regard to case.

    Raises:
        NoSuchEntity: there is none.
    """
    profile = await directory.named(INSTANCE_PROFILE, account, name)
    if profile is None:
        raise NoSuchEntity(f"Instance Profile {name} cannot be found.")
    return profile


async def create_instance_profile(
    change: DirectoryChange,
    account: Account,
    *,
    name: str,
    path: str = "/",
    tags: Mapping[str, str],
    now: datetime,
) -> InstanceProfile:
    """Make an instance profile without a role.

    Raises:
        EntityAlreadyExists: the name is taken.
        LimitExceeded: the account has too many.
    """
    check_path(path)
    count = await change.count(INSTANCE_PROFILE, account.account_id)
    require_within(account, Quota.INSTANCE_PROFILES, count + 1)
    profile = InstanceProfile(
        account=account.account_id,
        profile_id=new_unique_id("AIPA"),
        name=name,
        path=path,
        created_at=now,
        tags=tags,
    )
    try:
        await change.insert(INSTANCE_PROFILE, profile)
    except AlreadyExistsError as error:
        raise EntityAlreadyExists(f"Instance Profile {name} already exists.") from error
    return profile


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


async def delete_instance_profile(
    change: DirectoryChange, profile: InstanceProfile
) -> None:
    """Remove an instance profile.

    Raises:
        DeleteConflict: there is a role in it.
    """
    if profile.role_id is not None:
        raise DeleteConflict(_ROLE_INSIDE)
    await change.remove(INSTANCE_PROFILE, profile)


async def require_in_no_profile(directory: DirectoryReader, role: Role) -> None:
    """Refuse to go on while an instance profile holds a role.

    Raises:
        DeleteConflict: one does.
    """
    if await directory.count(INSTANCE_PROFILE, role.account, role_id=role.role_id):
        raise DeleteConflict(_ROLE_INSIDE)


_ROLE_INSIDE = "Cannot delete entity, must remove roles from instance profile first."
