"""Users, groups, and who is in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import change, read
from broker.actions.iam.holders import find_user
from broker.actions.iam.paging import listed, page_request, truncation
from broker.actions.iam.plain import Plain
from broker.actions.iam.views import password_last_used
from broker.kinds import groups, users
from broker.kinds.accounts import require_account
from broker.kinds.rules import create
from broker.kinds.tags import KeyCase
from broker.kinds.users import require_user
from broker.model.arn import iam_arn
from broker.model.entities import Group, User
from broker.model.request import Params
from broker.stores.directory.identities import (
    list_group_users,
    list_user_groups,
    remove_member,
)

if TYPE_CHECKING:
    from broker.model.types import iam as types


async def _create_user(
    params: types.CreateUserRequest, call: Call
) -> types.CreateUserResponse:
    return {"User": views.got_user(await create(users.USERS, params, call.work))}


async def _get_user(params: types.GetUserRequest, call: Call) -> types.GetUserResponse:
    user = await find_user(params, call, call.directory)
    if user is None:
        return {"User": await _root(call)}
    used = await password_last_used(call.directory, call.account, [user.user_id])
    return {"User": views.got_user(user, used.get(user.user_id))}


async def _root(call: Call) -> types.User:
    """The root user, which has neither a path nor a name."""
    account = await require_account(call.directory, call.account)
    root = {
        "UserId": account.account_id,
        "Arn": iam_arn(account.account_id, "root"),
        "CreateDate": account.created_at.replace(microsecond=0),
    }
    return cast("types.User", root)


async def _views(stored_users: Sequence[User], call: Call) -> list[types.User]:
    ids = [user.user_id for user in stored_users]
    used = await password_last_used(call.directory, call.account, ids)
    return [views.listed_user(user, used.get(user.user_id)) for user in stored_users]


_PLAIN = Plain(users.USERS, _views, case=KeyCase.INSENSITIVE)

USERS = (
    change("CreateUser", _create_user, on.new("user", "UserName"), on.boundary_asked),
    read("GetUser", _get_user, on.user_or_self),
    *_PLAIN.operations("ListUsers", "UpdateUser", "DeleteUser"),
    *_PLAIN.operations("TagUser", "UntagUser", "ListUserTags"),
)


async def _get_group(
    params: types.GetGroupRequest, call: Call
) -> types.GetGroupResponse:
    group = await groups.require_group(
        call.directory, call.account, params["GroupName"]
    )
    page = await list_group_users(
        call.directory, call.account, group.group_id, page_request(params)
    )
    used = await password_last_used(
        call.directory, call.account, [user.user_id for user in page.items]
    )
    return {
        "Group": groups.GROUPS.view(group),
        "Users": [
            views.listed_user(user, used.get(user.user_id)) for user in page.items
        ],
        **truncation(page),
    }


async def _list_groups_for_user(
    params: types.ListGroupsForUserRequest, call: Call
) -> dict[str, Any]:
    user = await require_user(call.directory, call.account, params["UserName"])
    own = await list_user_groups(call.directory, call.account, user.user_id)
    view = groups.GROUPS.view
    return listed("Groups", own, lambda group: group.name.lower(), params, view)


async def _add_user(params: types.AddUserToGroupRequest, call: Call) -> None:
    user, group = await _user_and_group(params, call)
    await groups.add_user(
        call.change, await require_account(call.change, call.account), group, user
    )


async def _remove_user(params: types.RemoveUserFromGroupRequest, call: Call) -> None:
    user, group = await _user_and_group(params, call)
    # Removing a user who is not a member is not an error: the requested state holds.
    await remove_member(call.change, call.account, group.group_id, user.user_id)


async def _user_and_group(params: Params, call: Call) -> tuple[User, Group]:
    """Both must be there; AWS looks for the user first."""
    user = await require_user(call.change, call.account, params["UserName"])
    group = await groups.require_group(call.change, call.account, params["GroupName"])
    return user, group


GROUPS = (
    *Plain(groups.GROUPS).operations(
        "CreateGroup", "ListGroups", "UpdateGroup", "DeleteGroup"
    ),
    read("GetGroup", _get_group, on.group),
    read("ListGroupsForUser", _list_groups_for_user, on.user),
    change("AddUserToGroup", _add_user, on.group),
    change("RemoveUserFromGroup", _remove_user, on.group),
)
