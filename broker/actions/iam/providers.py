"""SAML and OpenID Connect providers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.actions.iam.plain import Plain
from broker.errors import InvalidInput, NoSuchEntity
from broker.kinds import providers, rules
from broker.kinds.providers import OIDC_PROVIDERS, IsInternal, with_issuers
from broker.model.sealing import Sealer
from broker.runtime.offload import offload_long

if TYPE_CHECKING:
    from broker.model.types import iam as types

_SAML = Plain(providers.SAML_PROVIDERS)
_OIDC = Plain(OIDC_PROVIDERS)
_ON = on.named(OIDC_PROVIDERS)


def saml_provider_actions(
    sealer: Sealer, http_hosts: Collection[str]
) -> tuple[Action, ...]:
    """The actions on SAML providers.

    ``sealer`` keeps decryption keys; ``http_hosts`` are the ``host[:port]`` whose
    endpoints in metadata may be plain http.
    """
    plain = Plain(providers.saml_providers(sealer))

    async def create(
        params: types.CreateSAMLProviderRequest, call: Call
    ) -> types.CreateSAMLProviderResponse:
        made = await rules.create(plain.of, params, call.work)
        answer: types.CreateSAMLProviderResponse = {"SAMLProviderArn": made.arn}
        if made.tags:
            # In the order of the request, unlike everywhere else.
            answer["Tags"] = [{"Key": k, "Value": v} for k, v in made.tags.items()]
        return answer

    async def update(
        params: types.UpdateSAMLProviderRequest, call: Call
    ) -> types.UpdateSAMLProviderResponse:
        await plain.update(params, call)
        return {"SAMLProviderArn": params["SAMLProviderArn"]}

    async def check(text: str, options: Mapping[str, object], now: datetime) -> None:
        await offload_long(
            len(text),
            lambda: providers.check_metadata(text, options, http_hosts, now),
        )

    async def check_new(params: types.CreateSAMLProviderRequest, call: Call) -> None:
        await check(params["SAMLMetadataDocument"], {}, call.now)

    async def check_changed(
        params: types.UpdateSAMLProviderRequest, call: Call
    ) -> None:
        if "SAMLMetadataDocument" not in params:
            return
        provider = await plain.find(params, call)
        await check(params["SAMLMetadataDocument"], provider.options, call.now)

    return (
        change(
            "CreateSAMLProvider",
            create,
            on.new_saml_provider,
            unsupported=("ContextProvider", "IdentityCenterInstanceArn"),
            prepare=check_new,
            calls=10,
        ),
        *plain.operations("GetSAMLProvider", "DeleteSAMLProvider"),
        *plain.operations(
            "TagSAMLProvider", "UntagSAMLProvider", "ListSAMLProviderTags"
        ),
        read("ListSAMLProviders", _list_saml, on.any_provider("saml-provider")),
        change(
            "UpdateSAMLProvider",
            update,
            on.named(plain.of),
            unsupported=(
                "ContextProvider",
                "IdentityCenterInstanceArn",
                "RemoveContextProvider",
                "RemoveIdentityCenterInstance",
            ),
            prepare=check_changed,
            calls=10,
        ),
    )


async def _list_saml(
    _given: types.ListSAMLProvidersRequest, call: Call
) -> types.ListSAMLProvidersResponse:
    return {
        "SAMLProviderList": [
            {
                "Arn": provider.arn,
                "ValidUntil": provider.valid_until,
                "CreateDate": provider.created_at,
            }
            for provider in await call.directory.all_of(_SAML.of.kind, call.account)
        ]
    }


def oidc_provider_actions(is_internal: IsInternal) -> tuple[Action, ...]:
    """The actions on OpenID Connect providers."""
    issuers = with_issuers(is_internal)

    async def create(
        params: types.CreateOpenIDConnectProviderRequest, call: Call
    ) -> types.CreateOpenIDConnectProviderResponse:
        made = await rules.create(issuers, params, call.work)
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


async def _list_oidc(
    _given: types.ListOpenIDConnectProvidersRequest, call: Call
) -> types.ListOpenIDConnectProvidersResponse:
    providers = await call.directory.all_of(OIDC_PROVIDERS.kind, call.account)
    return {
        "OpenIDConnectProviderList": [{"Arn": provider.arn} for provider in providers]
    }


async def _add_client_id(
    params: types.AddClientIDToOpenIDConnectProviderRequest, call: Call
) -> None:
    there = (await _OIDC.find(params, call)).client_ids
    await _OIDC.update({**params, "ClientIDList": (*there, params["ClientID"])}, call)


async def _remove_client_id(
    params: types.RemoveClientIDFromOpenIDConnectProviderRequest, call: Call
) -> None:
    there = (await _OIDC.find(params, call)).client_ids
    clients = [client for client in there if client != params["ClientID"]]
    await _OIDC.update({**params, "ClientIDList": clients}, call)


async def _update_thumbprints(
    params: types.UpdateOpenIDConnectProviderThumbprintRequest, call: Call
) -> None:
    await _OIDC.find(params, call)
    if not params["ThumbprintList"]:
        raise InvalidInput("Thumbprint list must contain at least one entry.")
    await _OIDC.update(params, call)


async def _delete_provider(
    params: types.DeleteOpenIDConnectProviderRequest, call: Call
) -> None:
    try:
        await _OIDC.delete(params, call)
    except NoSuchEntity as error:
        arn = params["OpenIDConnectProviderArn"]
        raise NoSuchEntity(f"OpenId connect Provider {arn} cannot be found.") from error


_OTHERS = (
    *_OIDC.operations(
        "GetOpenIDConnectProvider",
        "TagOpenIDConnectProvider",
        "UntagOpenIDConnectProvider",
        "ListOpenIDConnectProviderTags",
    ),
    read("ListOpenIDConnectProviders", _list_oidc, on.any_provider("oidc-provider")),
    change("AddClientIDToOpenIDConnectProvider", _add_client_id, _ON),
    change("RemoveClientIDFromOpenIDConnectProvider", _remove_client_id, _ON),
    change("UpdateOpenIDConnectProviderThumbprint", _update_thumbprints, _ON),
    change("DeleteOpenIDConnectProvider", _delete_provider, _ON),
)
