"""The kinds of IAM Roles Anywhere: they are in a region, and have ids.

Trust anchors are certificate authorities whose certificates may open roles; profiles say
which roles, and with what; revocation lists are those of trust anchors.

Source: IAM Roles Anywhere API reference and User Guide; botocore's model.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import NoSuchEntity, UnsupportedOperation, ValidationError, about
from broker.kinds.documents import checked_document
from broker.kinds.limits import Quota
from broker.kinds.managed_policies import find_managed_policy
from broker.kinds.rules import Rules, Work
from broker.kinds.tags import KeyCase, checked_tags
from broker.model.account import AccountId
from broker.model.arn import Arn
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
    rolesanywhere_arn,
)
from broker.policy import PolicyKind
from broker.protocols.x509.attributes import (
    DEFAULT_MAPPINGS,
    SAN_SPECIFIERS,
    SPECIFIERS,
)
from broker.protocols.x509.chain import parse_anchors
from broker.protocols.x509.errors import CertificateRejected
from broker.protocols.x509.revocation import parse_revocation_lists
from broker.runtime.entropy import random_bytes
from broker.runtime.offload import offload_long
from broker.stores.directory.kinds import (
    CERTIFICATE_LIST,
    CERTIFICATE_PROFILE,
    TRUST_ANCHOR,
)
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.stored import Entity

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types


SERVICE_PRINCIPAL = "rolesanywhere.amazonaws.com"

_UUID_BYTES = 16

Named = TrustAnchor | CertificateProfile | CertificateList

BUNDLE = "CERTIFICATE_BUNDLE"
DURATION_SECONDS = 3600
_CHARACTERS_MAX = 2048
_MANAGED_POLICIES_MAX = 10


class Regional(Rules[Entity], frozen=True, eq=False, kw_only=True):
    """A kind of the service.

    ``resource`` is its word in ARNs. ``member`` is what answers call one, and begins
    the names of other members. ``operations`` create, get, list, change, enable,
    disable and delete; they refuse the members ``refused``.
    """

    resource: str
    member: str
    operations: tuple[str, str, str, str, str, str, str]
    refused: tuple[str, ...] = ()


class Expiry(Struct, frozen=True):
    """When an authority's certificate ends, or its next revocation list is due.

    ``at`` is None for a list that does not say; ``revoked`` counts its certificates.
    """

    subject: str
    at: datetime | None
    revoked: int = 0


def id_of(identifier: str, resource: str, account: AccountId, region: str) -> str:
    """The id in an id or an ARN of this account and region; empty if it is of another."""
    if ":" not in identifier:
        return identifier
    text = identifier.rpartition("/")[2]
    is_own = identifier == rolesanywhere_arn(region, account, resource, text)
    return text if is_own else ""


async def require_regional(
    of: Regional[Any],
    directory: DirectoryReader,
    account: AccountId,
    region: str,
    identifier: str,
) -> Any:  # noqa: ANN401  # one of the kind
    """One of a region, by id or ARN.

    Raises:
        NoSuchEntity: there is none.
    """
    key = id_of(identifier, of.resource, account, region)
    entity = await directory.find(of.kind, account, key)
    if entity is None or entity.region != region:
        noun = of.member[0].upper() + of.member[1:]
        raise NoSuchEntity(f"{noun} {identifier[:1011]} not found")
    return entity


def given_tags(tags: Sequence[types.Tag]) -> dict[str, str]:
    """The tags of a request.

    Raises:
        InvalidInput: two have one key, or one is reserved.
    """
    return checked_tags([(tag["key"], tag["value"]) for tag in tags], KeyCase.SENSITIVE)


def new_id() -> str:
    """A new random id."""
    return str(uuid.UUID(bytes=random_bytes(_UUID_BYTES), version=4))


async def _make_anchor(
    params: types.CreateTrustAnchorRequest, work: Work
) -> TrustAnchor:
    return TrustAnchor(
        account=work.account,
        anchor_id=new_id(),
        region=work.region,
        name=params["name"],
        certificates=await _certificates(params["source"]),
        enabled=params.get("enabled", False),
        created_at=work.now,
        updated_at=work.now,
        tags=given_tags(params.get("tags", ())),
    )


async def _change_anchor(
    anchor: TrustAnchor, params: types.UpdateTrustAnchorRequest, work: Work
) -> TrustAnchor:
    source = params.get("source")
    return replace(
        anchor,
        name=params.get("name", anchor.name),
        certificates=await _certificates(source) if source else anchor.certificates,
        updated_at=work.now,
    )


def _anchor_view(anchor: TrustAnchor) -> types.TrustAnchorDetail:
    return {
        "trustAnchorId": anchor.anchor_id,
        "trustAnchorArn": anchor.arn,
        "name": anchor.name,
        "source": {
            "sourceType": BUNDLE,
            "sourceData": {"x509CertificateData": anchor.certificates},
        },
        "enabled": anchor.enabled,
        "createdAt": anchor.created_at,
        "updatedAt": anchor.updated_at,
    }


async def _certificates(source: types.Source) -> str:
    if source.get("sourceType", BUNDLE) != BUNDLE:
        raise UnsupportedOperation(
            f"The source {source['sourceType']} is not supported, only {BUNDLE}."
        )
    with about("source.sourceData.x509CertificateData"):
        pem = source.get("sourceData", {}).get("x509CertificateData")
        if not pem:
            raise ValidationError("Give x509CertificateData.")
        await offload_long(len(pem), lambda: check_certificates(pem))
    return pem


def check_certificates(pem: str) -> None:
    """Judge the certificates of a trust anchor.

    Raises:
        ValidationError: one is none of a certificate authority, or proves too little.
    """
    try:
        parse_anchors(pem)
    except CertificateRejected as error:
        raise ValidationError(error.message, detail=error.detail) from error


def anchor_expiries(certificates: str) -> tuple[Expiry, ...]:
    """When each certificate of a trust anchor ends."""
    return tuple(
        Expiry(certificate.subject.rfc4514_string(), certificate.not_valid_after_utc)
        for certificate in parse_anchors(certificates).certificates
    )


TRUST_ANCHORS = Regional(
    kind=TRUST_ANCHOR,
    quota=Quota.TRUST_ANCHORS,
    make=_make_anchor,
    change=_change_anchor,
    view=_anchor_view,
    resource="trust-anchor",
    member="trustAnchor",
    operations=(
        "CreateTrustAnchor",
        "GetTrustAnchor",
        "ListTrustAnchors",
        "UpdateTrustAnchor",
        "EnableTrustAnchor",
        "DisableTrustAnchor",
        "DeleteTrustAnchor",
    ),
    refused=("aliasName", "crlDpRevocationEnabled", "notificationSettings"),
)


async def _make_profile(
    params: types.CreateProfileRequest, work: Work
) -> CertificateProfile:
    plain = CertificateProfile(
        account=work.account,
        profile_id=new_id(),
        region=work.region,
        name=params["name"],
        role_arns=(),
        managed_policy_arns=(),
        session_policy=None,
        duration_seconds=DURATION_SECONDS,
        accepts_session_name=False,
        attribute_mappings=DEFAULT_MAPPINGS,
        enabled=params.get("enabled", False),
        created_by=work.by,
        created_at=work.now,
        updated_at=work.now,
        tags=given_tags(params.get("tags", ())),
    )
    return await _change_profile(plain, params, work)


async def _change_profile(
    profile: CertificateProfile,
    request: types.CreateProfileRequest | types.UpdateProfileRequest,
    work: Work,
) -> CertificateProfile:
    arns = request.get("managedPolicyArns", profile.managed_policy_arns)
    wanted = replace(
        profile,
        name=request.get("name", profile.name),
        role_arns=tuple(dict.fromkeys(request.get("roleArns", profile.role_arns))),
        managed_policy_arns=tuple(dict.fromkeys(arns)),
        session_policy=request.get("sessionPolicy", profile.session_policy) or None,
        duration_seconds=request.get("durationSeconds", profile.duration_seconds),
        accepts_session_name=request.get(
            "acceptRoleSessionName", profile.accepts_session_name
        ),
        updated_at=work.now,
    )
    await _check_profile(wanted, work)
    return wanted


def _profile_view(profile: CertificateProfile) -> types.ProfileDetail:
    view: types.ProfileDetail = {
        "profileId": profile.profile_id,
        "profileArn": profile.arn,
        "name": profile.name,
        "requireInstanceProperties": False,
        "enabled": profile.enabled,
        "createdBy": profile.created_by,
        "roleArns": list(profile.role_arns),
        "managedPolicyArns": list(profile.managed_policy_arns),
        "createdAt": profile.created_at,
        "updatedAt": profile.updated_at,
        "durationSeconds": profile.duration_seconds,
        "acceptRoleSessionName": profile.accepts_session_name,
        "attributeMappings": [
            {
                "certificateField": field,
                "mappingRules": [{"specifier": specifier} for specifier in specifiers],
            }
            for field, specifiers in profile.attribute_mappings.items()
        ],
    }
    if profile.session_policy:
        view["sessionPolicy"] = profile.session_policy
    return view


async def _check_profile(profile: CertificateProfile, work: Work) -> None:
    for role in profile.role_arns:
        with about(f"roleArns.{role}"):
            _check_role(role, profile.account)
    text, arns = profile.session_policy, profile.managed_policy_arns
    if len(arns) > _MANAGED_POLICIES_MAX:
        raise ValidationError(
            f"A profile can have at most {_MANAGED_POLICIES_MAX} managed policies."
        )
    if len(text or "") + sum(map(len, arns)) > _CHARACTERS_MAX:
        raise ValidationError(
            "The session policy and the ARNs of managed policies can have"
            f" {_CHARACTERS_MAX} characters together."
        )
    if text:
        with about("sessionPolicy"):
            checked_document(text, PolicyKind.SESSION)
    for arn in arns:
        with about(f"managedPolicyArns.{arn}"):
            if await find_managed_policy(work.change, profile.account, arn) is None:
                raise ValidationError(f"The policy {arn} does not exist.")


def _check_role(role: str, account: AccountId) -> None:
    try:
        parsed = Arn.parse(role)
    except ValueError as error:
        raise ValidationError(f"{role} is invalid") from error
    if parsed.account != account or not parsed.resource.startswith("role/"):
        raise ValidationError(f"{role} is not a role of this account.")


def with_mapping(
    profile: CertificateProfile, field: str, specifiers: Sequence[str]
) -> CertificateProfile:
    """The profile with these rules for a field of the certificate, and no others.

    Raises:
        ValidationError: see `check_mapping`.
    """
    check_mapping(field, specifiers)
    mapped = {**profile.attribute_mappings, field: tuple(dict.fromkeys(specifiers))}
    return replace(profile, attribute_mappings=dict(sorted(mapped.items())))


def check_mapping(field: str, specifiers: Sequence[str]) -> None:
    """Judge the mapping rules of a field of the certificate.

    Raises:
        ValidationError: the field or a specifier is unknown, or there is none.
    """
    if field not in DEFAULT_MAPPINGS:
        raise ValidationError(
            f"{field[:60]} is not a field; known are {', '.join(DEFAULT_MAPPINGS)}."
        )
    known = SAN_SPECIFIERS if field == "x509SAN" else SPECIFIERS
    for specifier in specifiers:
        if specifier not in known:
            raise ValidationError(
                f"{specifier[:60]} is not a specifier of {field}; known are"
                f" {', '.join(sorted(known))}."
            )
    if not specifiers:
        raise ValidationError("Give at least one mapping rule.")


def without_mapping(
    profile: CertificateProfile, field: str, specifiers: Collection[str]
) -> CertificateProfile:
    """The profile without these rules of a field; without any, if none is named."""
    mapped = dict(profile.attribute_mappings)
    kept = [
        text for text in mapped.pop(field, ()) if specifiers and text not in specifiers
    ]
    if kept:
        mapped[field] = tuple(kept)
    return replace(profile, attribute_mappings=dict(sorted(mapped.items())))


PROFILES = Regional(
    kind=CERTIFICATE_PROFILE,
    quota=Quota.CERTIFICATE_PROFILES,
    make=_make_profile,
    change=_change_profile,
    view=_profile_view,
    resource="profile",
    member="profile",
    operations=(
        "CreateProfile",
        "GetProfile",
        "ListProfiles",
        "UpdateProfile",
        "EnableProfile",
        "DisableProfile",
        "DeleteProfile",
    ),
    refused=("aliasName", "tipConfiguration", "requireInstanceProperties"),
)


async def _make_list(params: types.ImportCrlRequest, work: Work) -> CertificateList:
    anchor = await _checked_anchor(params["crlData"], params["trustAnchorArn"], work)
    return CertificateList(
        account=work.account,
        list_id=new_id(),
        anchor_id=anchor.anchor_id,
        region=work.region,
        name=params["name"],
        data=params["crlData"],
        enabled=params.get("enabled", False),
        created_at=work.now,
        updated_at=work.now,
        tags=given_tags(params.get("tags", ())),
    )


async def _change_list(
    certificate_list: CertificateList, params: types.UpdateCrlRequest, work: Work
) -> CertificateList:
    data = params.get("crlData")
    if data is not None:
        await _checked_anchor(data, certificate_list.anchor_id, work)
    return replace(
        certificate_list,
        name=params.get("name", certificate_list.name),
        data=certificate_list.data if data is None else data,
        updated_at=work.now,
    )


def _list_view(certificate_list: CertificateList) -> types.CrlDetail:
    return {
        "crlId": certificate_list.list_id,
        "crlArn": certificate_list.arn,
        "name": certificate_list.name,
        "enabled": certificate_list.enabled,
        "crlData": certificate_list.data,
        "trustAnchorArn": rolesanywhere_arn(
            certificate_list.region,
            certificate_list.account,
            TRUST_ANCHORS.resource,
            certificate_list.anchor_id,
        ),
        "createdAt": certificate_list.created_at,
        "updatedAt": certificate_list.updated_at,
    }


async def _checked_anchor(data: bytes, named: str, work: Work) -> TrustAnchor:
    """The anchor of lists: one by its own certificate must be signed by it."""
    anchor: TrustAnchor = await require_regional(
        TRUST_ANCHORS, work.change, work.account, work.region, named
    )
    with about("crlData"):
        await offload_long(len(data), lambda: _check_lists(data, anchor))
    return anchor


def _check_lists(data: bytes, anchor: TrustAnchor) -> None:
    try:
        lists = parse_revocation_lists(data)
        anchors = parse_anchors(anchor.certificates).certificates
    except CertificateRejected as error:
        raise ValidationError(error.message, detail=error.detail) from error
    for revocation_list in lists:
        named = [
            certificate
            for certificate in anchors
            if certificate.subject == revocation_list.issuer
        ]
        if named and not any(map(revocation_list.is_signed_by, named)):
            raise ValidationError(
                "The revocation list is not signed with the trust anchor's certificate."
            )


def list_expiries(data: bytes) -> tuple[Expiry, ...]:
    """When the list after each of these revocation lists is due."""
    return tuple(
        Expiry(
            revocation_list.issuer.rfc4514_string(),
            revocation_list.expires_at,
            revoked=len(revocation_list.serials),
        )
        for revocation_list in parse_revocation_lists(data)
    )


REVOCATION_LISTS = Regional(
    kind=CERTIFICATE_LIST,
    quota=Quota.CERTIFICATE_LISTS,
    counted_by=("anchor_id",),
    make=_make_list,
    change=_change_list,
    view=_list_view,
    resource="crl",
    member="crl",
    operations=(
        "ImportCrl",
        "GetCrl",
        "ListCrls",
        "UpdateCrl",
        "EnableCrl",
        "DisableCrl",
        "DeleteCrl",
    ),
    refused=("aliasName",),
)

KINDS = (TRUST_ANCHORS, PROFILES, REVOCATION_LISTS)
