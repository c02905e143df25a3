"""``broker providers scim`` and ``scim-token``: the directory of a provider."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli import bearer_tokens as tokens
from broker.cli.operator import with_installation
from broker.cli.providers import read_account, require_provider
from broker.cli.terminal import say_json
from broker.kinds.bearer_tokens import SCIM_TOKENS, Owner, owning_provider
from broker.proofs.option_types import SUBJECTS
from broker.proofs.provider_options import Provider, ProviderOptions, ScimOptions
from broker.stores.directory.port import DirectoryChange
from broker.stores.directory.provisioning import provisioning_counts

if TYPE_CHECKING:
    from broker.compose.installation import Installation

ArnArgument = Annotated[str, typer.Argument(metavar="ARN", help="The provider.")]


def scim(arn: ArnArgument) -> None:
    """Show a provider's SCIM address, tokens, and how many people and groups it has."""
    account = read_account(arn)

    async def work(installation: "Installation") -> dict[str, Any]:
        directory = installation.stores.directory
        provider = await require_provider(directory, account, arn)
        options, owner = find_scim_options(provider), owning_provider(provider)
        counts = await provisioning_counts(directory, account, provider.unique_id)
        return {
            "Provider": arn,
            "Address": f"{installation.settings.public_origin}/scim/v2/{account}",
            "SwitchedOn": options is not None,
            "Users": counts.users,
            "Inactive": counts.inactive,
            "Groups": counts.groups,
            "Tokens": await tokens.described_tokens(SCIM_TOKENS, directory, owner),
        }

    say_json(with_installation(work), indent=2)


def scim_token(
    arn: ArnArgument,
    days: tokens.DaysOption = SCIM_TOKENS.default,
    address: tokens.AddressOption = None,
    revoke: tokens.RevokeOption = "",
) -> None:
    """Create a SCIM token for a provider's directory, and print it once."""
    account = read_account(arn)

    async def get_owner(change: DirectoryChange) -> Owner:
        provider = await require_provider(change, account, arn)
        if not revoke:
            _require_switched_on(provider)
        return owning_provider(provider)

    async def work(installation: "Installation") -> dict[str, str]:
        made = await tokens.change_tokens(
            SCIM_TOKENS, installation, get_owner, account, days, address, revoke
        )
        address_shown = f"{installation.settings.public_origin}/scim/v2/{account}"
        return made if revoke else {"Address": address_shown, **made}

    say_json(with_installation(work))


def find_scim_options(provider: Provider) -> ScimOptions | None:
    """The provider's SCIM options; None where it is switched off.

    Raises:
        BadParameter: they are malformed.
    """
    try:
        return ProviderOptions.parse(provider.options).scim
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _require_switched_on(provider: Provider) -> None:
    if find_scim_options(provider) is None:
        raise typer.BadParameter(
            "SCIM is switched off for this provider; first: broker providers set"
            f" {provider.arn} ScimSubject={'|'.join(SUBJECTS)}"
        )
