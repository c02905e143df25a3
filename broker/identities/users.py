"""Users."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from broker.entropy import new_unique_id
from broker.errors import DeleteConflict, EntityAlreadyExists, NoSuchEntity
from broker.identities.attachments import checked_boundary
from broker.identities.kind import finder, insert, require_room
from broker.identities.limits import Quota
from broker.identities.names import check_path
from broker.identities.owners import require_no_policies
from broker.identities.user_credentials import require_no_credentials
from broker.model.account import Account
from broker.model.entities import User
from broker.stores.directory.kinds import USER
from broker.stores.directory.port import DirectoryChange
from broker.stores.errors import AlreadyExistsError

_MISSING = "The user with name {} cannot be found."
_TAKEN = "User with name {0.name} already exists."

require_user = finder(USER, _MISSING)


def missing_user(name: str) -> NoSuchEntity:
    """The error for a user who is not there."""
    return NoSuchEntity(_MISSING.format(name))


async def create_user(
    change: DirectoryChange,
    account: Account,
    *,
    name: str,
    path: str = "/",
    boundary_arn: str | None = None,
    tags: Mapping[str, str],
    now: datetime,
) -> User:
    """Make a user.

    Raises:
        EntityAlreadyExists: the name is taken.
        LimitExceeded: the account has too many users.
        NoSuchEntity, InvalidInput: the boundary is not a policy.
    """
    check_path(path)
    if await change.find_user(account.account_id, name) is not None:
        raise _taken(name)
    await require_room(change, account, USER, Quota.USERS)
    if boundary_arn is not None:
        await checked_boundary(change, account.account_id, boundary_arn)
    user = User(
        account=account.account_id,
        user_id=new_unique_id("AIDA"),
        name=name,
        path=path,
        created_at=now,
        tags=tags,
        boundary_arn=boundary_arn,
    )
    await insert(change, USER, user, _TAKEN)
    return user


async def rename_user(
    change: DirectoryChange, user: User, *, name: str | None, path: str | None
) -> User:
    """Give a user another name or path; its unique id and all it owns stay.

    Raises:
        EntityAlreadyExists: the new name is taken.
    """
    renamed = replace(
        user,
        name=user.name if name is None else name,
        path=user.path if path is None else check_path(path),
    )
    if renamed.name.lower() != user.name.lower():
        holder = await change.find_user(user.account, renamed.name)
        if holder is not None:
            raise _taken(renamed.name)
    try:
        await change.update_user(renamed)
    except AlreadyExistsError as error:
        raise _taken(renamed.name) from error
    return renamed


async def delete_user(change: DirectoryChange, user: User) -> None:
    """Remove a user.

    Raises:
        DeleteConflict: it still has policies, keys, a password or groups.
    """
    if await change.list_user_groups(user.account, user.user_id):
        raise DeleteConflict(
            "Cannot delete entity, must remove users from group first."
        )
    await require_no_policies(change, user)
    if await change.list_access_keys(user.account, user.user_id):
        raise DeleteConflict("Cannot delete entity, must delete access keys first.")
    await require_no_credentials(change, user)
    if await change.find_login_profile(user.account, user.user_id) is not None:
        raise DeleteConflict("Cannot delete entity, must delete login profile first.")
    await change.delete_user(user)


def _taken(name: str) -> EntityAlreadyExists:
    return EntityAlreadyExists(f"User with name {name} already exists.")
