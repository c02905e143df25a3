"""Groups: their making, their members, and the groups of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import change, read
from broker.actions.iam.last_used import password_last_used
from broker.actions.iam.paging import cut, page_request, stored_page, truncation
from broker.actions.iam.plain import Plain
from broker.kinds import users
from broker.kinds.accounts import require_account
from broker.kinds.users import require_user
from broker.model.entities import Group, User
from broker.model.request import Given
from broker.stores.directory.groups import (
    list_group_users,
    list_user_groups,
    remove_member,
)

if TYPE_CHECKING:
    from broker.model.types import iam as types


async def _get_group(
    given: types.GetGroupRequest, call: Call
) -> types.GetGroupResponse:
    group = await users.require_group(call.directory, call.account, given["GroupName"])
    page = await stored_page(
        list_group_users(
            call.directory, call.account, group.group_id, page_request(given)
        )
    )
    used = await password_last_used(
        call.directory, call.account, [user.user_id for user in page.items]
    )
    return {
        "Group": users.GROUPS.view(group),
        "Users": [
            views.listed_user(user, used.get(user.user_id)) for user in page.items
        ],
        **truncation(page),
    }


async def _list_groups_for_user(
    given: types.ListGroupsForUserRequest, call: Call
) -> types.ListGroupsForUserResponse:
    user = await require_user(call.directory, call.account, given["UserName"])
    found = await list_user_groups(call.directory, call.account, user.user_id)
    page = cut(found, lambda group: group.name.lower(), page_request(given))
    return {
        "Groups": [users.GROUPS.view(group) for group in page.items],
        **truncation(page),
    }


async def _add_user(given: types.AddUserToGroupRequest, call: Call) -> None:
    user, group = await _user_and_group(given, call)
    await users.add_user(
        call.change, await require_account(call.change, call.account), group, user
    )


async def _remove_user(given: types.RemoveUserFromGroupRequest, call: Call) -> None:
    user, group = await _user_and_group(given, call)
    # Removing a user who is not a member is not an error: the requested state holds.
    await remove_member(call.change, call.account, group.group_id, user.user_id)


async def _user_and_group(given: Given, call: Call) -> tuple[User, Group]:
    """Both must be there; AWS looks for the user first."""
    user = await require_user(call.change, call.account, given["UserName"])
    group = await users.require_group(call.change, call.account, given["GroupName"])
    return user, group


_PLAIN = Plain(users.GROUPS)

GROUPS = (
    change("CreateGroup", _PLAIN.create, on.new("group", "GroupName")),
    read("GetGroup", _get_group, on.group),
    read("ListGroups", _PLAIN.list_all, on.all_of("group")),
    read("ListGroupsForUser", _list_groups_for_user, on.user),
    change(
        "UpdateGroup",
        _PLAIN.update,
        on.group,
        also=on.renamed(users.GROUPS, "NewGroupName"),
    ),
    change("DeleteGroup", _PLAIN.delete, on.group),
    change("AddUserToGroup", _add_user, on.group),
    change("RemoveUserFromGroup", _remove_user, on.group),
)
