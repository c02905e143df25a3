"""Users: ``CreateUser``, ``GetUser``, ``ListUsers``, ``UpdateUser``, ``DeleteUser``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import change, read
from broker.actions.iam.holders import find_user
from broker.actions.iam.last_used import password_last_used
from broker.actions.iam.plain import Plain
from broker.kinds import users
from broker.kinds.accounts import require_account
from broker.kinds.kind import create
from broker.model.arn import iam_arn
from broker.model.entities import User

if TYPE_CHECKING:
    from broker.model.types import iam as types


async def _create_user(
    given: types.CreateUserRequest, call: Call
) -> types.CreateUserResponse:
    return {"User": views.got_user(await create(users.USERS, given, call.work))}


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


async def _views(found: Sequence[User], call: Call) -> list[types.User]:
    ids = [user.user_id for user in found]
    used = await password_last_used(call.directory, call.account, ids)
    return [views.listed_user(user, used.get(user.user_id)) for user in found]


_PLAIN = Plain(users.USERS, _views)

USERS = (
    change("CreateUser", _create_user, on.new("user", "UserName"), on.boundary_asked),
    read("GetUser", _get_user, on.user_or_self),
    read("ListUsers", _PLAIN.list_all, on.all_of("user")),
    change(
        "UpdateUser",
        _PLAIN.update,
        on.user,
        also=on.renamed(users.USERS, "NewUserName"),
    ),
    change("DeleteUser", _PLAIN.delete, on.user),
)
