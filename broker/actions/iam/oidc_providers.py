"""OpenID Connect providers: create, get, list, client ids, thumbprints, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.actions.iam.plain import Plain
from broker.errors import InvalidInput, NoSuchEntity
from broker.kinds import kind as rules
from broker.kinds.providers import OIDC_PROVIDERS, IsInternal, with_issuers

if TYPE_CHECKING:
    from broker.model.types import iam as types

_PLAIN = Plain(OIDC_PROVIDERS)
_ON = on.named(OIDC_PROVIDERS)


def oidc_provider_actions(is_internal: IsInternal) -> tuple[Action, ...]:
    """The actions on OpenID Connect providers."""
    issuers = with_issuers(is_internal)

    async def create(
        given: types.CreateOpenIDConnectProviderRequest, call: Call
    ) -> types.CreateOpenIDConnectProviderResponse:
        made = await rules.create(issuers, given, call.work)
        answer: types.CreateOpenIDConnectProviderResponse = {
            "OpenIDConnectProviderArn": made.arn
        }
        if made.tags:
            answer["Tags"] = [{"Key": k, "Value": v} for k, v in made.tags.items()]
        return answer

    return (
        change(
            "CreateOpenIDConnectProvider",
            create,
            on.new_oidc_provider,
            unsupported=("ContextProvider", "IdentityCenterInstanceArn"),
        ),
        *_OTHERS,
    )


async def _list_providers(
    _given: types.ListOpenIDConnectProvidersRequest, call: Call
) -> types.ListOpenIDConnectProvidersResponse:
    providers = await call.directory.all_of(OIDC_PROVIDERS.kind, call.account)
    return {"OpenIDConnectProviderList": [{"Arn": one.arn} for one in providers]}


async def _add_client_id(
    given: types.AddClientIDToOpenIDConnectProviderRequest, call: Call
) -> None:
    there = (await _PLAIN.find(given, call)).client_ids
    await _PLAIN.update({**given, "ClientIDList": (*there, given["ClientID"])}, call)


async def _remove_client_id(
    given: types.RemoveClientIDFromOpenIDConnectProviderRequest, call: Call
) -> None:
    there = (await _PLAIN.find(given, call)).client_ids
    clients = [client for client in there if client != given["ClientID"]]
    await _PLAIN.update({**given, "ClientIDList": clients}, call)


async def _update_thumbprints(
    given: types.UpdateOpenIDConnectProviderThumbprintRequest, call: Call
) -> None:
    await _PLAIN.find(given, call)
    if not given["ThumbprintList"]:
        raise InvalidInput("Thumbprint list must contain at least one entry.")
    await _PLAIN.update(given, call)


async def _delete_provider(
    given: types.DeleteOpenIDConnectProviderRequest, call: Call
) -> None:
    try:
        await _PLAIN.delete(given, call)
    except NoSuchEntity as error:
        arn = given["OpenIDConnectProviderArn"]
        raise NoSuchEntity(f"OpenId connect Provider {arn} cannot be found.") from error


_OTHERS = (
    read("GetOpenIDConnectProvider", _PLAIN.get, _ON),
    read(
        "ListOpenIDConnectProviders", _list_providers, on.any_provider("oidc-provider")
    ),
    change("AddClientIDToOpenIDConnectProvider", _add_client_id, _ON),
    change("RemoveClientIDFromOpenIDConnectProvider", _remove_client_id, _ON),
    change("UpdateOpenIDConnectProviderThumbprint", _update_thumbprints, _ON),
    change("DeleteOpenIDConnectProvider", _delete_provider, _ON),
)
