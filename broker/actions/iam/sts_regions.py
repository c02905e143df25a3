"""Where STS is on for the account: shown, and switched by region.

AWS has no API for it either: these are the names of its two permissions, which
``iam:*`` includes, and only the console calls them. The account's option is the one
of ``DisabledRegions`` in its template.

Source: Service Authorization Reference, "AWS Identity and Access Management";
IAM User Guide, "Manage AWS STS in an AWS Region".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.errors import InvalidInput
from broker.kinds.account_options import (
    ALWAYS_ON,
    DISABLED_REGIONS,
    disabled_regions,
    is_region_name,
    switch_regions,
)
from broker.kinds.accounts import require_account
from broker.model.request import Given
from broker.stores.directory.accounts import update_account

_DISABLED_MAX = 200


class SetStsRegionRequest(TypedDict):
    """The region and its new state."""

    Region: str
    Active: bool


async def _list(_given: Given, call: Call) -> Mapping[str, Any]:
    """``Disabled``: the regions where STS is off."""
    account = await require_account(call.directory, call.account)
    return {"Disabled": disabled_regions(account)}


async def _set(given: SetStsRegionRequest, call: Call) -> None:
    region = given["Region"]
    if not is_region_name(region):
        raise InvalidInput("Write a region such as eu-central-1.")
    account = await require_account(call.change, call.account)
    try:
        off = switch_regions(
            account,
            disable=() if given["Active"] else (region,),
            enable=(region,) if given["Active"] else (),
        )
    except ValueError as error:
        raise InvalidInput(f"STS cannot be switched off in {ALWAYS_ON}.") from error
    if len(off) > _DISABLED_MAX:
        raise InvalidInput(f"STS is off in at most {_DISABLED_MAX} regions.")
    options = {**account.options, DISABLED_REGIONS: off}
    await update_account(call.change, replace(account, options=options))


STS_REGIONS = (
    read("ListSTSRegionalEndpointsStatus", _list, on.account),
    replace(
        change("SetSTSRegionalEndpointStatus", _set, on.account),
        audited=("Region", "Active"),
    ),
)
