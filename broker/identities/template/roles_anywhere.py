"""``TrustAnchors``, ``Profiles`` and ``Crls``: IAM Roles Anywhere.

The properties of ``AWS::RolesAnywhere::TrustAnchor``, ``::Profile`` and ``::CRL``, with
two that AWS has elsewhere: ``Region``, which is a stack's, and ``TrustAnchorName`` in
place of ``TrustAnchorArn``, which nobody knows before the trust anchor is there. Names
need not be unique in AWS; in a template they identify.
"""

import base64
import binascii
import re
import textwrap
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from broker.errors import BrokerError
from broker.identities.certificate_profiles import (
    DURATION_SECONDS,
    PROFILES,
    check_mapping,
)
from broker.identities.revocation_lists import REVOCATION_LISTS
from broker.identities.roles_anywhere import Regional
from broker.identities.tags import KeyCase
from broker.identities.template.documents import read_document
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import AccountReading, AccountWork, EntityKind
from broker.identities.template.properties import Properties, normal_document
from broker.identities.template.section import Described, Members, Section, unchecked
from broker.identities.trust_anchors import BUNDLE, TRUST_ANCHORS, check_certificates
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
)
from broker.policy import PolicyKind
from broker.protocols.x509 import DEFAULT_MAPPINGS
from broker.stores.directory.kinds import TRUST_ANCHOR
from broker.stores.directory.port import DirectoryReader

_NAME = re.compile(r"[ a-zA-Z0-9_-]{1,255}")
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_BEGIN, _END = "-----BEGIN X509 CRL-----", "-----END X509 CRL-----"


Reads = Mapping[str, Callable[[Properties, str], object]]
Further = Callable[[Any, DirectoryReader], Awaitable[Members]]
Given = Callable[[Members, AccountWork], Awaitable[Members]]
Check = Callable[[Any, Members, AccountWork], Awaitable[None]]


async def _nothing(*_: object) -> Members:
    return {}


def _section(
    section: str,
    of: Regional[Any],
    reads: Reads,
    further: Further,
    *,
    given: Given = _nothing,
    check: Check = unchecked,
) -> EntityKind[Described]:
    """A section of the service.

    ``further`` has properties of one that its view has otherwise, ``given`` members
    that are not properties.
    """

    def parse(properties: Properties, reading: AccountReading) -> Members:
        return {
            "Name": _name(properties, "Name"),
            "Region": _region(properties, reading),
            "Enabled": properties.flag("Enabled"),
            **{name: read(properties, name) for name, read in reads.items()},
            "Tags": properties.tags(KeyCase.SENSITIVE),
        }

    async def shown(one: Any, directory: DirectoryReader) -> Members:  # noqa: ANN401  # one of the kind
        view = {**_renamed(of.view(one), str.upper), **await further(one, directory)}
        common = {"Name": one.name, "Region": one.region, "Enabled": one.enabled}
        own = {name: view.get(name, "") for name in reads}
        return {**common, **own, "Tags": dict(one.tags)}

    async def members(wanted: Members, work: AccountWork) -> Members:
        tags = [{"key": key, "value": value} for key, value in wanted["Tags"].items()]
        return {
            **_renamed(wanted, str.lower),
            "tags": tags,
            **await given(wanted, work),
        }

    return Section(
        section=section,
        of=of,
        name="Name",
        parse=parse,
        shown=shown,
        given=members,
        check=check,
        finish=_finish,
        regional=True,
    ).entity_kind()


def _renamed(value: Any, letter: Callable[[str], str]) -> Any:  # noqa: ANN401  # JSON
    """Members as properties or the other way round: their first letters differ."""
    if isinstance(value, dict):
        return {
            letter(name[0]) + name[1:]: _renamed(inner, letter)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_renamed(inner, letter) for inner in value]
    return value


def _source(properties: Properties, name: str) -> Members:
    source = Properties(properties.mapping(name), f"{properties.place}.{name}")
    if source.text("SourceType") != BUNDLE:
        raise TemplateError(f"{source.place}.SourceType", f"must be {BUNDLE}")
    data = Properties(source.mapping("SourceData"), f"{source.place}.SourceData")
    pem = data.text("X509CertificateData").strip()
    data.finish()
    source.finish()
    try:
        check_certificates(pem)
    except BrokerError as error:
        raise TemplateError(f"{data.place}.X509CertificateData", str(error)) from error
    return _bundle(pem)


def _bundle(pem: str) -> Members:
    return {"SourceType": BUNDLE, "SourceData": {"X509CertificateData": pem}}


async def _shown_source(one: TrustAnchor, _: DirectoryReader) -> Members:
    return {"Source": _bundle(one.certificates.strip())}


def _policy(properties: Properties, name: str) -> str:
    if not properties.has(name):
        return ""
    return normal_document(read_document(properties, name, PolicyKind.SESSION))


