"""The account's alias: ``CreateAccountAlias`` and its companions."""

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.actions.types.iam import (
    CreateAccountAliasRequest,
    DeleteAccountAliasRequest,
    ListAccountAliasesRequest,
    ListAccountAliasesResponse,
)
from broker.identities import accounts


async def _create_alias(given: CreateAccountAliasRequest, call: Call) -> None:
    account = await accounts.require_account(call.change, call.account)
    await accounts.set_alias(call.change, account, given["AccountAlias"])


async def _delete_alias(given: DeleteAccountAliasRequest, call: Call) -> None:
    account = await accounts.require_account(call.change, call.account)
    await accounts.remove_alias(call.change, account, given["AccountAlias"])


async def _list_aliases(
    _given: ListAccountAliasesRequest, call: Call
) -> ListAccountAliasesResponse:
    account = await accounts.require_account(call.directory, call.account)
    aliases = [] if account.alias is None else [account.alias]
    return {"AccountAliases": aliases, "IsTruncated": False}


ACCOUNT_ALIASES = (
    change("CreateAccountAlias", _create_alias, on.account),
    change("DeleteAccountAlias", _delete_alias, on.account),
    read("ListAccountAliases", _list_aliases, on.account),
)
