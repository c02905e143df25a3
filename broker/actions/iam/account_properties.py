"""An account's properties: names and values that the account keeps for itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.errors import InvalidInput
from broker.kinds.accounts import require_account
from broker.model.account import Account
from broker.model.request import Given
from broker.stores.directory.accounts import update_account

if TYPE_CHECKING:
    from broker.model.types import iam as types

OPTION = "AccountProperties"
PROPERTIES_MAX = 50


async def _get(_given: Given, call: Call) -> types.GetAccountPropertiesResponse:
    account = await require_account(call.directory, call.account)
    return {"Properties": dict(_properties(account))}


async def _put(given: Given, call: Call) -> None:
    account = await require_account(call.change, call.account)
    properties = {**_properties(account), **given["Properties"]}
    if len(properties) > PROPERTIES_MAX:
        raise InvalidInput(f"An account has at most {PROPERTIES_MAX} properties.")
    await update_account(
        call.change, replace(account, options={**account.options, OPTION: properties})
    )


def _properties(account: Account) -> Mapping[str, str]:
    kept = account.options.get(OPTION)
    if not isinstance(kept, Mapping):
        return {}
    return {str(name): str(value) for name, value in kept.items()}


ACCOUNT_PROPERTIES = (
    read("GetAccountProperties", _get, on.account),
    change("PutAccountProperties", _put, on.account),
)
