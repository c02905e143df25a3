"""Outbound web identity federation of an account, and which tokens STS issues."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec.structs import replace

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.errors import (
    FeatureDisabled,
    FeatureEnabled,
)
from broker.kinds.accounts import (
    TOKEN_VERSION,
    require_account,
)
from broker.kinds.outbound import (
    Outbound,
    find_outbound,
    first_keys,
    issuer_of,
    with_outbound,
)
from broker.model.account import AccountId
from broker.model.request import Params
from broker.model.sealing import Sealer
from broker.stores.directory.accounts import update_account

if TYPE_CHECKING:
    from broker.model.types import iam as types


def outbound_federation_actions(
    sealer: Sealer, public_origin: str
) -> tuple[Action, ...]:
    """The switch of outbound federation, and the token version of an account."""

    async def make_keys(_given: Params, call: Call) -> Outbound | None:
        account = await require_account(call.directory, call.account)
        if find_outbound(account) is not None:
            return None
        keys = await asyncio.to_thread(first_keys, call.account, sealer, call.now)
        return Outbound(enabled=False, keys=keys)

    async def enable(
        _given: Params, call: Call
    ) -> types.EnableOutboundWebIdentityFederationResponse:
        account = await require_account(call.change, call.account)
        outbound = find_outbound(account) or _prepared(call)
        if outbound.enabled:
            raise FeatureEnabled(
                "Outbound identity federation is already enabled for account"
                f" {call.account}"
            )
        await update_account(
            call.change, with_outbound(account, replace(outbound, enabled=True))
        )
        return {"IssuerIdentifier": issuer_of(public_origin, call.account)}

    async def info(
        _given: Params, call: Call
    ) -> types.GetOutboundWebIdentityFederationInfoResponse:
        account = await require_account(call.directory, call.account)
        outbound = find_outbound(account)
        if outbound is None or not outbound.enabled:
            raise _disabled(call.account)
        return {
            "IssuerIdentifier": issuer_of(public_origin, call.account),
            "JwtVendingEnabled": True,
        }

    return (
        change(
            "EnableOutboundWebIdentityFederation", enable, on.account, prepare=make_keys
        ),
        change("DisableOutboundWebIdentityFederation", _disable, on.account),
        read("GetOutboundWebIdentityFederationInfo", info, on.account),
        change("SetSecurityTokenServicePreferences", _prefer, on.account),
    )


async def _disable(_given: Params, call: Call) -> None:
    account = await require_account(call.change, call.account)
    outbound = find_outbound(account)
    if outbound is None or not outbound.enabled:
        raise _disabled(call.account)
    await update_account(
        call.change, with_outbound(account, replace(outbound, enabled=False))
    )


async def _prefer(
    params: types.SetSecurityTokenServicePreferencesRequest, call: Call
) -> None:
    """Only stored and shown: the broker's tokens are valid in every region."""
    account = await require_account(call.change, call.account)
    version = params["GlobalEndpointTokenVersion"]
    options = {**account.options, TOKEN_VERSION: version}
    await update_account(call.change, replace(account, options=options))


def _prepared(call: Call) -> Outbound:
    if not isinstance(call.prepared, Outbound):
        raise TypeError("the keys were not prepared")
    return call.prepared


def _disabled(account: AccountId) -> FeatureDisabled:
    return FeatureDisabled(
        f"Outbound identity federation is disabled for account {account}"
    )
