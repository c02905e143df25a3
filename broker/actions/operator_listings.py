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
        call.directory, call.account, [one.unique_id for one in providers]
    )
    at = {(one.subject, one.action): one.at for one in uses if one.service == PROOFS}
    listed: list[Any] = []
    for one in providers:
        found: dict[str, Any] = {
            **LDAP_PROVIDERS.view(one),
            "Options": json.dumps(shown_options(one.options)),
        }
        if accepted := at.get((one.unique_id, ACCEPTED)):
            found["AcceptedDate"] = accepted
        if refused := at.get((one.unique_id, REFUSED)):
            found["RefusedDate"] = refused
        listed.append(found)
    return {"LDAPProviders": listed}


async def _list_upstreams(
    _given: types.ListUpstreamsRequest, call: Call
) -> types.ListUpstreamsResponse:
    return {
        "Upstreams": [
            {
                "Name": one.name,
                "Definition": one.definition,
                "AccessKeyId": one.access_key_id,
                "CreateDate": one.created_at,
                "UpdateDate": one.updated_at,
            }
            for one in await call.directory.all_of(UPSTREAM, call.account)
        ]
    }


OPERATOR_LISTINGS = (
    read("ListUpstreams", _list_upstreams, everything),
    read("ListLDAPProviders", _list_directories, everything),
)
