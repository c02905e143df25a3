"""Administering identity providers: their health, and why a proof is refused.

The permissions are those of the API's own actions: the permission to read a provider
covers its health and a dry run of its proofs; the permission to update a SAML provider
covers fetching its published metadata. A dry run mints nothing, does not use up the
proof and keeps no copy of it.

The broker options of a provider are the operator's. An account may set them for its
own providers where the operator lets it (``SetProviderOptionsInConsole``), and the caller
may update the provider. Each change is audited, without secrets.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call, Needs, console_action, needing
from broker.actions.iam.targets import named
from broker.errors import AccessDenied, InvalidInput, ValidationError
from broker.kinds.accounts import may_set_provider_options
from broker.kinds.providers import (
    OIDC_PROVIDERS,
    SAML_PROVIDERS,
    require_oidc_provider,
    require_saml_provider,
)
from broker.model.entities import OidcProvider, Role, SamlProvider
from broker.model.sealing import Sealer
from broker.permit.need import Need
from broker.policy import Effect, PolicyKind, PolicyRejected, parse_policy
from broker.proofs.issuer_keys import IssuerKeys, IssuerUnreachableError
from broker.proofs.metadata_refresh import MetadataRefresher
from broker.proofs.proof_dry_run import ProofDryRun
from broker.proofs.provider_health import HealthWatch, ProviderHealth
from broker.proofs.provider_options import (
    OPTIONS_OF,
    STORED,
    ProviderOptions,
    option_text,
    set_options,
    shown_options,
)
from broker.proofs.provider_probe import probe_oidc, probe_saml
from broker.protocols.oidc.rejection import OidcRejected
from broker.stores.directory.identities import list_roles_naming
from broker.stores.directory.kinds import ACCOUNT, OIDC_PROVIDER, SAML_PROVIDER
from broker.stores.directory.reports import list_uses
from broker.stores.directory.stored import Kind
from broker.stores.oidc_sign_ins import OidcSignIns

PROOF_CHARACTERS_MAX = 300_000

SAML_KIND = "saml-provider"
OIDC_KIND = "oidc-provider"
_READ = {SAML_KIND: "iam:GetSAMLProvider", OIDC_KIND: "iam:GetOpenIDConnectProvider"}
_UPDATE = {
    SAML_KIND: "iam:UpdateSAMLProvider",
    # IAM has no action to update such a provider as a whole.
    OIDC_KIND: "iam:UpdateOpenIDConnectProviderThumbprint",
}
_CHECK = {**_READ, SAML_KIND: "iam:UpdateSAMLProvider"}
_SHOWN_CHARACTERS = 2048
_TRUSTING_MAX = 30

Provider = SamlProvider | OidcProvider


class ProviderRequest(TypedDict):
    """One provider."""

    ProviderArn: str


class ListProviderHealthRequest(TypedDict):
    """All providers of a kind: ``saml-provider`` or ``oidc-provider``."""

    Kind: str


class DiagnoseProofRequest(TypedDict):
    """A SAML response (base64 or XML) or a token, and the time to verify it for."""

    ProviderArn: str
    Proof: str
    At: NotRequired[datetime]


class SetProviderOptionsRequest(TypedDict):
    """``Options`` are texts by name; an empty one removes the option.

    Those that are left out stay; so does the secret when its text is ``(sealed)``.
    """

    ProviderArn: str
    Options: Mapping[str, str]


class IdentityProviders:
    """The handlers, with what they need."""

    def __init__(
        self,
        dry_run: ProofDryRun,
        keys: IssuerKeys,
        refresher: MetadataRefresher,
        sealer: Sealer,
        sign_ins: OidcSignIns,
    ) -> None:
        self._trial = dry_run
        self._keys = keys
        self._refresher = refresher
        self._sealer = sealer
        self._watch = HealthWatch(keys, refresher, sign_ins)

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        on, read = ("ProviderArn",), _needing(_READ)
        list_roles = needing(("iam:ListRoles", "role/"))
        return (
            console_action("ListProviderHealth", _may_read_all, self._list, "Kind"),
            console_action("GetProviderHealth", read, self._get, *on),
            console_action("ListTrustingRoles", list_roles, _trusting_roles, *on),
            console_action("CheckProvider", _needing(_CHECK), self._check, *on),
            console_action("ProbeProvider", _may_probe, self._probe, *on),
            console_action("DiagnoseProof", read, self._diagnose, *on, "At"),
            console_action("GetProviderOptions", read, _get_options, *on),
            console_action(
                "SetProviderOptions",
                _needing(_UPDATE),
                self._set_options,
                *on,
                writes=True,
            ),
        )

    async def _list(
        self, params: ListProviderHealthRequest, call: Call
    ) -> Mapping[str, Any]:
        """``Providers`` are pairs of a provider and its `ProviderHealth`."""
        directory, account = call.directory, call.account
        saml = params["Kind"] == SAML_KIND
        kind: Kind[Any] = SAML_PROVIDER if saml else OIDC_PROVIDER
        listed = await directory.all_of(kind, account)
        return {"Providers": await self._healths(kind, listed, call)}

    async def _get(self, params: ProviderRequest, call: Call) -> Mapping[str, Any]:
        """The ``Provider``, its ``Health`` and its broker ``Options``.

        ``MaySetOptions`` says whether the operator lets the account set them.
        """
        provider = await require_provider(params["ProviderArn"], call)
        kind = STORED[type(provider)]
        ((_, health),) = await self._healths(kind, (provider,), call)
        return {
            "Provider": provider,
            "Health": health,
            "Options": _shown(provider.options),
            "MaySetOptions": await _is_allowed(call),
        }

    async def _check(self, params: ProviderRequest, call: Call) -> Mapping[str, Any]:
        """Have keys or metadata fetched now; ``Problem`` is empty when that worked."""
        provider = await require_provider(params["ProviderArn"], call)
        if isinstance(provider, OidcProvider):
            return {"Problem": await self._fetch_keys(provider)}
        if not provider.options.get("MetadataUrl"):
            raise InvalidInput(
                "The operator has set no MetadataUrl for this provider; register its"
                " metadata by hand."
            )
        state = await self._refresher.refresh(provider, insist=True)
        return {"Problem": state.problem}

    async def _probe(self, params: ProviderRequest, call: Call) -> Mapping[str, Any]:
        """``Findings`` on a provider that was just added."""
        provider = await require_provider(params["ProviderArn"], call)
        directory, account = call.directory, call.account
        if isinstance(provider, OidcProvider):
            issuers = await directory.all_of(OIDC_PROVIDER, account)
            return {"Findings": await probe_oidc(provider, issuers, self._keys)}
        others = await directory.all_of(SAML_PROVIDER, account)
        texts = directory.with_documents(SAML_PROVIDER, others)
        return {"Findings": await probe_saml(provider, texts)}

    async def _fetch_keys(self, provider: OidcProvider) -> str:
        try:
            await self._keys.keys_of(provider, ProviderOptions.parse(provider.options))
        except (IssuerUnreachableError, OidcRejected, ValueError) as error:
            return str(error)
        return ""

    async def _diagnose(
        self, params: DiagnoseProofRequest, call: Call
    ) -> Mapping[str, Any]:
        """The ``Outcome`` of trying a proof."""
        proof = params["Proof"].strip()
        if not proof:
            raise ValidationError("Paste the response or the token.")
        if len(proof) > PROOF_CHARACTERS_MAX:
            raise ValidationError("That is too long for a response or a token.")
        provider = await require_provider(params["ProviderArn"], call)
        at = params.get("At") or call.now
        if isinstance(provider, SamlProvider):
            outcome = await self._trial.try_response(provider, proof, at)
        else:
            outcome = await self._trial.try_token(provider, proof, at)
        return {"Provider": provider, "Outcome": outcome}

    async def _set_options(
        self, params: SetProviderOptionsRequest, call: Call
    ) -> Mapping[str, Any]:
        if not await _is_allowed(call):
            raise AccessDenied(
                "The operator has not let this account set its providers' options in"
                " the console."
            )
        provider = await require_provider(params["ProviderArn"], call)
        texts = {name: text.strip() for name, text in params["Options"].items()}
        try:
            changed, said = set_options(provider, texts, self._sealer)
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

    async def _healths(
        self, kind: Kind[Any], providers: tuple[Provider, ...], call: Call
    ) -> list[tuple[Provider, ProviderHealth]]:
        by_id = {provider.unique_id: provider for provider in providers}
        uses = await list_uses(call.directory, call.account, list(by_id))
        return [
            (
                by_id[provider.unique_id],
                await self._watch.of_saml(provider, uses, call.now)
                if isinstance(provider, SamlProvider)
                else await self._watch.of_oidc(provider, uses, call.now),
            )
            async for provider in call.directory.with_documents(kind, providers)
        ]


async def _get_options(params: ProviderRequest, call: Call) -> Mapping[str, Any]:
    """``Options``: texts by name, of all that it can have; None if not allowed."""
    provider = await require_provider(params["ProviderArn"], call)
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


async def _trusting_roles(params: ProviderRequest, call: Call) -> Mapping[str, Any]:
    """``Roles`` whose trust policy names the provider, by name; ``More`` of them."""
    arn = params["ProviderArn"]
    naming = await list_roles_naming(
        call.directory, call.account, arn, _TRUSTING_MAX + 1
    )
    return {
        "Roles": [role for role in naming if _trusts(role, arn)][:_TRUSTING_MAX],
        "More": len(naming) > _TRUSTING_MAX,
    }


def _trusts(role: Role, arn: str) -> bool:
    """Whether the text is in the policy as a principal, and not only in a condition."""
    try:
        document = parse_policy(role.trust_policy, PolicyKind.TRUST)
    except PolicyRejected:
        return False
    return any(
        arn in statement.principals.federated
        for statement in document.statements
        if statement.principals is not None
        and not statement.not_principal
        and statement.effect is Effect.ALLOW
    )


async def require_provider(arn: str, call: Call) -> Provider:
    """The provider.

    Raises:
        NoSuchEntity: there is none.
        InvalidInput: that is not an ARN of a provider of the account.
    """
    if kind_of(arn) == OIDC_KIND:
        return await require_oidc_provider(call.directory, call.account, arn)
    return await require_saml_provider(call.directory, call.account, arn)


def kind_of(arn: str) -> str:
    """Which kind of provider an ARN is of; a SAML provider's for any other text."""
    return OIDC_KIND if f":{OIDC_KIND}/" in arn else SAML_KIND


