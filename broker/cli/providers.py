"""``broker providers``: identity providers and their broker options."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.commands import CommandApp, CommandPlace, lazy_group
from broker.cli.operator import (
    AccountOption,
    AlwaysJsonOption,
    JsonOption,
    record_change,
    with_installation,
)
from broker.cli.terminal import say_entries, say_json
from broker.errors import NoSuchEntity
from broker.model.account import AccountId, parse_account_id
from broker.model.entities import LdapProvider, OidcProvider, SamlProvider
from broker.proofs.provider_options import (
    OPTIONS_OF,
    STORED,
    Provider,
    find_provider,
    set_options,
    shown_options,
)
from broker.runtime.spelling import suggest
from broker.stores.directory.accounts import list_everywhere
from broker.stores.directory.port import DirectoryReader

if TYPE_CHECKING:
    from broker.compose.installation import Installation

_MORE = {
    "show": CommandPlace(
        "broker.cli.provider_setup",
        "show",
        "Show a provider, and what to configure at the identity provider.",
    ),
    "test": CommandPlace(
        "broker.cli.provider_proofs",
        "try_proof",
        "Test a proof: show what was found, what was expected and what to change.",
    ),
    "scim": CommandPlace(
        "broker.cli.provider_scim",
        "scim",
        "Show a provider's SCIM address, tokens, and how many people and groups it has.",
    ),
    "scim-token": CommandPlace(
        "broker.cli.provider_scim",
        "scim_token",
        "Create a SCIM token for a provider's directory, and print it once.",
    ),
    "revoke-scim-token": CommandPlace(
        "broker.cli.provider_scim",
        "revoke_scim_token",
        "End a SCIM token of a provider's directory; `providers scim` lists them.",
    ),
    "refresh": CommandPlace(
        "broker.cli.provider_metadata",
        "refresh",
        "Fetch a provider's metadata (SAML) or keys now, and show the result.",
    ),
}
app = CommandApp(
    cls=lazy_group(_MORE), help="Identity providers.", no_args_is_help=True
)

ArnArgument = Annotated[str, typer.Argument(metavar="ARN", help="The provider.")]

_KINDS: Mapping[str, type[Provider]] = {
    "SAML": SamlProvider,
    "OpenID Connect": OidcProvider,
    "LDAP": LdapProvider,
}
_HELP = "Set a provider's broker options.\n\n" + "\n\n".join(
    f"{label}: "
    + ", ".join(
        f"{name} (or @FILE)" if option.type.from_file else name
        for name, option in OPTIONS_OF[kind].items()
    )
    for label, kind in _KINDS.items()
)


def _content(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{text[1:]} cannot be read") from error


@app.command("list")
def list_providers(account: AccountOption = None, as_json: JsonOption = False) -> None:
    """List the providers with their broker options."""

    async def work(installation: "Installation") -> list[Provider]:
        return await all_providers(installation.stores.directory)

    say_entries(
        [
            {
                "Arn": provider.arn,
                "Issuer": _issuer(provider),
                "Options": shown_options(provider.options),
            }
            for provider in with_installation(work)
            if account in {None, provider.account}
        ],
        ("Provider", "Issuer", "Options"),
        lambda item: (
            item["Arn"],
            item["Issuer"],
            " ".join(
                f"{name}={_short(text)}" for name, text in item["Options"].items()
            ),
        ),
        as_json=as_json,
    )


@app.command("set", help=_HELP)
def configure(
    arn: ArnArgument,
    settings: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE…", help="An empty value removes the option."),
    ],
    _as_json: AlwaysJsonOption = False,
) -> None:
    """Set a provider's broker options."""
    account = read_account(arn)

    async def work(installation: "Installation") -> Mapping[str, object]:
        async with installation.stores.directory.change(account) as change:
            provider = await require_provider(change, account, arn)
            texts = _read_settings(provider, settings)
            changed, changes = set_options(provider, texts, installation.vault)
            await change.update(STORED[type(changed)], changed)
            await record_change(
                *(change, "SetProviderOptions", account, arn),
                Provider=arn,
                Options=shown_options(changes),
            )
        return changed.options

    try:
        options = with_installation(work)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    say_json(shown_options(options))


async def all_providers(directory: DirectoryReader) -> list[Provider]:
    """The providers of all accounts."""
    providers: list[Provider] = []
    for kind in STORED.values():
        providers += await list_everywhere(directory, kind)
    return providers


def _read_settings(provider: Provider, settings: list[str]) -> dict[str, str]:
    """Parse ``KEY=VALUE`` into options' texts, from files where they say so."""
    known = OPTIONS_OF[type(provider)]
    texts: dict[str, str] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(
                f"{setting!r} is not an option; use KEY=VALUE with one of the keys"
                f" {', '.join(known)}"
            )
        if name not in known:
            raise ValueError(f"{name} is not an option; {suggest(name, known)}")
        texts[name] = _content(text) if known[name].type.from_file else text
    return texts


async def require_provider(
    directory: DirectoryReader, account: AccountId, arn: str
) -> Provider:
    """Find a provider by its ARN.

    Raises:
        NoSuchEntity: There is none.
    """
    provider = await find_provider(directory, account, arn)
    if provider is None:
        raise NoSuchEntity(f"There is no provider {arn}.")
    return provider


def read_account(arn: str) -> AccountId:
    """Parse the account in a provider's ARN.

    Raises:
        typer.BadParameter: It is not a provider's ARN.
    """
    _, _, account = arn.partition("::")
    try:
        return parse_account_id(account.partition(":")[0])
    except ValueError:
        raise typer.BadParameter(f"{arn!r} is not a provider's ARN") from None


def _issuer(provider: Provider) -> str:
    """The issuer, or the directory's name; SAML providers have metadata instead."""
    match provider:
        case OidcProvider():
            return provider.url
        case LdapProvider():
            return provider.directory
        case SamlProvider():
            return ""


def _short(value: object) -> str:
    if isinstance(value, list):
        text = ",".join(map(str, value))
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004  # a column
