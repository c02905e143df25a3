"""Groups and who is in them."""

from dataclasses import replace
from datetime import datetime

from broker.entropy import new_unique_id
from broker.errors import DeleteConflict, EntityAlreadyExists, NoSuchEntity
from broker.identities.limits import Quota, require_within
from broker.identities.names import check_path
from broker.identities.owners import require_no_policies
from broker.model.account import Account, AccountId
from broker.model.entities import Group, User
from broker.model.page import PageRequest
from broker.stores.directory.kinds import GROUP
from broker.stores.directory.port import DirectoryChange
from broker.stores.directory.port.groups import GroupChange, GroupReader
from broker.stores.errors import AlreadyExistsError


async def require_group(directory: GroupReader, account: AccountId, name: str) -> Group:
    """A group by name, without regard to case.

    Raises:
        NoSuchEntity: there is none.
    """
    group = await directory.find_group(account, name)
    if group is None:
        raise NoSuchEntity(f"The group with name {name} cannot be found.")
    return group


async def create_group(
    change: GroupChange,
    account: Account,
    *,
    name: str,
    path: str = "/",
    now: datetime,
) -> Group:
    """Make a group.

    Raises:
        EntityAlreadyExists: the name is taken.
        LimitExceeded: the account has too many groups.
    """
    check_path(path)
    if await change.find_group(account.account_id, name) is not None:
        raise _taken(name)
    count = await change.count(GROUP, account.account_id)
    require_within(account, Quota.GROUPS, count + 1)
    group = Group(
        account=account.account_id,
        group_id=new_unique_id("AGPA"),
        name=name,
        path=path,
        created_at=now,
    )
    try:
        await change.insert_group(group)
    except AlreadyExistsError as error:
        raise _taken(name) from error
    return group


async def rename_group(
    change: GroupChange, group: Group, *, name: str | None, path: str | None
) -> Group:
    """Give a group another name or path; its unique id, members and policies stay.

    Raises:
        EntityAlreadyExists: the new name is taken.
    """
    renamed = replace(
        group,
        name=group.name if name is None else name,
        path=group.path if path is None else check_path(path),
    )
    try:
        await change.update_group(renamed)
    except AlreadyExistsError as error:
        raise _taken(renamed.name) from error
    return renamed


async def delete_group(change: DirectoryChange, group: Group) -> None:
    """Remove a group.

    Raises:
        DeleteConflict: it still has users or policies.
    """
    one = PageRequest(None, 1)
    if (await change.list_group_users(group.account, group.group_id, one)).items:
        raise DeleteConflict(
            "Cannot delete entity, must remove users from group first."
        )
    await require_no_policies(change, group)
    await change.delete_group(group)


async def add_user(
    change: GroupChange, account: Account, group: Group, user: User
) -> None:
    """Put a user into a group; one that is in it stays.

    Raises:
        LimitExceeded: the user is in as many groups as it may be.
    """
    groups = await change.list_user_groups(user.account, user.user_id)
    if group in groups:
        return
    require_within(account, Quota.GROUPS_PER_USER, len(groups) + 1)
    await change.add_member(user.account, group.group_id, user.user_id)


def _taken(name: str) -> EntityAlreadyExists:
    return EntityAlreadyExists(f"Group with name {name} already exists.")
