"""``SAMLProviders``, ``OIDCProviders`` and ``LDAPProviders``.

The first two have the properties of ``AWS::IAM::SAMLProvider`` and ``::OIDCProvider``;
directories are the operator's. Decryption keys are secrets: they are added with
``UpdateSAMLProvider`` and not managed here.
"""

import re
from typing import Any

from msgspec.structs import replace

from broker.errors import BrokerError
from broker.kinds.providers import LDAP_PROVIDERS as LDAP_RULES
from broker.kinds.providers import OIDC_PROVIDERS as OIDC_RULES
from broker.kinds.providers import SAML_PROVIDERS as SAML_RULES
from broker.kinds.providers import (
    check_metadata,
    checked_issuer_url,
    checked_name,
    checked_thumbprints,
    with_issuers,
)
from broker.kinds.yaml_text import TemplateError, at_place
from broker.model.entities import (
    EncryptionMode,
    LdapProvider,
    OidcProvider,
    SamlProvider,
)
from broker.template.properties import Properties
from broker.template.section import AccountReading, AccountWork, Members, Section

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_METADATA = "SamlMetadataDocument"

_SECRET = "ClientSecret"  # noqa: S105  # an option's name


def _mode(properties: Properties, name: str) -> str:
    text = properties.optional_text(name) or "Allowed"
    if text not in set(EncryptionMode):
        raise TemplateError(f"{properties.place}.{name}", "must be Allowed or Required")
    return text


def _settle_saml(
    members: Members, properties: Properties, reading: AccountReading
) -> Members:
    options = members["Broker"]
    reading.check_options(properties.place, options, SamlProvider)
    if options.get("MetadataUrl"):
        # It is only the initial metadata, which may have expired since.
        return members
    metadata, hosts = members[_METADATA], reading.context.http_hosts
    try:
        check_metadata(metadata, options, hosts, reading.now)
    except BrokerError as error:
        place = f"{properties.place}.{_METADATA}"
        raise TemplateError(place, f"{error} {error.detail}".strip()) from error
    return members


async def _check_saml(
    before: SamlProvider | None, wanted: Members, work: AccountWork
) -> None:
    metadata, options = wanted[_METADATA], wanted["Broker"]
    is_fetched = before is not None and metadata == before.metadata
    if not (is_fetched and options.get("MetadataUrl")):
        with at_place(_METADATA):
            check_metadata(metadata, options, work.context.http_hosts, work.now)


async def _finish(
    provider: Any,  # noqa: ANN401  # of any kind
    _before: Members,
    wanted: Members,
    _work: AccountWork,
) -> Any:  # noqa: ANN401
    return replace(provider, options=wanted["Broker"])


def _adopt_saml(before: Members, after: Members) -> Members:
    """Metadata fetched from a URL is newer than the template's."""
    url = after["Broker"].get("MetadataUrl")
    if not url or url != before["Broker"].get("MetadataUrl"):
        return after
    return {**after, _METADATA: before[_METADATA]}


SAML_PROVIDERS = Section(
    section="SAMLProviders",
    of=SAML_RULES,
    name="Name",
    reads={
        "Name": lambda properties, name: properties.matching(
            name, _NAME, "1 to 128 letters, digits or any of ._-"
        ),
        "AssertionEncryptionMode": _mode,
        _METADATA: Properties.text,
        "Tags": Properties.tags,
        "Broker": Properties.mapping,
    },
    members={_METADATA: "SAMLMetadataDocument"},
    settle=_settle_saml,
    view=lambda provider: {
        **SAML_RULES.view(provider),
        "Name": provider.name,
        "Broker": dict(provider.options),
    },
    check=_check_saml,
    finish=_finish,
    keyed_by=lambda wanted: str(wanted["Name"]),
    adopt=_adopt_saml,
)


def _settle_oidc(
    members: Members, properties: Properties, reading: AccountReading
) -> Members:
    reading.check_options(properties.place, members["Broker"], OidcProvider)
    url, thumbprints = members["Url"], members["ThumbprintList"]
    try:
        url = checked_issuer_url(url, reading.account, reading.context.is_internal)
        thumbprints = list(checked_thumbprints(thumbprints))
    except BrokerError as error:
        raise TemplateError(properties.place, f"{url}: {error}") from error
    return {**members, "Url": url, "ThumbprintList": thumbprints}


async def _finish_oidc(
    provider: OidcProvider, _before: Members, wanted: Members, _work: AccountWork
) -> OidcProvider:
    kept = {name: value for name, value in provider.options.items() if name == _SECRET}
    return replace(provider, options={**wanted["Broker"], **kept})


def host_and_path(properties: Members) -> str:
    """The part of the URL that must be unique in the account."""
    url: str = properties["Url"]
    return url.partition("://")[2]


OIDC_PROVIDERS = Section(
    section="OIDCProviders",
    of=OIDC_RULES,
    name="Url",
    reads={
        "Url": Properties.text,
        "ClientIdList": Properties.distinct,
        "ThumbprintList": Properties.texts,
        "Tags": Properties.tags,
        "Broker": Properties.mapping,
    },
    members={"ClientIdList": "ClientIDList"},
    settle=_settle_oidc,
    # A sealed secret is bound to its provider, and templates contain no secrets.
    view=lambda provider: {
        **OIDC_RULES.view(provider),
        "Url": provider.url,
        "Broker": {k: v for k, v in provider.options.items() if k != _SECRET},
    },
    finish=_finish_oidc,
    constant=("Url",),
    made_in=lambda context: with_issuers(context.is_internal),
    keyed_by=host_and_path,
    called=host_and_path,
)


def _settle_ldap(
    members: Members, properties: Properties, reading: AccountReading
) -> Members:
    try:
        reading.context.check_directory(members["Directory"])
    except ValueError as error:
        raise TemplateError(properties.place, str(error)) from error
    with at_place(f"{properties.place}.Name"):
        name = checked_name(members["Name"])
    reading.check_options(properties.place, members["Broker"], LdapProvider)
    return {**members, "Name": name}


async def _check_ldap(
    before: LdapProvider | None, wanted: Members, _work: AccountWork
) -> None:
    if before is not None and before.directory != wanted["Directory"]:
        raise TemplateError(
            "Directory",
            f"{before.name} cannot become another directory's: subjects would mean"
            " other people; delete the provider first",
        )


LDAP_PROVIDERS = Section(
    section="LDAPProviders",
    of=LDAP_RULES,
    name="Name",
    reads={
        "Name": Properties.text,
        "Directory": Properties.text,
        "Broker": Properties.mapping,
    },
    settle=_settle_ldap,
    view=lambda provider: {
        **LDAP_RULES.view(provider),
        "Broker": dict(provider.options),
    },
    check=_check_ldap,
    finish=_finish,
)
