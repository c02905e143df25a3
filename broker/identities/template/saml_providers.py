"""``SAMLProviders``: the properties of ``AWS::IAM::SAMLProvider``.

Decryption keys are secrets: they are added with ``UpdateSAMLProvider`` and not managed
here.
"""

import re
from dataclasses import replace

from broker.errors import BrokerError
from broker.identities.saml_providers import SAML_PROVIDERS as RULES
from broker.identities.saml_providers import check_metadata
from broker.identities.tags import KeyCase
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import AccountReading, AccountWork, shown_tags
from broker.identities.template.properties import Properties
from broker.identities.template.section import Described, Members, Section
from broker.model.entities import EncryptionMode, SamlProvider
from broker.stores.directory.port import DirectoryReader

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_METADATA = "SamlMetadataDocument"


def _parse(properties: Properties, reading: AccountReading) -> Members:
    options = reading.options(properties, SamlProvider)
    found = {
        "Name": _name(properties),
        "AssertionEncryptionMode": _mode(properties),
        _METADATA: properties.text(_METADATA),
        "Tags": properties.tags(KeyCase.SENSITIVE),
        "Broker": options,
    }
    if options.get("MetadataUrl"):
        # It is only the initial metadata, which may have expired since.
        return found
    metadata, hosts = str(found[_METADATA]), reading.context.http_hosts
    try:
        check_metadata(metadata, options, hosts, reading.now)
    except BrokerError as error:
        place = f"{properties.place}.{_METADATA}"
        raise TemplateError(place, f"{error} {error.detail}".strip()) from error
    return found


def _name(properties: Properties) -> str:
    name = properties.text("Name")
    if not _NAME.fullmatch(name):
        raise TemplateError(
            f"{properties.place}.Name", "must be 1 to 128 letters, digits or any of ._-"
        )
    return name


def _mode(properties: Properties) -> str:
    text = properties.optional_text("AssertionEncryptionMode") or "Allowed"
    try:
        return EncryptionMode(text).value
    except ValueError as error:
        place = f"{properties.place}.AssertionEncryptionMode"
        raise TemplateError(place, "must be Allowed or Required") from error


async def _shown(one: SamlProvider, _directory: DirectoryReader) -> Members:
    return {
        "Name": one.name,
        "AssertionEncryptionMode": one.encryption_mode.value,
        _METADATA: one.metadata,
        "Tags": dict(one.tags),
        "Broker": dict(one.options),
    }


async def _given(wanted: Members, _work: AccountWork) -> Members:
    tags = shown_tags(wanted["Tags"])
    return {**wanted, "SAMLMetadataDocument": wanted[_METADATA], "Tags": tags}


async def _check(
    before: SamlProvider | None, wanted: Members, work: AccountWork
) -> None:
    metadata, options = wanted[_METADATA], wanted["Broker"]
    is_fetched = before is not None and metadata == before.metadata
    if not (is_fetched and options.get("MetadataUrl")):
        check_metadata(metadata, options, work.context.http_hosts, work.now)


async def _finish(
    one: SamlProvider, wanted: Members, _work: AccountWork
) -> SamlProvider:
    return replace(one, options=wanted["Broker"])


def _adopt(before: Described, after: Described) -> Described:
    """Metadata fetched from a URL is newer than the template's."""
    url = after.properties["Broker"].get("MetadataUrl")
    if not url or url != before.properties["Broker"].get("MetadataUrl"):
        return after
    fetched = {_METADATA: before.properties[_METADATA]}
    return replace(after, properties={**after.properties, **fetched})


SAML_PROVIDERS = Section(
    section="SAMLProviders",
    of=RULES,
    name="Name",
    parse=_parse,
    shown=_shown,
    given=_given,
    check=_check,
    finish=_finish,
).entity_kind(key=lambda spec: spec.properties["Name"], adopt=_adopt)
