"""``GetProviderOptions`` and ``SetProviderOptions``: broker-only options in the console.

These options are the operator's. An account may set them for its own providers where
the operator lets it (``SetProviderOptionsInConsole``), and the caller may update the
provider. Each change is audited, without secrets.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

from broker.actions.action import Action, Call
from broker.actions.signin.identity_providers import (
    OIDC_KIND,
    kind_of,
    provider_needs,
    require_provider,
)
from broker.authz.need import Need
from broker.errors import AccessDenied, InvalidInput
from broker.federation.provider_options import (
    SEALED,
    SECRET,
    Provider,
    check_options,
    known_options,
    option_text,
    read_option,
    shown_options,
)
from broker.identities.account_options import may_set_provider_options
from broker.model.entities import CLIENT_SECRET_SEAL, OidcProvider, SamlProvider
from broker.sessions.vault import Vault
from broker.stores.directory.kinds import ACCOUNT, OIDC_PROVIDER, SAML_PROVIDER

_READ = {"saml": "iam:GetSAMLProvider", "oidc": "iam:GetOpenIDConnectProvider"}
_UPDATE = {
    "saml": "iam:UpdateSAMLProvider",
    # IAM has no action to update such a provider as a whole.
    "oidc": "iam:UpdateOpenIDConnectProviderThumbprint",
}


class GetProviderOptionsRequest(TypedDict):
    """One provider."""

    ProviderArn: str


class SetProviderOptionsRequest(TypedDict):
    """``Options`` are texts by name; an empty one removes the option.

    Those that are left out stay; so does the secret when its text is ``(sealed)``.
    """

    ProviderArn: str
    Options: Mapping[str, str]


class ProviderOptions:
    """The handlers, with what they need."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        return (
            Action(
                service="signin",
                name="GetProviderOptions",
                needs=_may_read,
                handle=_get,
                audited=("ProviderArn",),
            ),
            Action(
                service="signin",
                name="SetProviderOptions",
                needs=_may_update,
                handle=self._set,
                audited=("ProviderArn",),
                writes=True,
            ),
        )

    async def _set(
        self, given: SetProviderOptionsRequest, call: Call
    ) -> Mapping[str, Any]:
        if not await _is_allowed(call):
            raise AccessDenied(
                "The operator has not let this account set its providers' options in"
                " the console."
            )
        provider = await require_provider(given["ProviderArn"], call)
        try:
            changes = self._changes(provider, given["Options"])
            merged = {**provider.options, **changes}
            options = {n: value for n, value in merged.items() if value is not None}
            check_options(provider, options)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        if isinstance(provider, SamlProvider):
            await call.change.update(SAML_PROVIDER, replace(provider, options=options))
        else:
            await call.change.update(OIDC_PROVIDER, replace(provider, options=options))
        call.record.resources = (provider.arn,)
        call.record.parameters = {
            **call.record.parameters,
            "Options": shown_options(changes),
        }
        return {}

    def _changes(
        self, provider: Provider, texts: Mapping[str, str]
    ) -> dict[str, object]:
        """The options that are to be other than they are; None for those removed.

        Raises:
            ValueError: One is unknown or malformed.
        """
        changes: dict[str, object] = {}
        for name, text in texts.items():
            if name == SECRET and text == SEALED:
                continue
            value = read_option(provider, name, text.strip())
            if name == SECRET and value is not None:
                value = self._sealed(provider, str(value))
            if value != provider.options.get(name):
                changes[name] = value
        return changes

    def _sealed(self, provider: Provider, secret: str) -> str:
        if not isinstance(provider, OidcProvider):
            raise TypeError("SAML providers have no client secret")
        purpose, column = CLIENT_SECRET_SEAL
        sealed = self._vault.seal(
            purpose, provider.account, provider.unique_id, column, secret.encode()
        )
        return base64.b64encode(sealed).decode("ascii")


async def _get(given: GetProviderOptionsRequest, call: Call) -> Mapping[str, Any]:
    """``Options``: texts by name, of all that it can have; None if not allowed."""
    provider = await require_provider(given["ProviderArn"], call)
    if not await _is_allowed(call):
        return {"Options": None}
    there = shown_options(provider.options)
    return {
        "Options": {
            name: option_text(there[name]) if name in there else ""
            for name in known_options(provider)
        }
    }


async def _is_allowed(call: Call) -> bool:
    account = await call.directory.find(ACCOUNT, call.account)
    return account is not None and may_set_provider_options(account)


def _kind(arn: str) -> str:
    return "oidc" if kind_of(arn) == OIDC_KIND else "saml"


async def _may_read(given: GetProviderOptionsRequest, call: Call) -> tuple[Need, ...]:
    arn = given["ProviderArn"]
    return await provider_needs(_READ[_kind(arn)], arn, call)


async def _may_update(given: SetProviderOptionsRequest, call: Call) -> tuple[Need, ...]:
    arn = given["ProviderArn"]
    return await provider_needs(_UPDATE[_kind(arn)], arn, call)