async def _shown_policy(one: CertificateProfile, _: DirectoryReader) -> Members:
    return {"SessionPolicy": normal_document(one.session_policy or "")}


def _unique(properties: Properties, name: str) -> list[str]:
    return list(dict.fromkeys(properties.texts(name)))


def _mappings(properties: Properties, name: str) -> list[Members]:
    """``AttributeMappings``; without the property those that a new profile has."""
    given = properties.has(name)
    found = {} if given else {field: list(n) for field, n in DEFAULT_MAPPINGS.items()}
    for item in properties.items(name):
        field = item.text("CertificateField")
        specifiers = []
        for rule in item.items("MappingRules"):
            specifiers.append(rule.text("Specifier"))
            rule.finish()
        item.finish()
        if field in found:
            raise TemplateError(item.place, f"{field} comes twice")
        try:
            check_mapping(field, specifiers)
        except BrokerError as error:
            raise TemplateError(item.place, str(error)) from error
        found[field] = list(dict.fromkeys(specifiers))
    return [
        {
            "CertificateField": field,
            "MappingRules": [{"Specifier": one} for one in specifiers],
        }
        for field, specifiers in sorted(found.items())
    ]


async def _finish(one: Any, wanted: Members, _work: AccountWork) -> Any:  # noqa: ANN401  # one of the kind
    """Enabled or not, with all mappings at once."""
    changed = {"enabled": wanted["Enabled"]}
    if "AttributeMappings" in wanted:
        changed["attribute_mappings"] = {
            each["CertificateField"]: tuple(
                rule["Specifier"] for rule in each["MappingRules"]
            )
            for each in wanted["AttributeMappings"]
        }
    return replace(one, **changed)


async def _shown_list(one: CertificateList, directory: DirectoryReader) -> Members:
    anchor = await directory.find(TRUST_ANCHOR, one.account, one.anchor_id)
    name = "" if anchor is None else anchor.name
    return {"TrustAnchorName": name, "CrlData": _pem(one.data)}


async def _check_list(
    before: CertificateList | None, wanted: Members, work: AccountWork
) -> None:
    wanted_name = wanted["TrustAnchorName"]
    there = {} if before is None else await _shown_list(before, work.change)
    if before is not None and there["TrustAnchorName"] != wanted_name:
        raise TemplateError(
            before.name,
            f"a list of {there['TrustAnchorName']} cannot become one of {wanted_name};"
            " delete it first",
        )


async def _given_list(wanted: Members, work: AccountWork) -> Members:
    name, region = wanted["TrustAnchorName"], wanted["Region"]
    account = work.account.account_id
    anchors = await work.change.all_of(TRUST_ANCHOR, account, region=region, name=name)
    if not anchors:
        raise TemplateError(name, f"there is no such trust anchor in {region}")
    data = wanted["CrlData"].encode()
    return {"trustAnchorArn": anchors[0].arn, "crlData": data}


def _name(properties: Properties, name: str) -> str:
    value = properties.text(name)
    if not _NAME.fullmatch(value):
        raise TemplateError(
            f"{properties.place}.{name}",
            "must be 1 to 255 letters, digits, spaces or any of _-",
        )
    return value


def _region(properties: Properties, reading: AccountReading) -> str:
    value = properties.optional_text("Region") or reading.context.home_region
    if not _REGION.fullmatch(value):
        raise TemplateError(f"{properties.place}.Region", "must be a region's name")
    return value


def _pem(data: bytes) -> str:
    """A revocation list in PEM, as which a template has it."""
    if data.lstrip().startswith(b"-----"):
        return data.decode("ascii", "replace").strip()
    try:
        # CloudFormation takes the base64 of either form, too.
        decoded = base64.b64decode(data, validate=True)
    except binascii.Error:
        decoded = data
    if decoded.lstrip().startswith(b"-----"):
        return decoded.decode("ascii", "replace").strip()
    lines = textwrap.wrap(base64.b64encode(decoded).decode(), 64)
    return "\n".join([_BEGIN, *lines, _END])


TRUST_ANCHOR_SECTION = _section(
    "TrustAnchors", TRUST_ANCHORS, {"Source": _source}, _shown_source
)
PROFILE_SECTION = _section(
    "Profiles",
    PROFILES,
    {
        "RoleArns": _unique,
        "ManagedPolicyArns": _unique,
        "SessionPolicy": _policy,
        "DurationSeconds": lambda properties, name: properties.integer(
            name, DURATION_SECONDS, 900, 43_200
        ),
        "AcceptRoleSessionName": Properties.flag,
        "AttributeMappings": _mappings,
    },
    _shown_policy,
)
CRL_SECTION = _section(
    "Crls",
    REVOCATION_LISTS,
    {
        "TrustAnchorName": _name,
        "CrlData": lambda properties, name: _pem(properties.text(name).encode()),
    },
    _shown_list,
    given=_given_list,
    check=_check_list,
)
