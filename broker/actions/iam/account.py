"""What an account has one of: its alias, its properties, the regions where STS is off.

AWS has no API for the regions where STS is off: the operations are the names of its two
permissions, which ``iam:*`` includes, and only the console calls them. The account's
option is the one of ``DisabledRegions`` in its template.

Source: Service Authorization Reference, "AWS Identity and Access Management"; IAM User
Guide, "Manage AWS STS in an AWS Region".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from msgspec.structs import replace

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.errors import (
    InvalidInput,
)
from broker.kinds import accounts
from broker.kinds.accounts import (
    ALWAYS_ON,
    DISABLED_REGIONS,
    disabled_regions,
    is_region_name,
    require_account,
    switch_regions,
)
from broker.model.account import Account
from broker.model.request import Params
from broker.stores.directory.accounts import update_account

if TYPE_CHECKING:
    from broker.model.types import iam as types


OPTION = "AccountProperties"
PROPERTIES_MAX = 50
_DISABLED_MAX = 200


async def _get(_given: Params, call: Call) -> types.GetAccountPropertiesResponse:
    account = await require_account(call.directory, call.account)
    return {"Properties": dict(_properties(account))}


async def _put(params: Params, call: Call) -> None:
    account = await require_account(call.change, call.account)
    properties = {**_properties(account), **params["Properties"]}
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


async def _create_alias(params: types.CreateAccountAliasRequest, call: Call) -> None:
    account = await accounts.require_account(call.change, call.account)
    await accounts.set_alias(call.change, account, params["AccountAlias"])


async def _delete_alias(params: types.DeleteAccountAliasRequest, call: Call) -> None:
    account = await accounts.require_account(call.change, call.account)
    await accounts.remove_alias(call.change, account, params["AccountAlias"])


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


class SetStsRegionRequest(TypedDict):
    """The region and its new state."""

    Region: str
    Active: bool


async def _list_regions(_given: Params, call: Call) -> Mapping[str, Any]:
    """``Disabled``: the regions where STS is off."""
    account = await require_account(call.directory, call.account)
    return {"Disabled": disabled_regions(account)}


async def _set_region(params: SetStsRegionRequest, call: Call) -> None:
    region = params["Region"]
    if not is_region_name(region):
        raise InvalidInput("Write a region such as eu-central-1.")
    account = await require_account(call.change, call.account)
    try:
        off = switch_regions(
            account,
            disable=() if params["Active"] else (region,),
            enable=(region,) if params["Active"] else (),
        )
    except ValueError as error:
        raise InvalidInput(f"STS cannot be switched off in {ALWAYS_ON}.") from error
    if len(off) > _DISABLED_MAX:
        raise InvalidInput(f"STS is off in at most {_DISABLED_MAX} regions.")
    options = {**account.options, DISABLED_REGIONS: off}
    await update_account(call.change, replace(account, options=options))


STS_REGIONS = (
    read("ListSTSRegionalEndpointsStatus", _list_regions, on.account),
    replace(
        change("SetSTSRegionalEndpointStatus", _set_region, on.account),
        audited=("Region", "Active"),
    ),
)
