"""``broker providers refresh``: fetch what a provider publishes now."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from broker.cli.operator import AlwaysJsonOption, with_services
from broker.cli.providers import ArnArgument, read_account, require_provider
from broker.cli.terminal import say
from broker.model.entities import OidcProvider, SamlProvider
from broker.proofs.issuer_keys import IssuerUnreachableError
from broker.proofs.provider_options import ProviderOptions
from broker.protocols.oidc.discovery import discovery_url
from broker.protocols.oidc.rejection import OidcRejected

if TYPE_CHECKING:
    from broker.compose.services import Services


def refresh(arn: ArnArgument, _as_json: AlwaysJsonOption = False) -> None:
    """Fetch a provider's metadata (SAML) or keys now, and show the result."""
    account = read_account(arn)

    async def work(services: "Services") -> Mapping[str, object]:
        provider = await require_provider(services.stores.directory, account, arn)
        if isinstance(provider, OidcProvider):
            return await _refresh_keys(services, provider)
        if not isinstance(provider, SamlProvider) or not provider.options.get(
            "MetadataUrl"
        ):
            raise typer.BadParameter(
                f"{arn} has no MetadataUrl; set it: broker providers set {arn}"
                " MetadataUrl=…"
            )
        state = await services.metadata_refresher.refresh(provider, insist=True)
        return {
            "Url": state.url,
            "Problem": state.problem,
            "ReadAt": state.attempted_at.isoformat(),
            "ChangedAt": _text(state.changed_at),
            "NextAt": state.next_at.isoformat(),
        }

    outcome = with_services(work)
    say(json.dumps(outcome))
    if outcome["Problem"]:
        raise typer.Exit(1)


async def _refresh_keys(
    services: "Services", provider: OidcProvider
) -> Mapping[str, object]:
    """Fetch an issuer's keys; every worker uses them within a second."""
    options = ProviderOptions.parse(provider.options)
    if options.static_jwks:
        raise typer.BadParameter(
            f"{provider.arn} has StaticJwks: nothing is fetched. Set the new keys instead"
        )
    problem = ""
    try:
        await services.issuer_keys.refresh(provider, options)
    except (IssuerUnreachableError, OidcRejected) as error:
        problem = str(error)
    known = await services.issuer_keys.known_of(provider, options)
    return {
        "Url": discovery_url(provider.url),
        "Problem": problem,
        "ReadAt": _text(known.fetched_at),
        "Keys": sorted(known.keys.keys) if known.keys else [],
    }


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
