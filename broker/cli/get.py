"""``broker get``: what is there, kind by kind, as `broker apply` describes it."""

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from broker.administration.provider_setup import oidc_setup, saml_setup
from broker.cli.operator import AccountOption, JsonOption, with_services
from broker.cli.providers import read_account, require_provider
from broker.cli.terminal import say, say_entries
from broker.errors import NoSuchEntity
from broker.model.entities import LdapProvider, SamlProvider
from broker.policy import DIRECTORY_KEYS, known_claims
from broker.proofs.provider_options import Provider, shown_options
from broker.protocols.saml.sp_metadata import assertion_consumer_url
from broker.runtime.spelling import suggest
from broker.stores.directory.accounts import list_accounts
from broker.template.reader import KINDS
from broker.template.section import Section, without_empty

if TYPE_CHECKING:
    from broker.compose.services import Services

_PROVIDERS = frozenset({"saml-provider", "oidc-provider", "ldap-provider"})


def get(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="A section of a template, such as Roles."),
    ],
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="One of them; a provider's ARN.")
    ] = "",
    account_id: AccountOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the objects of a kind, or show one of them.

    For a provider, given by its ARN, this includes what to configure at the identity
    provider.
    """

    async def work(services: "Services") -> list[dict[str, Any]]:
        if kind.lower().rstrip("s") in {"provider", *_PROVIDERS} and name:
            return [await _describe_provider(services, name)]
        return await _describe(services, _get_kind(kind), name, account_id)

    results = with_services(work)
    if name and not as_json:
        for entry in results:
            _say_one(entry)
        return
    headings = ("Account", "Name")
    say_entries(results, headings, itemgetter(*headings), as_json=as_json)


def _get_kind(text: str) -> Section:
    sections = {kind.section.lower(): kind for kind in KINDS}
    for written in (text.lower(), f"{text.lower()}s"):
        if written in sections:
            return sections[written]
    known = suggest(text, [kind.section for kind in KINDS])
    raise typer.BadParameter(f"{text!r} is not a kind; {known}")


async def _describe(
    services: "Services", kind: Section, name: str, account: str | None
) -> list[dict[str, Any]]:
    directory = services.stores.directory
    results: list[dict[str, Any]] = []
    for entry in await list_accounts(directory):
        if account in {None, entry.account_id}:
            results += [
                {
                    "Account": entry.account_id,
                    "Name": kind.name_of(spec),
                    **without_empty(kind.show(spec)),
                }
                async for page in kind.pages(directory, entry.account_id)
                for spec in page
                if name.lower() in {"", kind.name_of(spec).lower()}
            ]
    if name and not results:
        raise NoSuchEntity(f"There is no {kind.label} {name}.")
    return results


def _say_one(results: Mapping[str, Any]) -> None:
    width = max(map(len, results))
    for name, value in results.items():
        lines = _lines(value)
        say(f"{name:<{width}}  {lines[0] if lines else 'none'}")
        say(*(f"{'':<{width}}  {line}" for line in lines[1:]))


async def _describe_provider(services: "Services", arn: str) -> dict[str, Any]:
    provider: Provider = await require_provider(
        services.stores.directory, read_account(arn), arn
    )
    origin = services.settings.public_origin
    results = {"Arn": provider.arn, "Options": shown_options(provider.options)}
    if isinstance(provider, SamlProvider):
        setup = saml_setup(
            provider,
            origin=origin,
            entity_id=assertion_consumer_url(origin),
            expected=services.federated.expected_of(provider),
        )
        return {**results, **dict(_describe_saml(setup))}
    if isinstance(provider, LdapProvider):
        return {**results, **_describe_ldap(services, provider)}
    keys = (
        *("aud", "sub", "amr", "email", "oaud"),
        *known_claims(provider.host_and_path),
        *_texts(provider.options.get("ClaimKeys", ())),
    )
    return {
        **results,
        **dict(_describe_oidc(oidc_setup(provider, origin=origin))),
        "ConditionKeys": [f"{provider.host_and_path}:{name}" for name in keys],
    }


def _describe_ldap(services: "Services", provider: LdapProvider) -> dict[str, object]:
    directory = services.settings.directories.directories.get(provider.directory)
    start = f"{services.settings.public_origin}/signin/{provider.account}"
    return {
        "Directory": provider.directory,
        "Servers": [str(server) for server in directory.servers] if directory else [],
        "SignInBeginsAt": f"{start}/with/{provider.unique_id}",
        "TrustAction": "sts:AssumeRoleWithLDAPIdentity",
        "ConditionKeys": [f"{provider.name}:{key}" for key in DIRECTORY_KEYS],
    }


def _describe_saml(setup: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "Metadata", setup["metadata"]
    yield "AcsUrl", [setup["acs"], setup["shared_acs"]]
    yield "EntityId", setup["entity_id"]
    yield (
        "SingleLogoutUrl",
        [
            setup["slo"],
            "HTTP-Redirect or HTTP-POST, requests signed",
            "a logout there ends the session here"
            if setup["logs_out"]
            else "its metadata has no SingleLogoutService: a logout there does not end"
            " the session here",
        ],
    )
    yield "NameId", "any, with a Format"
    yield (
        "Attributes",
        [
            f"{setup['role_attribute']} = {setup['role_value']}",
            f"{setup['name_attribute']} = an e-mail address or user name",
        ],
    )
    keys = f"{setup['encryption']}, AES-GCM, for the key in the metadata"
    yield (
        "Encryption",
        [
            keys if setup["encryption"] else "no private key is registered",
            setup["lasso"],
        ],
    )
    if setup["start"]:
        yield "SignInBeginsAt", setup["start"]
    yield "Recipients", setup["recipients"]
    yield "Audiences", setup["audiences"]


def _describe_oidc(setup: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "Issuer", setup["issuer"]
    yield "Audiences", list(setup["audiences"])
    if setup["start"]:
        yield "SignInBeginsAt", setup["start"]
        yield "RedirectUri", setup["redirect"]
        yield "BackChannelLogoutUri", setup["back_channel"]
        yield "FrontChannelLogoutUri", setup["front_channel"]
        yield "PostLogoutRedirectUri", setup["signed_out"]


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return value.replace(",", " ").split()
    return [str(entry) for entry in value] if isinstance(value, list | tuple) else []


def _lines(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{name}={entry}" for name, entry in value.items()]
    return [str(entry) for entry in value] if isinstance(value, list) else [str(value)]
