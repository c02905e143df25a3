"""Access keys: ``CreateAccessKey``, ``ListAccessKeys``, updates, deletion.

Without ``UserName`` they are about the caller's own keys, root's included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.actions.iam.holders import find_user
from broker.actions.iam.paging import cut, page_request, truncation
from broker.errors import InvalidInput
from broker.kinds import access_keys
from broker.kinds.accounts import require_account
from broker.model import entities
from broker.model.request import Given
from broker.model.sealing import Sealer
from broker.stores.directory.kinds import ACCESS_KEY

if TYPE_CHECKING:
    from broker.model.types import iam as types


def access_key_actions(sealer: Sealer) -> tuple[Action, ...]:
    """The actions on access keys; ``sealer`` keeps the secrets."""

    async def create(
        given: types.CreateAccessKeyRequest, call: Call
    ) -> types.CreateAccessKeyResponse:
        account = await require_account(call.change, call.account)
        user = await find_user(given, call, call.change)
        key, secret = await access_keys.create_access_key(
            call.change,
            account,
            user.user_id if user else None,
            sealer=sealer,
            now=call.now,
        )
        view = {**_view(key, user), "SecretAccessKey": secret.reveal()}
        return {"AccessKey": cast("types.AccessKey", view)}

    return (
        change("CreateAccessKey", create, on.user_or_self),
        read("ListAccessKeys", _list_keys, on.user_or_self),
        change("UpdateAccessKey", _update_key, on.user_or_self),
        change("DeleteAccessKey", _delete_key, on.user_or_self),
    )


async def _list_keys(
    given: types.ListAccessKeysRequest, call: Call
) -> types.ListAccessKeysResponse:
    user = await find_user(given, call, call.directory)
    keys = await call.directory.all_of(
        ACCESS_KEY, call.account, user_id=user.user_id if user else None
    )
    page = cut(keys, lambda key: key.access_key_id, page_request(given))
    return {
        "AccessKeyMetadata": [_view(key, user) for key in page.items],
        **truncation(page),
    }


async def _update_key(given: types.UpdateAccessKeyRequest, call: Call) -> None:
    key = await _require_key(given, call)
    try:
        status = entities.KeyStatus(given["Status"])
    except ValueError as error:
        raise InvalidInput("Only Active and Inactive can be set.") from error
    await access_keys.set_key_status(call.change, key, status)


async def _delete_key(given: types.DeleteAccessKeyRequest, call: Call) -> None:
    await call.change.remove(ACCESS_KEY, await _require_key(given, call))


async def _require_key(given: Given, call: Call) -> entities.AccessKey:
    user = await find_user(given, call, call.change)
    return await access_keys.require_access_key(
        call.change, call.account, user.user_id if user else None, given["AccessKeyId"]
    )


def _view(
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
