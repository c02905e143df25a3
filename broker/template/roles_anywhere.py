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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from broker.kinds.roles_anywhere import (
    BUNDLE,
    DURATION_SECONDS,
    PROFILES,
    REVOCATION_LISTS,
    TRUST_ANCHORS,
    Regional,
    check_certificates,
    check_mapping,
)
from broker.kinds.yaml_text import TemplateError, at_place
from broker.model.roles_anywhere import CertificateList, CertificateProfile, TrustAnchor
from broker.policy import PolicyKind
from broker.protocols.x509.attributes import DEFAULT_MAPPINGS
from broker.stores.directory.kinds import TRUST_ANCHOR
from broker.stores.directory.port import DirectoryReader
from broker.template.properties import Properties, normal_document, read_document
from broker.template.section import AccountWork, Members, Section

_NAME = re.compile(r"[ a-zA-Z0-9_-]{1,255}")
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_BEGIN, _END = "-----BEGIN X509 CRL-----", "-----END X509 CRL-----"


def _section(
    section: str,
    of: Regional[Any],
    reads: Mapping[str, Callable[[Properties, str], object]],
    further: Callable[[Any, DirectoryReader], Awaitable[Members]],
    **more: Any,  # noqa: ANN401  # of `Section`
) -> Section:
    """A section of the service; ``further`` has what the view of one has otherwise."""

    async def shown(page: Sequence[Any], directory: DirectoryReader) -> list[Members]:
        return [
            {"Region": entity.region, **await further(entity, directory)}
            for entity in page
        ]

    said = {"params": _params, **more}
    return Section(
        section=section,
        of=of,
        name="Name",
        reads={
            "Name": _name,
            "Region": _region,
            "Enabled": Properties.flag,
            **reads,
            "Tags": Properties.tags,
        },
        view=lambda entity: _renamed(of.view(entity), str.upper),
        settle=lambda members, _given, reading: {
            **members,
            "Region": members["Region"] or reading.context.home_region,
        },
        further=shown,
        finish=_finish,
        regional=True,
        **said,
    )


async def _params(wanted: Members, _work: AccountWork) -> Members:
    tags = [{"key": key, "value": value} for key, value in wanted["Tags"].items()]
    return {**_renamed(wanted, str.lower), "tags": tags}


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
    source = properties.part(name)
    if source.text("SourceType") != BUNDLE:
        raise TemplateError(f"{source.place}.SourceType", f"must be {BUNDLE}")
    data = source.part("SourceData")
    pem = data.text("X509CertificateData").strip()
    data.finish()
    source.finish()
    with at_place(f"{data.place}.X509CertificateData"):
        check_certificates(pem)
    return _bundle(pem)


def _bundle(pem: str) -> Members:
    return {"SourceType": BUNDLE, "SourceData": {"X509CertificateData": pem}}


async def _shown_source(anchor: TrustAnchor, _: DirectoryReader) -> Members:
    return {"Source": _bundle(anchor.certificates.strip())}


def _policy(properties: Properties, name: str) -> str:
    if not properties.has(name):
        return ""
    return normal_document(read_document(properties, name, PolicyKind.SESSION))


async def _shown_policy(profile: CertificateProfile, _: DirectoryReader) -> Members:
    return {"SessionPolicy": normal_document(profile.session_policy or "")}


def _mappings(properties: Properties, name: str) -> list[Members]:
    """``AttributeMappings``; without the property those that a new profile has."""
    is_given = properties.has(name)
    results = (
        {} if is_given else {field: list(n) for field, n in DEFAULT_MAPPINGS.items()}
    )

    def read(item: Properties) -> None:
        field = item.text("CertificateField")
        specifiers = item.read_each("MappingRules", lambda rule: rule.text("Specifier"))
        if field in results:
            raise TemplateError(item.place, f"{field} comes twice")
        with at_place(item.place):
            check_mapping(field, specifiers)
        results[field] = list(dict.fromkeys(specifiers))

    properties.read_each(name, read)
    return [
        {
            "CertificateField": field,
            "MappingRules": [{"Specifier": specifier} for specifier in specifiers],
        }
        for field, specifiers in sorted(results.items())
    ]


async def _finish(
    entity: Any,  # noqa: ANN401  # one of the kind
    _before: Members,
    wanted: Members,
    _work: AccountWork,
) -> Any:  # noqa: ANN401
    """Enabled or not, with all mappings at once."""
    changed = {"enabled": wanted["Enabled"]}
    if "AttributeMappings" in wanted:
        changed["attribute_mappings"] = {
            each["CertificateField"]: tuple(
                rule["Specifier"] for rule in each["MappingRules"]
            )
            for each in wanted["AttributeMappings"]
        }
    return replace(entity, **changed)


async def _shown_list(
    certificate_list: CertificateList, directory: DirectoryReader
) -> Members:
    anchor = await directory.find(
        TRUST_ANCHOR, certificate_list.account, certificate_list.anchor_id
    )
    name = "" if anchor is None else anchor.name
    return {"TrustAnchorName": name, "CrlData": _pem(certificate_list.data)}


async def _check_list(
    before: CertificateList | None, wanted: Members, work: AccountWork
) -> None:
    if before is None:
        return
    there = (await _shown_list(before, work.change))["TrustAnchorName"]
    if there != wanted["TrustAnchorName"]:
        raise TemplateError(
            "TrustAnchorName",
            f"a list of {there} cannot become one of {wanted['TrustAnchorName']};"
            " delete it first",
        )


async def _crl_params(wanted: Members, work: AccountWork) -> Members:
    name, region = wanted["TrustAnchorName"], wanted["Region"]
    account = work.account.account_id
    anchors = await work.change.all_of(TRUST_ANCHOR, account, region=region, name=name)
    if not anchors:
        raise TemplateError(
            "TrustAnchorName", f"{name}: there is no such trust anchor in {region}"
        )
    data = {"trustAnchorArn": anchors[0].arn, "crlData": wanted["CrlData"].encode()}
    return {**await _params(wanted, work), **data}


def _name(properties: Properties, name: str) -> str:
    words = "1 to 255 letters, digits, spaces or any of _-"
    return properties.matching(name, _NAME, words)


def _region(properties: Properties, name: str) -> str:
    value = properties.optional_text(name) or ""
    if value and not _REGION.fullmatch(value):
        raise TemplateError(f"{properties.place}.{name}", "must be a region's name")
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


ROLES_ANYWHERE = (
    _section("TrustAnchors", TRUST_ANCHORS, {"Source": _source}, _shown_source),
    _section(
        "Profiles",
        PROFILES,
        {
            "RoleArns": Properties.distinct,
            "ManagedPolicyArns": Properties.distinct,
            "SessionPolicy": _policy,
            "DurationSeconds": lambda properties, name: properties.integer(
                name, DURATION_SECONDS, 900, 43_200
            ),
            "AcceptRoleSessionName": Properties.flag,
            "AttributeMappings": _mappings,
        },
        _shown_policy,
    ),
    _section(
        "Crls",
        REVOCATION_LISTS,
        {
            "TrustAnchorName": _name,
            "CrlData": lambda properties, name: _pem(properties.text(name).encode()),
        },
        _shown_list,
        params=_crl_params,
        check=_check_list,
    ),
)
