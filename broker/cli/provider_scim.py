"""``broker providers scim``, and its tokens: the directory of a provider."""

from typing import TYPE_CHECKING, Any

import typer

from broker.cli import bearer_tokens as tokens
from broker.cli.commands import say_renamed
from broker.cli.operator import (
    AlwaysJsonOption,
    YesOption,
    require_consent,
    with_installation,
)
from broker.cli.providers import ArnArgument, read_account, require_provider
from broker.cli.terminal import say_json
from broker.kinds.bearer_tokens import SCIM_TOKENS, Owner, owning_provider
from broker.proofs.option_types import SUBJECTS
from broker.proofs.provider_options import Provider, ProviderOptions, ScimOptions
from broker.stores.directory.port import DirectoryChange
from broker.stores.directory.provisioning import provisioning_counts

if TYPE_CHECKING:
    from broker.compose.installation import Installation


def scim(arn: ArnArgument, _as_json: AlwaysJsonOption = False) -> None:
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
    _as_json: AlwaysJsonOption = False,
) -> None:
    """Create a SCIM token for a provider's directory, and print it once."""
    if revoke:
        say_renamed("providers scim-token --revoke", "providers revoke-scim-token")
        revoke_scim_token(arn, revoke)
        return
    account = read_account(arn)

    async def get_owner(change: DirectoryChange) -> Owner:
        provider = await require_provider(change, account, arn)
        _require_switched_on(provider)
        return owning_provider(provider)

    async def work(installation: "Installation") -> dict[str, str]:
        made = await tokens.create_token(
            SCIM_TOKENS, installation, get_owner, account, days, address
        )
        address_shown = f"{installation.settings.public_origin}/scim/v2/{account}"
        return {"Address": address_shown, **made}

    say_json(with_installation(work))


def revoke_scim_token(
    arn: ArnArgument,
    token_id: tokens.TokenArgument,
    yes: YesOption = False,
    _as_json: AlwaysJsonOption = False,
) -> None:
    """End a SCIM token of a provider's directory; `providers scim` lists them."""
    account = read_account(arn)
    require_consent(f"The SCIM token {token_id} of {arn} will end.", yes=yes)

    async def get_owner(change: DirectoryChange) -> Owner:
        return owning_provider(await require_provider(change, account, arn))

    say_json(
        with_installation(
            lambda installation: tokens.revoke_token(
                SCIM_TOKENS, installation, get_owner, account, token_id
            )
        )
    )


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
