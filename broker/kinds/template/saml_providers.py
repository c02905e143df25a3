"""``SAMLProviders``: the properties of ``AWS::IAM::SAMLProvider``.

Decryption keys are secrets: they are added with ``UpdateSAMLProvider`` and not managed
here.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from broker.errors import BrokerError
from broker.kinds.saml_providers import SAML_PROVIDERS as RULES
from broker.kinds.saml_providers import check_metadata
from broker.kinds.template.errors import TemplateError, at_place
from broker.kinds.template.kind import AccountReading, AccountWork
from broker.kinds.template.properties import Properties
from broker.kinds.template.section import Members, Section
from broker.model.entities import EncryptionMode, SamlProvider
from broker.stores.directory.port import DirectoryReader

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_METADATA = "SamlMetadataDocument"


def _name(properties: Properties, name: str) -> str:
    return properties.matching(name, _NAME, "1 to 128 letters, digits or any of ._-")


def _mode(properties: Properties, name: str) -> str:
    text = properties.optional_text(name) or "Allowed"
    if text not in set(EncryptionMode):
        raise TemplateError(f"{properties.place}.{name}", "must be Allowed or Required")
    return text


def _settle(found: Members, given: Properties, reading: AccountReading) -> Members:
    options = found["Broker"]
    reading.check_options(given.place, options, SamlProvider)
    if options.get("MetadataUrl"):
        # It is only the initial metadata, which may have expired since.
        return found
    metadata, hosts = found[_METADATA], reading.context.http_hosts
    try:
        check_metadata(metadata, options, hosts, reading.now)
    except BrokerError as error:
        place = f"{given.place}.{_METADATA}"
        raise TemplateError(place, f"{error} {error.detail}".strip()) from error
    return found


async def _further(
    page: Sequence[SamlProvider], _directory: DirectoryReader
) -> list[Members]:
    return [{"Name": one.name, "Broker": dict(one.options)} for one in page]


async def _check(
    before: SamlProvider | None, wanted: Members, work: AccountWork
) -> None:
    metadata, options = wanted[_METADATA], wanted["Broker"]
    is_fetched = before is not None and metadata == before.metadata
    if not (is_fetched and options.get("MetadataUrl")):
        with at_place(_METADATA):
            check_metadata(metadata, options, work.context.http_hosts, work.now)


async def _finish(
    one: SamlProvider, _before: Members, wanted: Members, _work: AccountWork
) -> SamlProvider:
    return replace(one, options=wanted["Broker"])


def _adopt(before: Members, after: Members) -> Members:
    """Metadata fetched from a URL is newer than the template's."""
    url = after["Broker"].get("MetadataUrl")
    if not url or url != before["Broker"].get("MetadataUrl"):
        return after
    return {**after, _METADATA: before[_METADATA]}


SAML_PROVIDERS = Section(
    section="SAMLProviders",
    of=RULES,
    name="Name",
    reads={
        "Name": _name,
        "AssertionEncryptionMode": _mode,
        _METADATA: Properties.text,
        "Tags": Properties.tags,
        "Broker": Properties.mapping,
    },
    members={_METADATA: "SAMLMetadataDocument"},
    settle=_settle,
    further=_further,
    check=_check,
    finish=_finish,
    keyed_by=lambda wanted: str(wanted["Name"]),
    adopt=_adopt,
)
