"""OpenID Connect providers: create, get, list, client ids, thumbprints, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import change, read
from broker.identities import oidc_providers
from broker.identities.accounts import require_account
from broker.identities.oidc_providers import IsInternal
from broker.identities.tags import KeyCase, checked_tags

if TYPE_CHECKING:
    from broker.model.types import iam as types


def oidc_provider_actions(is_internal: IsInternal) -> tuple[Action, ...]:
    """The actions on OpenID Connect providers."""

    async def create(
        given: types.CreateOpenIDConnectProviderRequest, call: Call
    ) -> types.CreateOpenIDConnectProviderResponse:
        thumbprints = given.get("ThumbprintList", ())
        tags = checked_tags(views.given_tags(given.get("Tags", ())), KeyCase.SENSITIVE)
        provider = await oidc_providers.create_oidc_provider(
            call.change,
            await require_account(call.change, call.account),
            url=given["Url"],
            client_ids=given.get("ClientIDList", ()),
            thumbprints=thumbprints,
            tags=tags,
            options={},
            is_internal=is_internal,
            now=call.now,
        )
        answer: types.CreateOpenIDConnectProviderResponse = {
            "OpenIDConnectProviderArn": provider.arn
        }
        if tags:
            answer["Tags"] = [{"Key": k, "Value": v} for k, v in tags.items()]
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


async def _get_provider(
    given: types.GetOpenIDConnectProviderRequest, call: Call
) -> types.GetOpenIDConnectProviderResponse:
    provider = await oidc_providers.require_oidc_provider(
        call.directory, call.account, given["OpenIDConnectProviderArn"]
    )
    return {
        "Url": provider.host_and_path,
        "ClientIDList": list(provider.client_ids),
        "ThumbprintList": list(provider.thumbprints),
        "CreateDate": provider.created_at,
        "Tags": views.tag_list(provider.tags),
    }


async def _list_providers(
    _given: types.ListOpenIDConnectProvidersRequest, call: Call
) -> types.ListOpenIDConnectProvidersResponse:
    providers = await call.directory.list_oidc_providers(call.account)
    return {
        "OpenIDConnectProviderList": [{"Arn": provider.arn} for provider in providers]
    }


async def _add_client_id(
    given: types.AddClientIDToOpenIDConnectProviderRequest, call: Call
) -> None:
    provider = await oidc_providers.require_oidc_provider(
        call.change, call.account, given["OpenIDConnectProviderArn"]
    )
    await oidc_providers.set_client_ids(
        call.change,
        await require_account(call.change, call.account),
        provider,
        (*provider.client_ids, given["ClientID"]),
    )


async def _remove_client_id(
    given: types.RemoveClientIDFromOpenIDConnectProviderRequest, call: Call
) -> None:
    provider = await oidc_providers.require_oidc_provider(
        call.change, call.account, given["OpenIDConnectProviderArn"]
    )
    await oidc_providers.set_client_ids(
        call.change,
        await require_account(call.change, call.account),
        provider,
        [client for client in provider.client_ids if client != given["ClientID"]],
    )


async def _update_thumbprints(
    given: types.UpdateOpenIDConnectProviderThumbprintRequest, call: Call
) -> None:
    provider = await oidc_providers.require_oidc_provider(
        call.change, call.account, given["OpenIDConnectProviderArn"]
    )
    await oidc_providers.set_thumbprints(call.change, provider, given["ThumbprintList"])


async def _delete_provider(
    given: types.DeleteOpenIDConnectProviderRequest, call: Call
) -> None:
    await oidc_providers.delete_oidc_provider(
        call.change, call.account, given["OpenIDConnectProviderArn"]
    )


_OTHERS = (
    read("GetOpenIDConnectProvider", _get_provider, on.oidc_provider),
    read(
        "ListOpenIDConnectProviders", _list_providers, on.any_provider("oidc-provider")
    ),
    change("AddClientIDToOpenIDConnectProvider", _add_client_id, on.oidc_provider),
    change(
        "RemoveClientIDFromOpenIDConnectProvider", _remove_client_id, on.oidc_provider
    ),
    change(
        "UpdateOpenIDConnectProviderThumbprint", _update_thumbprints, on.oidc_provider
    ),
    change("DeleteOpenIDConnectProvider", _delete_provider, on.oidc_provider),
)
