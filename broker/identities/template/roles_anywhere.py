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
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from broker.errors import BrokerError
from broker.identities import roles_anywhere as rules
from broker.identities.tags import KeyCase
from broker.identities.template.documents import read_document
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
    shown_tags,
)
from broker.identities.template.properties import Properties, normal_document
from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
)
from broker.policy import PolicyKind
from broker.stores.directory.kinds import (
    CERTIFICATE_LIST,
    CERTIFICATE_PROFILE,
    TRUST_ANCHOR,
)
from broker.stores.directory.port import DirectoryReader

_NAME = re.compile(r"[ a-zA-Z0-9_-]{1,255}")
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_BUNDLE = "CERTIFICATE_BUNDLE"
_BEGIN, _END = "-----BEGIN X509 CRL-----", "-----END X509 CRL-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorSpec:
    """A trust anchor."""

    name: str
    region: str
    certificates: str = field(metadata={"property": "Source"})
    enabled: bool = field(metadata={"property": "Enabled"})
    tags: Mapping[str, str] = field(metadata={"property": "Tags"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSpec:
    """A profile."""

    name: str
    region: str
    role_arns: tuple[str, ...] = field(metadata={"property": "RoleArns"})
    managed_policy_arns: tuple[str, ...] = field(
        metadata={"property": "ManagedPolicyArns"}
    )
    session_policy: str = field(metadata={"property": "SessionPolicy"})
    duration_seconds: int = field(metadata={"property": "DurationSeconds"})
    accepts_session_name: bool = field(metadata={"property": "AcceptRoleSessionName"})
    mappings: Mapping[str, tuple[str, ...]] = field(
        metadata={"property": "AttributeMappings"}
    )
    enabled: bool = field(metadata={"property": "Enabled"})
    tags: Mapping[str, str] = field(metadata={"property": "Tags"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSpec:
    """A revocation list, in PEM, of the trust anchor with a name."""

    name: str
    region: str
    anchor_name: str = field(metadata={"property": "TrustAnchorName"})
    data: str = field(metadata={"property": "CrlData"})
    enabled: bool = field(metadata={"property": "Enabled"})
    tags: Mapping[str, str] = field(metadata={"property": "Tags"})


_Spec = TypeVar("_Spec", AnchorSpec, ProfileSpec, ListSpec)
_Entity = TypeVar("_Entity", TrustAnchor, CertificateProfile, CertificateList)


def _parse_anchor(properties: Properties, reading: AccountReading) -> AnchorSpec:
    source = Properties(properties.mapping("Source"), f"{properties.place}.Source")
    if source.text("SourceType") != _BUNDLE:
        raise TemplateError(f"{source.place}.SourceType", f"must be {_BUNDLE}")
    data = Properties(source.mapping("SourceData"), f"{source.place}.SourceData")
    pem = data.text("X509CertificateData").strip()
    data.finish()
    source.finish()
    try:
        rules.check_certificates(pem)
    except BrokerError as error:
        raise TemplateError(f"{data.place}.X509CertificateData", str(error)) from error
    return AnchorSpec(
        name=_name(properties, "Name"),
        region=_region(properties, reading),
        certificates=pem,
        enabled=properties.flag("Enabled"),
        tags=properties.tags(KeyCase.SENSITIVE),
    )


def _parse_profile(properties: Properties, reading: AccountReading) -> ProfileSpec:
    policy = ""
    if properties.has("SessionPolicy"):
        text = read_document(properties, "SessionPolicy", PolicyKind.SESSION)
        policy = normal_document(text)
    return ProfileSpec(
        name=_name(properties, "Name"),
        region=_region(properties, reading),
        role_arns=tuple(dict.fromkeys(properties.texts("RoleArns"))),
        managed_policy_arns=tuple(dict.fromkeys(properties.texts("ManagedPolicyArns"))),
        session_policy=policy,
        duration_seconds=properties.integer(
            "DurationSeconds", rules.DURATION_SECONDS, 900, 43_200
        ),
        accepts_session_name=properties.flag("AcceptRoleSessionName"),
        mappings=_parse_mappings(properties),
        enabled=properties.flag("Enabled"),
        tags=properties.tags(KeyCase.SENSITIVE),
    )


def _parse_mappings(properties: Properties) -> dict[str, tuple[str, ...]]:
    """``AttributeMappings``; without the property those that a new profile has."""
    if not properties.has("AttributeMappings"):
        return {name: tuple(each) for name, each in rules.NEW_PROFILE_MAPPINGS.items()}
    found: dict[str, tuple[str, ...]] = {}
    for item in properties.items("AttributeMappings"):
        name = item.text("CertificateField")
        specifiers = []
        for rule in item.items("MappingRules"):
            specifiers.append(rule.text("Specifier"))
            rule.finish()
        item.finish()
        if name in found:
            raise TemplateError(item.place, f"{name} comes twice")
        try:
            rules.check_mapping(name, specifiers)
        except BrokerError as error:
            raise TemplateError(item.place, str(error)) from error
        found[name] = tuple(dict.fromkeys(specifiers))
    return dict(sorted(found.items()))


def _parse_list(properties: Properties, reading: AccountReading) -> ListSpec:
    region = _region(properties, reading)
    return ListSpec(
        name=_name(properties, "Name"),
        region=region,
        anchor_name=_name(properties, "TrustAnchorName"),
        data=_pem(properties.text("CrlData").encode()),
        enabled=properties.flag("Enabled"),
        tags=properties.tags(KeyCase.SENSITIVE),
    )


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


async def _load_anchors(
    directory: DirectoryReader, account: AccountId
) -> list[AnchorSpec]:
    return _require_unique(
        [_anchor_spec(one) for one in await directory.all_of(TRUST_ANCHOR, account)],
        "trust anchors",
    )


def _anchor_spec(one: TrustAnchor) -> AnchorSpec:
    return AnchorSpec(
        name=one.name,
        region=one.region,
        certificates=one.certificates.strip(),
        enabled=one.enabled,
        tags=dict(one.tags),
    )


async def _load_profiles(
    directory: DirectoryReader, account: AccountId
) -> list[ProfileSpec]:
    specs = [
        ProfileSpec(
            name=one.name,
            region=one.region,
            role_arns=one.role_arns,
            managed_policy_arns=one.managed_policy_arns,
            session_policy=normal_document(one.session_policy or ""),
            duration_seconds=one.duration_seconds,
            accepts_session_name=one.accepts_session_name,
            mappings={
                name: tuple(each) for name, each in one.attribute_mappings.items()
            },
            enabled=one.enabled,
            tags=dict(one.tags),
        )
        for one in await directory.all_of(CERTIFICATE_PROFILE, account)
    ]
    return _require_unique(specs, "profiles")


async def _load_lists(directory: DirectoryReader, account: AccountId) -> list[ListSpec]:
    anchors = {
        one.anchor_id: one.name for one in await directory.all_of(TRUST_ANCHOR, account)
    }
    specs = [
        ListSpec(
            name=one.name,
            region=one.region,
            anchor_name=anchors[one.anchor_id],
            data=_pem(one.data),
            enabled=one.enabled,
            tags=dict(one.tags),
        )
        for one in await directory.all_of(CERTIFICATE_LIST, account)
    ]
    return _require_unique(specs, "revocation lists")


def _key(spec: AnchorSpec | ProfileSpec | ListSpec) -> str:
    return f"{spec.region}/{spec.name}"


def _require_unique(specs: list[_Spec], noun: str) -> list[_Spec]:
    for name, count in Counter(map(_key, specs)).items():
        if count > 1:
            raise TemplateError(
                name, f"{count} {noun} have this name; give them names of their own"
            )
    return specs


async def _create_anchor(work: AccountWork, spec: AnchorSpec) -> None:
    await rules.create_anchor(
        work.change,
        work.account,
        region=spec.region,
        name=spec.name,
        certificates=spec.certificates,
        enabled=spec.enabled,
        tags=spec.tags,
        now=work.now,
    )


async def _update_anchor(
    work: AccountWork, before: AnchorSpec, after: AnchorSpec
) -> None:
    found = await _find_anchor(work, before.region, before.name)
    await work.change.update(
        TRUST_ANCHOR,
        replace(
            found,
            certificates=after.certificates,
            enabled=after.enabled,
            tags=after.tags,
            updated_at=work.now,
        ),
    )


async def _delete_anchor(work: AccountWork, spec: AnchorSpec) -> None:
    found = await _find_anchor(work, spec.region, spec.name)
    await work.change.remove(TRUST_ANCHOR, found)


async def _find_anchor(work: AccountWork, region: str, name: str) -> TrustAnchor:
    listed = await work.change.all_of(TRUST_ANCHOR, work.account.account_id)
    return _find(listed, region, name, "trust anchor")


async def _create_profile(work: AccountWork, spec: ProfileSpec) -> None:
    account = work.account.account_id
    wanted = _with_spec(
        CertificateProfile(
            account=account,
            profile_id="",
            region=spec.region,
            name=spec.name,
            role_arns=(),
            managed_policy_arns=(),
            session_policy=None,
            duration_seconds=spec.duration_seconds,
            accepts_session_name=False,
            attribute_mappings={},
            enabled=False,
            created_by=iam_arn(account, "root"),
            created_at=work.now,
            updated_at=work.now,
        ),
        spec,
    )
    await rules.check_profile(work.change, wanted)
    await rules.create_profile(work.change, work.account, wanted)


async def _update_profile(
    work: AccountWork, before: ProfileSpec, after: ProfileSpec
) -> None:
    found = await _find_profile(work, before)
    wanted = replace(_with_spec(found, after), updated_at=work.now)
    await rules.check_profile(work.change, wanted)
    await work.change.update(CERTIFICATE_PROFILE, wanted)


async def _delete_profile(work: AccountWork, spec: ProfileSpec) -> None:
    await work.change.remove(CERTIFICATE_PROFILE, await _find_profile(work, spec))


async def _find_profile(work: AccountWork, spec: ProfileSpec) -> CertificateProfile:
    listed = await work.change.all_of(CERTIFICATE_PROFILE, work.account.account_id)
    return _find(listed, spec.region, spec.name, "profile")


def _with_spec(profile: CertificateProfile, spec: ProfileSpec) -> CertificateProfile:
    return replace(
        profile,
        role_arns=spec.role_arns,
        managed_policy_arns=spec.managed_policy_arns,
        session_policy=spec.session_policy or None,
        duration_seconds=spec.duration_seconds,
        accepts_session_name=spec.accepts_session_name,
        attribute_mappings=spec.mappings,
        enabled=spec.enabled,
        tags=spec.tags,
    )


async def _create_list(work: AccountWork, spec: ListSpec) -> None:
    anchor = await _find_anchor(work, spec.region, spec.anchor_name)
    data = spec.data.encode()
    rules.check_list(data, anchor)
    await rules.import_list(
        work.change,
        work.account,
        anchor,
        name=spec.name,
        data=data,
        enabled=spec.enabled,
        tags=spec.tags,
        now=work.now,
    )


async def _update_list(work: AccountWork, before: ListSpec, after: ListSpec) -> None:
    if before.anchor_name != after.anchor_name:
        raise TemplateError(
            after.name,
            f"a list of {before.anchor_name} cannot become one of {after.anchor_name};"
            " delete it first",
        )
    anchor = await _find_anchor(work, after.region, after.anchor_name)
    data = after.data.encode()
    rules.check_list(data, anchor)
    found = await _find_list(work, before)
    await work.change.update(
        CERTIFICATE_LIST,
        replace(
            found,
            data=data,
            enabled=after.enabled,
            tags=after.tags,
            updated_at=work.now,
        ),
    )


async def _delete_list(work: AccountWork, spec: ListSpec) -> None:
    await work.change.remove(CERTIFICATE_LIST, await _find_list(work, spec))


async def _find_list(work: AccountWork, spec: ListSpec) -> CertificateList:
    listed = await work.change.all_of(CERTIFICATE_LIST, work.account.account_id)
    return _find(listed, spec.region, spec.name, "revocation list")


def _find(listed: Iterable[_Entity], region: str, name: str, noun: str) -> _Entity:
    for one in listed:
        if (one.region, one.name) == (region, name):
            return one
    raise TemplateError(name, f"there is no such {noun} in {region}")


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


def _show_anchor(spec: AnchorSpec) -> dict[str, object]:
    return {
        "Name": spec.name,
        "Region": spec.region,
        "Enabled": spec.enabled,
        "Source": {
            "SourceType": _BUNDLE,
            "SourceData": {"X509CertificateData": spec.certificates},
        },
        "Tags": shown_tags(spec.tags),
    }


def _show_profile(spec: ProfileSpec) -> dict[str, object]:
    return {
        "Name": spec.name,
        "Region": spec.region,
        "Enabled": spec.enabled,
        "RoleArns": list(spec.role_arns),
        "ManagedPolicyArns": list(spec.managed_policy_arns),
        "SessionPolicy": spec.session_policy,
        "DurationSeconds": spec.duration_seconds,
        "AcceptRoleSessionName": spec.accepts_session_name,
        "AttributeMappings": [
            {
                "CertificateField": name,
                "MappingRules": [{"Specifier": one} for one in specifiers],
            }
            for name, specifiers in spec.mappings.items()
        ],
        "Tags": shown_tags(spec.tags),
    }


def _show_list(spec: ListSpec) -> dict[str, object]:
    return {
        "Name": spec.name,
        "Region": spec.region,
        "Enabled": spec.enabled,
        "TrustAnchorName": spec.anchor_name,
        "CrlData": spec.data,
        "Tags": shown_tags(spec.tags),
    }


TRUST_ANCHORS: EntityKind[AnchorSpec] = EntityKind(
    section="TrustAnchors",
    noun="trust anchor",
    parse=_parse_anchor,
    load=_load_anchors,
    create=_create_anchor,
    update=_update_anchor,
    delete=_delete_anchor,
    show=_show_anchor,
    key=_key,
)
PROFILES: EntityKind[ProfileSpec] = EntityKind(
    section="Profiles",
    noun="profile",
    parse=_parse_profile,
    load=_load_profiles,
    create=_create_profile,
    update=_update_profile,
    delete=_delete_profile,
    show=_show_profile,
    key=_key,
)
CRLS: EntityKind[ListSpec] = EntityKind(
    section="Crls",
    noun="revocation list",
    parse=_parse_list,
    load=_load_lists,
    create=_create_list,
    update=_update_list,
    delete=_delete_list,
    show=_show_list,
    key=_key,
)
