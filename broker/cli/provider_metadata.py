"""``broker providers refresh``: fetch a SAML provider's published metadata now."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.operator import with_services
from broker.cli.providers import find_account, require_provider
from broker.cli.terminal import say
from broker.federation.refresh_state import RefreshState
from broker.model.entities import SamlProvider

if TYPE_CHECKING:
    from broker.services import Services


def refresh(arn: Annotated[str, typer.Argument(metavar="ARN")]) -> None:
    """Fetch the metadata at a provider's MetadataUrl now, and show the result."""
    account = find_account(arn)

    async def work(services: "Services") -> RefreshState:
        provider = await require_provider(services.stores.directory, account, arn)
        if not isinstance(provider, SamlProvider) or not provider.options.get(
            "MetadataUrl"
        ):
            raise typer.BadParameter(
                f"{arn} has no MetadataUrl; set it: broker providers set {arn}"
                " MetadataUrl=…"
            )
        return await services.metadata_refresher.refresh(provider, insist=True)

    state = with_services(work)
    say(
        json.dumps(
            {
                "Url": state.url,
                "Problem": state.problem,
                "ReadAt": state.attempted_at.isoformat(),
                "ChangedAt": state.changed_at.isoformat() if state.changed_at else None,
                "NextAt": state.next_at.isoformat(),
            }
        )
    )
    if state.problem:
        raise typer.Exit(1)
