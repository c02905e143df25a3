"""Access keys of users. Without ``UserName`` they are the caller's own, root's included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.actions.iam.holders import find_user
from broker.actions.iam.paging import listed
from broker.errors import InvalidInput
from broker.kinds import access_keys
from broker.kinds.accounts import require_account
from broker.model import entities
from broker.model.request import Params
from broker.model.sealing import Sealer
from broker.stores.directory.kinds import ACCESS_KEY

if TYPE_CHECKING:
    from broker.model.types import iam as types


def access_key_actions(sealer: Sealer) -> tuple[Action, ...]:
    """The actions on access keys; ``sealer`` keeps the secrets."""

    async def create(
        params: types.CreateAccessKeyRequest, call: Call
    ) -> types.CreateAccessKeyResponse:
        account = await require_account(call.change, call.account)
        user = await find_user(params, call, call.change)
        key, secret = await access_keys.create_access_key(
            call.change,
            account,
            user.user_id if user else None,
            sealer=sealer,
            now=call.now,
        )
        view = {**_access_key(key, user), "SecretAccessKey": secret.reveal()}
        return {"AccessKey": cast("types.AccessKey", view)}

    return (
        change("CreateAccessKey", create, on.user_or_self),
        read("ListAccessKeys", _list_access_keys, on.user_or_self),
        change("UpdateAccessKey", _update_key, on.user_or_self),
        change("DeleteAccessKey", _delete_key, on.user_or_self),
    )


async def _list_access_keys(
    params: types.ListAccessKeysRequest, call: Call
) -> dict[str, Any]:
    user = await find_user(params, call, call.directory)
    keys = await call.directory.all_of(
        ACCESS_KEY, call.account, user_id=user.user_id if user else None
    )
    return listed(
        "AccessKeyMetadata",
        keys,
        lambda key: key.access_key_id,
        params,
        lambda key: _access_key(key, user),
    )


async def _update_key(params: types.UpdateAccessKeyRequest, call: Call) -> None:
    key = await _require_key(params, call)
    try:
        status = entities.KeyStatus(params["Status"])
    except ValueError as error:
        raise InvalidInput("Only Active and Inactive can be set.") from error
    await call.change.update(ACCESS_KEY, replace(key, status=status))


async def _delete_key(params: types.DeleteAccessKeyRequest, call: Call) -> None:
    await call.change.remove(ACCESS_KEY, await _require_key(params, call))


async def _require_key(params: Params, call: Call) -> entities.AccessKey:
    user = await find_user(params, call, call.change)
    return await access_keys.require_access_key(
        call.change, call.account, user.user_id if user else None, params["AccessKeyId"]
    )


def _access_key(
    key: entities.AccessKey, user: entities.User | None
) -> types.AccessKeyMetadata:
    """A key without its secret; root's has no user name."""
    view: types.AccessKeyMetadata = {
        "AccessKeyId": key.access_key_id,
        "Status": key.status.value,
        "CreateDate": key.created_at,
    }
    if user is not None:
        view["UserName"] = user.name
    return view
