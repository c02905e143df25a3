"""``broker providers show``: a provider, and what to configure at its identity provider."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from broker.administration.provider_setup import oidc_setup, saml_setup
from broker.cli.operator import OneJsonOption, with_services
from broker.cli.providers import ArnArgument, read_account, require_provider
from broker.cli.terminal import say_json, say_members
from broker.model.entities import LdapProvider, SamlProvider
from broker.policy import DIRECTORY_KEYS, known_claims
from broker.proofs.provider_options import Provider, shown_options
from broker.protocols.saml.sp_metadata import assertion_consumer_url

if TYPE_CHECKING:
    from broker.compose.services import Services


def show(arn: ArnArgument, as_json: OneJsonOption = False) -> None:
    """Show a provider, and what to configure at the identity provider."""
    described = with_services(lambda services: describe_provider(services, arn))
    if as_json:
        say_json(described)
    else:
        say_members(described)


async def describe_provider(services: "Services", arn: str) -> dict[str, Any]:
    """A provider's options, and what its identity provider has to be told.

    Raises:
        NoSuchEntity: there is none of this ARN.
    """
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