def _needing(actions: Mapping[str, str]) -> Needs:
    """The permission for an action on the provider, by its kind."""

    async def needs(params: ProviderRequest, call: Call) -> tuple[Need, ...]:
        arn = params["ProviderArn"]
        return await provider_needs(actions[kind_of(arn)], arn, call)

    return needs


async def _may_probe(params: ProviderRequest, call: Call) -> tuple[Need, ...]:
    """The permission to read all providers of the kind, since findings name others."""
    return await _may_read_all({"Kind": kind_of(params["ProviderArn"])}, call)


async def provider_needs(action: str, arn: str, call: Call) -> tuple[Need, ...]:
    """The permission for an action on a provider."""
    if kind_of(arn) == OIDC_KIND:
        target = await named(OIDC_PROVIDERS)({"OpenIDConnectProviderArn": arn}, call)
    else:
        target = await named(SAML_PROVIDERS)({"SAMLProviderArn": arn}, call)
    return (
        Need(
            action=action,
            resource=target.arn,
            account=call.account,
            context=target.context,
        ),
    )


async def _may_read_all(
    params: ListProviderHealthRequest, call: Call
) -> tuple[Need, ...]:
    kind = OIDC_KIND if params["Kind"] == OIDC_KIND else SAML_KIND
    return await needing((_READ[kind], f"{kind}/*"))(params, call)


def _shown(options: Mapping[str, object]) -> dict[str, str]:
    """The operator's options for display, without secrets."""
    return {
        name: _text(value) for name, value in sorted(shown_options(options).items())
    }


def _text(value: object) -> str:
    match value:
        case Mapping():
            text = "; ".join(f"{key}: {_text(item)}" for key, item in value.items())
        case _:
            text = option_text(value)
    return text[:_SHOWN_CHARACTERS]
