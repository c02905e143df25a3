"""Groups, who is in them, and login profiles."""

from collections.abc import Collection, Mapping

from sqlalchemy import select

from broker.model.account import AccountId
from broker.model.entities import Group, User
from broker.model.page import Page, PageRequest
from broker.stores.directory.kinds import GROUP, USER
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.schema import GROUP_MEMBERS, GROUPS, USERS


async def list_group_users(
    directory: DirectoryReader, account: AccountId, group_id: str, page: PageRequest
) -> Page[User]:
    """The users in a group, by name."""
    statement = (
        select(USERS)
        .join(GROUP_MEMBERS, GROUP_MEMBERS.c.user_id == USERS.c.user_id)
        .where(GROUP_MEMBERS.c.account == account, GROUP_MEMBERS.c.group_id == group_id)
    )
    return await directory.page(statement, page, USERS.c.name_key, USER.stored.read)


async def list_user_groups(
    directory: DirectoryReader, account: AccountId, user_id: str
) -> tuple[Group, ...]:
    """All groups that a user is in, by name."""
    return (await list_memberships(directory, account, (user_id,))).get(user_id, ())


async def list_memberships(
    directory: DirectoryReader, account: AccountId, user_ids: Collection[str]
) -> Mapping[str, tuple[Group, ...]]:
    """The groups of several users, by name; users without any are left out."""
    columns = GROUP_MEMBERS.c
    return await directory.grouped(
        select(GROUPS)
        .join(GROUP_MEMBERS, columns.group_id == GROUPS.c.group_id)
        .where(columns.account == account)
        .order_by(GROUPS.c.name_key),
        columns.user_id,
        user_ids,
        GROUP.stored.read,
    )


async def add_member(
    change: DirectoryChange, account: AccountId, group_id: str, user_id: str
) -> bool:
    """Whether the user was not in the group before."""
    values = {"group_id": group_id, "user_id": user_id, "account": account}
    return await change.insert_if_free(GROUP_MEMBERS, values)


async def remove_member(
    change: DirectoryChange, account: AccountId, group_id: str, user_id: str
) -> bool:
    """Whether the user was in the group."""
    removed = await change.delete_by(
        GROUP_MEMBERS, account=account, group_id=group_id, user_id=user_id
    )
    return removed > 0
