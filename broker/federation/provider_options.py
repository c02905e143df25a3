"""The broker-only options of providers as texts, as people write and read them.

The command line and the console set them one by one; `saml_options` and `oidc_options`
say what each means.
"""

import json
from collections.abc import Callable, Mapping
from typing import Final

from broker.federation.group_roles import GroupRoles
from broker.federation.scim_options import OPTIONS
from broker.model.entities import LdapProvider, OidcProvider, SamlProvider
from broker.protocols.strict_json import parse_object

Provider = SamlProvider | OidcProvider | LdapProvider
Reader = Callable[[str], object]

SECRET: Final = "ClientSecret"  # noqa: S105  # an option's name
"""The option that is stored sealed and never shown."""

SEALED: Final = "(sealed)"
_TEXT_MAX = 64 * 1024


def _truth(text: str) -> object:
    truths: dict[str, object] = {"true": True, "false": False}
    if text.lower() not in truths:
        raise ValueError(f"{text!r}; use true or false")
    return truths[text.lower()]


def _list(text: str) -> object:
    return [part.strip() for part in text.split(",") if part.strip()]


def _groups(text: str) -> object:
    try:
        table = parse_object(text.encode())
    except ValueError as error:
        raise ValueError(
            "not JSON; use a mapping of groups to lists of role ARNs, or @FILE"
        ) from error
    GroupRoles.parse({"GroupRoles": table})
    return table


def _jwks(text: str) -> object:
    try:
        keys = parse_object(text.encode())
    except ValueError as error:
        raise ValueError("not JSON, or not a JWK set; use one, or @FILE") from error
    if not isinstance(keys.get("keys"), list):
        raise ValueError("not a JWK set: it has no list of keys")  # noqa: TRY004  # data
    return text


_SCIM: Mapping[str, Reader] = dict.fromkeys(OPTIONS, str)

SAML_OPTIONS: Mapping[str, Reader] = {
    "Profile": str,
    "AllowSha1": _truth,
    "AllowCbc": _truth,
    "LegacyRsa": _truth,
    "Audiences": _list,
    "Recipients": _list,
    "MintPerDoor": _truth,
    "ExchangeTwice": _truth,
    "SignIn": _truth,
    "GroupRoles": _groups,
    "GroupAttribute": str,
    **_SCIM,
    "MetadataUrl": str,
    "MetadataCertificate": str,
    "MetadataTrustTls": _truth,
}
OIDC_OPTIONS: Mapping[str, Reader] = {
    "Profile": str,
    "OneTimeUse": _truth,
    "Algorithms": _list,
    "StaticJwks": _jwks,
    "ClientId": str,
    SECRET: str,
    "Scopes": _list,
    "ClaimKeys": _list,
    "NameClaims": _list,
    "GroupRoles": _groups,
    "GroupAttribute": str,
    **_SCIM,
}
EXCEPTIONS: Final = (
    "Profile",
    "AllowSha1",
    "AllowCbc",
    "LegacyRsa",
    "Audiences",
    "Recipients",
    "MintPerDoor",
    "ExchangeTwice",
    "ScimUnknown",
)
"""The options that accept what is refused otherwise; none is needed by the rest."""

LDAP_OPTIONS: Mapping[str, Reader] = {
    "SignIn": _truth,
    "GroupRoles": _groups,
}


def known_options(provider: Provider) -> Mapping[str, Reader]:
    """The options that a provider of this kind can have, with what reads each."""
    match provider:
        case SamlProvider():
            return SAML_OPTIONS
        case OidcProvider():
            return OIDC_OPTIONS
        case LdapProvider():
            return LDAP_OPTIONS


def read_option(provider: Provider, name: str, text: str) -> object:
    """Read an option's text; None for an empty one, which removes the option.

    Raises:
        ValueError: There is no such option, or its value is malformed.
    """
    known = known_options(provider)
    if name not in known:
        raise ValueError(f"{name!r} is not an option; use one of {', '.join(known)}")
    if len(text) > _TEXT_MAX:
        raise ValueError(f"{name} is longer than {_TEXT_MAX} characters")
    try:
        return known[name](text) if text else None
    except ValueError as error:
        raise ValueError(f"{name} is {error}") from error


def option_text(value: object) -> str:
    """A value as the text that `read_option` reads."""
    match value:
        case bool():
            return "true" if value else "false"
        case list() | tuple() | frozenset():
            return ", ".join(map(str, value))
        case Mapping():
            return json.dumps(value, indent=2, ensure_ascii=False)
        case _:
            return str(value)


def check_options(provider: Provider, options: Mapping[str, object]) -> None:
    """Check a provider's options together.

    Raises:
        ValueError: One is wrong; the text says which and how to fix it.
    """
    # Imported here: they bring the verifiers, which a list does not need.
    if isinstance(provider, SamlProvider):
        from broker.federation.saml_options import check_saml_options  # noqa: PLC0415

        check_saml_options(options)
    elif isinstance(provider, LdapProvider):
        from broker.federation.ldap.options import (  # noqa: PLC0415
            LdapProviderOptions,
        )

        LdapProviderOptions.parse(options)
    else:
        from broker.federation.oidc_options import check_oidc_options  # noqa: PLC0415

        check_oidc_options(options)


def shown_options(options: Mapping[str, object]) -> dict[str, object]:
    """Options for display, without secrets, sealed or not."""
    return {
        name: SEALED if name == SECRET and value is not None else value
        for name, value in options.items()
    }
