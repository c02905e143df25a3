"""Users: ``CreateUser``, ``GetUser``, ``ListUsers``, ``UpdateUser``, ``DeleteUser``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import change, read
from broker.actions.iam.holders import find_user
from broker.actions.iam.last_used import password_last_used
from broker.actions.iam.paging import page_request, stored_page, truncation
from broker.identities import users
from broker.identities.accounts import require_account
from broker.identities.tags import KeyCase, given_tags
from broker.model.arn import iam_arn

if TYPE_CHECKING:
    from broker.model.types import iam as types


async def _create_user(
    given: types.CreateUserRequest, call: Call
) -> types.CreateUserResponse:
    user = await users.create_user(
        call.change,
        await require_account(call.change, call.account),
        name=given["UserName"],
        path=given.get("Path", "/"),
        boundary_arn=given.get("PermissionsBoundary"),
        tags=given_tags(given.get("Tags", ()), KeyCase.INSENSITIVE),
        now=call.now,
    )
    return {"User": views.got_user(user)}


async def _get_user(given: types.GetUserRequest, call: Call) -> types.GetUserResponse:
    user = await find_user(given, call, call.directory)
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


async def _list_users(
    given: types.ListUsersRequest, call: Call
) -> types.ListUsersResponse:
    page = await stored_page(
        call.directory.list_users(
            call.account, given.get("PathPrefix", "/"), page_request(given)
        )
    )
    used = await password_last_used(
        call.directory, call.account, [user.user_id for user in page.items]
    )
    return {
        "Users": [
            views.listed_user(user, used.get(user.user_id)) for user in page.items
        ],
        **truncation(page),
    }


async def _update_user(given: types.UpdateUserRequest, call: Call) -> None:
    user = await users.require_user(call.change, call.account, given["UserName"])
    await users.rename_user(
        call.change, user, name=given.get("NewUserName"), path=given.get("NewPath")
    )


async def _delete_user(given: types.DeleteUserRequest, call: Call) -> None:
    user = await users.require_user(call.change, call.account, given["UserName"])
    await users.delete_user(call.change, user)


USERS = (
    change(
        "CreateUser",
        _create_user,
        on.new("user", "UserName"),
        on.boundary_asked,
    ),
    read("GetUser", _get_user, on.user_or_self),
    read("ListUsers", _list_users, on.all_of("user")),
    change("UpdateUser", _update_user, on.user, also=on.renamed_user),
    change("DeleteUser", _delete_user, on.user),
)
