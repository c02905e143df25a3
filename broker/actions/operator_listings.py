"""What only the operator makes, as the account's administrators see it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from broker.actions.action import Call
from broker.actions.decisions.declare import everything, read
from broker.kinds.providers import LDAP_PROVIDERS
from broker.model.uses import ACCEPTED, PROOFS, REFUSED
from broker.proofs.provider_options import shown_options
from broker.stores.directory.kinds import UPSTREAM
from broker.stores.directory.reports import list_uses

if TYPE_CHECKING:
    from broker.model.types import broker as types


async def _list_directories(
    _given: types.ListLDAPProvidersRequest, call: Call
) -> types.ListLDAPProvidersResponse:
    providers = await call.directory.all_of(LDAP_PROVIDERS.kind, call.account)
    uses = await list_uses(
        call.directory,
        call.account,
        [ldap_provider.unique_id for ldap_provider in providers],
    )
    at = {(use.subject, use.action): use.at for use in uses if use.service == PROOFS}
    listed: list[Any] = []
    for provider in providers:
        results: dict[str, Any] = {
            **LDAP_PROVIDERS.view(provider),
            "Options": json.dumps(shown_options(provider.options)),
        }
        if accepted := at.get((provider.unique_id, ACCEPTED)):
            results["AcceptedDate"] = accepted
        if refused := at.get((provider.unique_id, REFUSED)):
            results["RefusedDate"] = refused
        listed.append(results)
    return {"LDAPProviders": listed}


async def _list_upstreams(
    _given: types.ListUpstreamsRequest, call: Call
) -> types.ListUpstreamsResponse:
    return {
        "Upstreams": [
            {
                "Name": upstream.name,
                "Definition": upstream.definition,
                "AccessKeyId": upstream.access_key_id,
                "CreateDate": upstream.created_at,
                "UpdateDate": upstream.updated_at,
            }
            async for upstream in call.directory.with_documents(
                UPSTREAM, await call.directory.all_of(UPSTREAM, call.account)
            )
        ]
    }


OPERATOR_LISTINGS = (
    read("ListUpstreams", _list_upstreams, everything),
    read("ListLDAPProviders", _list_directories, everything),
)
