"""SAML providers: create, get, list, update, delete."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.actions.iam.plain import Plain
from broker.kinds import kind as rules
from broker.kinds import providers
from broker.model.sealing import Sealer
from broker.runtime.offload import offload_long

if TYPE_CHECKING:
    from broker.model.types import iam as types


def saml_provider_actions(
    sealer: Sealer, http_hosts: Collection[str]
) -> tuple[Action, ...]:
    """The actions on SAML providers.

    ``sealer`` keeps decryption keys; ``http_hosts`` are the ``host[:port]`` whose
    endpoints in metadata may be plain http.
    """
    plain = Plain(providers.saml_providers(sealer))

    async def create(
        given: types.CreateSAMLProviderRequest, call: Call
    ) -> types.CreateSAMLProviderResponse:
        made = await rules.create(plain.of, given, call.work)
        answer: types.CreateSAMLProviderResponse = {"SAMLProviderArn": made.arn}
        if made.tags:
            # In the order of the request, unlike everywhere else.
            answer["Tags"] = [{"Key": k, "Value": v} for k, v in made.tags.items()]
        return answer

    async def update(
        given: types.UpdateSAMLProviderRequest, call: Call
    ) -> types.UpdateSAMLProviderResponse:
        await plain.update(given, call)
        return {"SAMLProviderArn": given["SAMLProviderArn"]}

    async def check(text: str, options: Mapping[str, object], now: datetime) -> None:
        await offload_long(
            len(text),
            lambda: providers.check_metadata(text, options, http_hosts, now),
        )

    async def check_new(given: types.CreateSAMLProviderRequest, call: Call) -> None:
        await check(given["SAMLMetadataDocument"], {}, call.now)

    async def check_changed(given: types.UpdateSAMLProviderRequest, call: Call) -> None:
        if "SAMLMetadataDocument" not in given:
            return
        provider = await plain.find(given, call)
        await check(given["SAMLMetadataDocument"], provider.options, call.now)

    on_it = on.named(plain.of)
    return (
        change(
            "CreateSAMLProvider",
            create,
            on.new_saml_provider,
            unsupported=("ContextProvider", "IdentityCenterInstanceArn"),
            prepare=check_new,
            calls=10,
        ),
        read("GetSAMLProvider", plain.get, on_it),
        read("ListSAMLProviders", _list_providers, on.any_provider("saml-provider")),
        change(
            "UpdateSAMLProvider",
            update,
            on_it,
            unsupported=(
                "ContextProvider",
                "IdentityCenterInstanceArn",
                "RemoveContextProvider",
                "RemoveIdentityCenterInstance",
            ),
            prepare=check_changed,
            calls=10,
        ),
        change("DeleteSAMLProvider", plain.delete, on_it),
    )


async def _list_providers(
    _given: types.ListSAMLProvidersRequest, call: Call
) -> types.ListSAMLProvidersResponse:
    return {
        "SAMLProviderList": [
            {
                "Arn": provider.arn,
                "ValidUntil": provider.valid_until,
                "CreateDate": provider.created_at,
            }
            for provider in await call.directory.all_of(_PLAIN.of.kind, call.account)
        ]
    }


_PLAIN = Plain(providers.SAML_PROVIDERS)
