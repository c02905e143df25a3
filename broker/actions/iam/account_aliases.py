"""The account's alias: ``CreateAccountAlias`` and its companions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.kinds import accounts

if TYPE_CHECKING:
    from broker.model.types import iam as types


async def _create_alias(given: types.CreateAccountAliasRequest, call: Call) -> None:
    account = await accounts.require_account(call.change, call.account)
    await accounts.set_alias(call.change, account, given["AccountAlias"])


async def _delete_alias(given: types.DeleteAccountAliasRequest, call: Call) -> None:
    account = await accounts.require_account(call.change, call.account)
    await accounts.remove_alias(call.change, account, given["AccountAlias"])


async def _list_aliases(
    _given: types.ListAccountAliasesRequest, call: Call
) -> types.ListAccountAliasesResponse:
    account = await accounts.require_account(call.directory, call.account)
    aliases = [] if account.alias is None else [account.alias]
    return {"AccountAliases": aliases, "IsTruncated": False}


ACCOUNT_ALIASES = (
    change("CreateAccountAlias", _create_alias, on.account),
    change("DeleteAccountAlias", _delete_alias, on.account),
    read("ListAccountAliases", _list_aliases, on.account),
)
