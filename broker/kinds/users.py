"""Users of an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.errors import DeleteConflict, EntityAlreadyExists, NoSuchEntity, about
from broker.kinds.limits import Quota
from broker.kinds.names import require_path
from broker.kinds.owners import checked_boundary, require_no_policies
from broker.kinds.rules import Named, Work, renaming
from broker.kinds.tags import KeyCase, given_tags
from broker.kinds.user_credentials import require_no_credentials
from broker.model.entities import User
from broker.model.names import fold_name
from broker.runtime.entropy import new_unique_id
from broker.stores.directory.identities import (
    list_user_groups,
)
from broker.stores.directory.kinds import ACCESS_KEY, LOGIN_PROFILE, USER
from broker.stores.directory.port import DirectoryReader

if TYPE_CHECKING:
    from broker.model.types import iam as types


_MISSING = "The user with name {} cannot be found."
_TAKEN = "User with name {0.name} already exists."


async def _make(params: types.CreateUserRequest, work: Work) -> User:
    tags = given_tags(params.get("Tags", ()), KeyCase.INSENSITIVE)
    boundary_arn = params.get("PermissionsBoundary")
    user = User(
        account=work.account,
        user_id=new_unique_id("AIDA"),
        name=params["UserName"],
        path=require_path(params.get("Path", "/")),
        created_at=work.now,
        tags=tags,
        boundary_arn=boundary_arn,
    )
    await _require_free(user, work)
    await work.require_room(USER, Quota.USERS)
    if boundary_arn is not None:
        with about("PermissionsBoundary"):
            await checked_boundary(work.change, work.account, boundary_arn)
    return user


async def _change(user: User, params: types.UpdateUserRequest, work: Work) -> User:
    """With another name or path; its unique id and all it owns stay."""
    renamed: User = await renaming("NewUserName")(user, params, work)
    if fold_name(renamed.name) != fold_name(user.name):
        await _require_free(renamed, work)
    return renamed


async def _require_free(user: User, work: Work) -> None:
    if await work.change.named(USER, work.account, user.name) is not None:
        raise EntityAlreadyExists(_TAKEN.format(user))


def _view(user: User) -> types.User:
    return {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.user_id,
        "Arn": user.arn,
        "CreateDate": user.created_at,
    }


async def _check_user(user: User, directory: DirectoryReader) -> None:
    """Refuse to remove a user that has something."""
    if await list_user_groups(directory, user.account, user.user_id):
        raise DeleteConflict(
            "Cannot delete entity, must remove users from group first."
        )
    await require_no_policies(directory, user)
    if await directory.all_of(ACCESS_KEY, user.account, user_id=user.user_id):
        raise DeleteConflict("Cannot delete entity, must delete access keys first.")
    await require_no_credentials(directory, user)
    if await directory.find(LOGIN_PROFILE, user.account, user.user_id) is not None:
        raise DeleteConflict("Cannot delete entity, must delete login profile first.")


USERS = Named(
    kind=USER,
    quota=None,
    make=_make,
    change=_change,
    view=_view,
    check_removal=_check_user,
    missing=_MISSING,
    taken=_TAKEN,
    name="UserName",
    resource="user",
    one="User",
    many="Users",
    shown="user",
)
require_user = USERS.require


def missing_user(name: str) -> NoSuchEntity:
    """The error for a user who is not there."""
    return NoSuchEntity(_MISSING.format(name))
