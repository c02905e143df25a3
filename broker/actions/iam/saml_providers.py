"""SAML providers: create, get, list, update, delete."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import change, read
from broker.identities import saml_providers
from broker.identities.accounts import require_account
from broker.identities.tags import KeyCase, checked_tags
from broker.model.entities import EncryptionMode
from broker.model.sealing import Sealer
from broker.offload import offload_long

if TYPE_CHECKING:
    from broker.model.types import iam as types


def saml_provider_actions(
    sealer: Sealer, http_hosts: Collection[str]
) -> tuple[Action, ...]:
    """The actions on SAML providers.

    ``sealer`` keeps decryption keys; ``http_hosts`` are the ``host[:port]`` whose
    endpoints in metadata may be plain http.
    """

    async def create(
        given: types.CreateSAMLProviderRequest, call: Call
    ) -> types.CreateSAMLProviderResponse:
        tags = checked_tags(views.given_tags(given.get("Tags", ())), KeyCase.SENSITIVE)
        provider = await saml_providers.create_saml_provider(
            call.change,
            await require_account(call.change, call.account),
            name=given["Name"],
            metadata=given["SAMLMetadataDocument"],
            encryption_mode=EncryptionMode(
                given.get("AssertionEncryptionMode", EncryptionMode.ALLOWED)
            ),
            private_key=given.get("AddPrivateKey"),
            sealer=sealer,
            tags=tags,
            options={},
            now=call.now,
        )
        answer: types.CreateSAMLProviderResponse = {"SAMLProviderArn": provider.arn}
        if tags:
            # In the order of the request, unlike everywhere else.
            answer["Tags"] = [{"Key": k, "Value": v} for k, v in tags.items()]
        return answer

    async def update(
        given: types.UpdateSAMLProviderRequest, call: Call
    ) -> types.UpdateSAMLProviderResponse:
        provider = await saml_providers.require_saml_provider(
            call.change, call.account, given["SAMLProviderArn"]
        )
        await saml_providers.update_saml_provider(
            call.change,
            provider,
            metadata=given.get("SAMLMetadataDocument"),
            encryption_mode=_mode(given.get("AssertionEncryptionMode")),
            add_private_key=given.get("AddPrivateKey"),
            remove_private_key=given.get("RemovePrivateKey"),
            sealer=sealer,
            now=call.now,
        )
        return {"SAMLProviderArn": provider.arn}

    async def check(text: str, options: Mapping[str, object], now: datetime) -> None:
        await offload_long(
            len(text),
            lambda: saml_providers.check_metadata(text, options, http_hosts, now),
        )

    async def check_new(given: types.CreateSAMLProviderRequest, call: Call) -> None:
        await check(given["SAMLMetadataDocument"], {}, call.now)

    async def check_changed(given: types.UpdateSAMLProviderRequest, call: Call) -> None:
        if "SAMLMetadataDocument" not in given:
            return
        provider = await saml_providers.require_saml_provider(
            call.directory, call.account, given["SAMLProviderArn"]
        )
        await check(given["SAMLMetadataDocument"], provider.options, call.now)

    return (
        change(
            "CreateSAMLProvider",
            create,
            on.new_saml_provider,
            unsupported=("ContextProvider", "IdentityCenterInstanceArn"),
            prepare=check_new,
            calls=10,
        ),
        read("GetSAMLProvider", _get_provider, on.saml_provider),
        read("ListSAMLProviders", _list_providers, on.any_provider("saml-provider")),
        change(
            "UpdateSAMLProvider",
            update,
            on.saml_provider,
            unsupported=(
                "ContextProvider",
                "IdentityCenterInstanceArn",
                "RemoveContextProvider",
                "RemoveIdentityCenterInstance",
            ),
            prepare=check_changed,
            calls=10,
        ),
        change("DeleteSAMLProvider", _delete_provider, on.saml_provider),
    )


async def _get_provider(
    given: types.GetSAMLProviderRequest, call: Call
) -> types.GetSAMLProviderResponse:
    provider = await saml_providers.require_saml_provider(
        call.directory, call.account, given["SAMLProviderArn"]
    )
    return {
        "SAMLProviderUUID": provider.uuid,
        "SAMLMetadataDocument": provider.metadata,
        "CreateDate": provider.created_at,
        "ValidUntil": provider.valid_until,
        "Tags": views.tag_list(provider.tags),
        "AssertionEncryptionMode": provider.encryption_mode.value,
        "PrivateKeyList": [
            {"KeyId": key.key_id, "Timestamp": key.created_at}
            for key in provider.private_keys
        ],
    }


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
            for provider in await call.directory.list_saml_providers(call.account)
        ]
    }


async def _delete_provider(given: types.DeleteSAMLProviderRequest, call: Call) -> None:
    provider = await saml_providers.require_saml_provider(
        call.change, call.account, given["SAMLProviderArn"]
    )
    await call.change.delete_saml_provider(provider)


def _mode(text: str | None) -> EncryptionMode | None:
    return None if text is None else EncryptionMode(text)
