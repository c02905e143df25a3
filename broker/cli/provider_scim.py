"""``broker providers scim`` and ``scim-token``: the directory of a provider."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.operator import operator_entry, require_known, with_installation
from broker.cli.providers import find_account, require_provider
from broker.cli.terminal import say_json
from broker.federation.option_types import SUBJECTS
from broker.federation.provider_options import Provider, ProviderOptions, ScimOptions
from broker.federation.scim import provider_id_of
from broker.identities import scim_tokens
from broker.identities.bearer_tokens import DAYS
from broker.model.account import AccountId
from broker.stores.directory.port import DirectoryChange
from broker.stores.directory.provisioning import provisioning_counts

if TYPE_CHECKING:
    from broker.installation import Installation

ArnArgument = Annotated[str, typer.Argument(metavar="ARN", help="The provider.")]


def scim(arn: ArnArgument) -> None:
    """Show a provider's SCIM address, tokens, and how many people and groups it has."""
    account = find_account(arn)

    async def work(installation: "Installation") -> dict[str, Any]:
        directory = installation.stores.directory
        provider = await require_provider(directory, account, arn)
        options = find_scim_options(provider)
        counts = await provisioning_counts(directory, account, provider_id_of(provider))
        tokens = await scim_tokens.tokens_of(
            directory, account, provider_id_of(provider)
        )
        return {
            "Provider": arn,
            "Address": f"{installation.settings.public_origin}/scim/v2/{account}",
            "SwitchedOn": options is not None,
            "Users": counts.users,
            "Inactive": counts.inactive,
            "Groups": counts.groups,
            "Tokens": [
                {
                    "TokenId": token.token_id,
                    "Expires": token.expires_at.isoformat(),
                    "Addresses": list(token.addresses),
                }
                for token in tokens
            ],
        }

    say_json(with_installation(work), indent=2)


def scim_token(
    arn: ArnArgument,
    days: Annotated[int, typer.Option(help="How many days it is valid.")] = DAYS,
    address: Annotated[
        list[str] | None,
        typer.Option(
            help="A network it may be used from, such as 10.0.0.0/8; repeatable."
        ),
    ] = None,
    revoke: Annotated[
        str, typer.Option(metavar="TOKEN_ID", help="Revoke this token instead.")
    ] = "",
) -> None:
    """Create a SCIM token for a provider's directory, and print it once."""
    account = find_account(arn)

    async def work(installation: "Installation") -> dict[str, Any]:
        async with installation.stores.directory.change(account) as change:
            known = await require_known(change, account)
            provider = await require_provider(change, account, arn)
            provider_id = provider_id_of(provider)
            if revoke:
                await scim_tokens.delete_token(change, account, provider_id, revoke)
                await _record(change, "DeleteScimToken", arn, account, TokenId=revoke)
                return {"Revoked": revoke}
            _require_switched_on(provider)
            made, secret = await scim_tokens.create_token(
                change,
                known,
                provider_id=provider_id,
                provider_arn=provider.arn,
                days=days,
                addresses=address or (),
                now=installation.clock.now().replace(microsecond=0),
            )
            await _record(
                change,
                "CreateScimToken",
                arn,
                account,
                TokenId=made.token_id,
                Days=days,
                Addresses=list(made.addresses),
            )
        return {
            "Address": f"{installation.settings.public_origin}/scim/v2/{account}",
            "TokenId": made.token_id,
            "Token": secret.reveal(),
            "Expires": made.expires_at.isoformat(),
        }

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


async def _record(
    change: DirectoryChange,
    action: str,
    arn: str,
    account: AccountId,
    **shown: object,
) -> None:
    entry = operator_entry(action, account, ProviderArn=arn, **shown)
    entry.resources = (arn,)
    await change.record(entry.complete())
