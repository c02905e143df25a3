"""``GetProviderOptions`` and ``SetProviderOptions``: broker-only options in the console.

These options are the operator's. An account may set them for its own providers where
the operator lets it (``SetProviderOptionsInConsole``), and the caller may update the
provider. Each change is audited, without secrets.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from broker.actions.action import Action, Call
from broker.actions.signin.identity_providers import (
    OIDC_KIND,
    SAML_KIND,
    kind_of,
    may_read_provider,
    provider_needs,
    require_provider,
)
from broker.authz.need import Need
from broker.errors import AccessDenied, InvalidInput
from broker.federation.provider_options import (
    OPTIONS_OF,
    STORED,
    option_text,
    set_options,
    shown_options,
)
from broker.identities.account_options import may_set_provider_options
from broker.model.sealing import Sealer
from broker.stores.directory.kinds import ACCOUNT

_UPDATE = {
    SAML_KIND: "iam:UpdateSAMLProvider",
    # IAM has no action to update such a provider as a whole.
    OIDC_KIND: "iam:UpdateOpenIDConnectProviderThumbprint",
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

    def __init__(self, vault: Sealer) -> None:
        self._vault = vault

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        return (
            Action(
                service="signin",
                name="GetProviderOptions",
                needs=may_read_provider,
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
        texts = {name: text.strip() for name, text in given["Options"].items()}
        try:
            changed, said = set_options(provider, texts, self._vault)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        await call.change.update(STORED[type(changed)], changed)
        call.record.resources = (provider.arn,)
        changes = {n: v for n, v in said.items() if v != provider.options.get(n)}
        call.record.parameters = {
            **call.record.parameters,
            "Options": shown_options(changes),
        }
        return {}


async def _get(given: GetProviderOptionsRequest, call: Call) -> Mapping[str, Any]:
    """``Options``: texts by name, of all that it can have; None if not allowed."""
    provider = await require_provider(given["ProviderArn"], call)
    if not await _is_allowed(call):
        return {"Options": None}
    there = shown_options(provider.options)
    return {
        "Options": {
            name: option_text(there[name]) if name in there else ""
            for name in OPTIONS_OF[type(provider)]
        }
    }


async def _is_allowed(call: Call) -> bool:
    account = await call.directory.find(ACCOUNT, call.account)
    return account is not None and may_set_provider_options(account)


async def _may_update(given: SetProviderOptionsRequest, call: Call) -> tuple[Need, ...]:
    arn = given["ProviderArn"]
    return await provider_needs(_UPDATE[kind_of(arn)], arn, call)
