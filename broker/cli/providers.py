"""``broker providers``: identity providers and their operator-only options."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.cli.commands import CommandPlace, lazy_group
from broker.cli.operator import operator_entry, with_installation
from broker.cli.terminal import say_json, say_table
from broker.errors import NoSuchEntity
from broker.federation.provider_options import (
    SECRET,
    Provider,
    check_options,
    known_options,
    read_option,
    shown_options,
)
from broker.model.account import AccountId, parse_account_id
from broker.model.entities import (
    CLIENT_SECRET_SEAL,
    LdapProvider,
    OidcProvider,
    SamlProvider,
)
from broker.spelling import suggest
from broker.stores.directory.accounts import list_accounts
from broker.stores.directory.kind import Kind
from broker.stores.directory.kinds import LDAP_PROVIDER, OIDC_PROVIDER, SAML_PROVIDER
from broker.stores.directory.port import DirectoryReader

if TYPE_CHECKING:
    from broker.installation import Installation

_MORE = {
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
    "refresh": CommandPlace(
        "broker.cli.provider_metadata",
        "refresh",
        "Fetch a provider's metadata (SAML) or keys now, and show the result.",
    ),
}
app = typer.Typer(
    cls=lazy_group(_MORE), help="Identity providers.", no_args_is_help=True
)

_ARN_FIELDS = 6
_HEADINGS = ("Provider", "Issuer", "Options")


_FROM_FILES = frozenset({"GroupRoles", "StaticJwks", SECRET, "MetadataCertificate"})
"""Options whose value may be @FILE."""


def _content(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{text[1:]} cannot be read") from error


@app.command("list")
def list_providers(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line.")
    ] = False,
) -> None:
    """List the providers of all accounts with their operator-only options."""

    async def work(installation: "Installation") -> list[Provider]:
        return await all_providers(installation.stores.directory)

    rows: list[tuple[str, str, str]] = []
    for provider in with_installation(work):
        issuer = _issuer(provider)
        options = shown_options(provider.options)
        if as_json:
            described = {"Arn": provider.arn, "Issuer": issuer, "Options": options}
            say_json(described)
        else:
            shown = " ".join(
                f"{name}={_short(value)}" for name, value in options.items()
            )
            rows.append((provider.arn, issuer, shown))
    if not as_json:
        say_table(_HEADINGS, rows)


@app.command("set")
def set_options(
    arn: Annotated[str, typer.Argument(metavar="ARN")],
    settings: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE…", help="An empty value removes the option."),
    ],
) -> None:
    """Set a provider's operator-only options.

    SAML: Profile, AllowSha1, AllowCbc, LegacyRsa, Audiences, Recipients, MintPerDoor,
    ExchangeTwice, SignIn; for published metadata MetadataUrl, with its signer's
    MetadataCertificate (PEM or @FILE) or MetadataTrustTls.
    OpenID Connect: Profile, OneTimeUse, Algorithms, StaticJwks (JSON or @FILE),
    ClaimKeys (claims that become condition keys); for the sign-in page ClientId,
    ClientSecret (@FILE), Scopes and NameClaims (claims that identify one person).
    Both: GroupRoles (JSON or @FILE) and GroupAttribute; for SCIM ScimSubject (userName,
    externalId or emails), ScimClaim, ScimGroups (displayName, externalId or asserted)
    and ScimUnknown (refuse or allow). LDAP: SignIn and GroupRoles.
    """
    account = find_account(arn)

    async def work(installation: "Installation") -> Mapping[str, object]:
        async with installation.stores.directory.change(account) as change:
            provider = await require_provider(change, account, arn)
            changes = read_settings(provider, settings)
            if changes.get(SECRET) is not None:
                changes[SECRET] = _sealed(installation, provider, str(changes[SECRET]))
            options = {**provider.options, **changes}
            options = {name: v for name, v in options.items() if v is not None}
            check_options(provider, options)
            if isinstance(provider, SamlProvider):
                await change.update(SAML_PROVIDER, replace(provider, options=options))
            elif isinstance(provider, OidcProvider):
                await change.update(OIDC_PROVIDER, replace(provider, options=options))
            else:
                await change.update(LDAP_PROVIDER, replace(provider, options=options))
            entry = operator_entry(
                "SetProviderOptions",
                account,
                Provider=arn,
                Options=shown_options(changes),
            )
            entry.resources = (arn,)
            await change.record(entry.complete())
        return options

    try:
        options = with_installation(work)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    say_json(shown_options(options))


async def all_providers(directory: DirectoryReader) -> list[Provider]:
    """The providers of all accounts."""
    found: list[Provider] = []
    for account in await list_accounts(directory):
        for kind in (SAML_PROVIDER, OIDC_PROVIDER, LDAP_PROVIDER):
            each: Kind[Any] = kind
            found += await directory.all_of(each, account.account_id)
    return found


def _sealed(installation: "Installation", provider: Provider, secret: str) -> str:
    if not isinstance(provider, OidcProvider):
        raise TypeError("only OpenID Connect providers have a client secret")
    purpose, column = CLIENT_SECRET_SEAL
    sealed = installation.vault.seal(
        purpose, provider.account, provider.unique_id, column, secret.encode()
    )
    return base64.b64encode(sealed).decode("ascii")


def read_settings(provider: Provider, settings: list[str]) -> dict[str, object]:
    """Parse ``KEY=VALUE`` texts into options; None for those to remove.

    Raises:
        ValueError: An option is unknown, or its value is malformed.
    """
    known = known_options(provider)
    read: dict[str, object] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(
                f"{setting!r} is not an option; use KEY=VALUE with one of the keys"
                f" {', '.join(known)}"
            )
        if name not in known:
            raise ValueError(f"{name} is not an option; {suggest(name, known)}")
        read[name] = read_option(
            provider, name, _content(value) if name in _FROM_FILES else value
        )
    return read


async def require_provider(
    directory: DirectoryReader, account: AccountId, arn: str
) -> Provider:
    """Find a provider by its ARN.

    Raises:
        NoSuchEntity: There is none.
    """
    kind, _, name = arn.split(":", _ARN_FIELDS - 1)[-1].partition("/")
    provider: Provider | None = None
    if kind == "saml-provider":
        provider = await directory.named(SAML_PROVIDER, account, name)
    elif kind == "oidc-provider":
        provider = await directory.named(OIDC_PROVIDER, account, name)
    elif kind == "ldap-provider":
        provider = await directory.named(LDAP_PROVIDER, account, name)
    if provider is None:
        raise NoSuchEntity(f"There is no provider {arn}.")
    return provider


def find_account(arn: str) -> AccountId:
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
