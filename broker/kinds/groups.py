"""Groups, and the users in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import DeleteConflict, EntityAlreadyExists
from broker.kinds.limits import Quota, require_within
from broker.kinds.names import require_path
from broker.kinds.owners import require_no_policies
from broker.kinds.rules import Named, Work, renaming
from broker.model.account import Account
from broker.model.entities import Group, User
from broker.model.page import PageRequest
from broker.runtime.entropy import new_unique_id
from broker.stores.directory.identities import (
    add_member,
    list_group_users,
    list_user_groups,
)
from broker.stores.directory.kinds import GROUP
from broker.stores.directory.port import DirectoryChange, DirectoryReader

if TYPE_CHECKING:
    from broker.model.types import iam as types


async def _make_group(params: types.CreateGroupRequest, work: Work) -> Group:
    group = Group(
        account=work.account,
        group_id=new_unique_id("AGPA"),
        name=params["GroupName"],
        path=require_path(params.get("Path", "/")),
        created_at=work.now,
    )
    if await work.change.named(GROUP, work.account, group.name) is not None:
        raise EntityAlreadyExists(GROUPS.taken.format(group))
    return group


def _group_view(group: Group) -> types.Group:
    return {
        "Path": group.path,
        "GroupName": group.name,
        "GroupId": group.group_id,
        "Arn": group.arn,
        "CreateDate": group.created_at,
    }


async def _check_group(group: Group, directory: DirectoryReader) -> None:
    """Refuse to remove a group that has something."""
    request = PageRequest(None, 1)
    if (
        await list_group_users(directory, group.account, group.group_id, request)
    ).items:
        raise DeleteConflict(
            "Cannot delete entity, must remove users from group first."
        )
    await require_no_policies(directory, group)


GROUPS = Named(
    kind=GROUP,
    quota=Quota.GROUPS,
    make=_make_group,
    change=renaming("NewGroupName"),
    view=_group_view,
    check_removal=_check_group,
    missing="The group with name {} cannot be found.",
    taken="Group with name {0.name} already exists.",
    name="GroupName",
    resource="group",
    one="Group",
    many="Groups",
    shown="group",
)


require_group = GROUPS.require


async def add_user(
    change: DirectoryChange, account: Account, group: Group, user: User
) -> None:
    """Put a user into a group; one that is in it stays.

    Raises:
        LimitExceeded: the user is in as many groups as it may be.
    """
    groups = await list_user_groups(change, user.account, user.user_id)
    if group in groups:
        return
    require_within(account, Quota.GROUPS_PER_USER, len(groups) + 1)
    await add_member(change, user.account, group.group_id, user.user_id)
