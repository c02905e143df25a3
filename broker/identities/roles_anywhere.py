"""Trust anchors, profiles and revocation lists: the rules.

Source: IAM Roles Anywhere API reference and User Guide; botocore's model.
"""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from broker.entropy import random_bytes
from broker.errors import NoSuchEntity, ValidationError
from broker.identities.documents import checked_document
from broker.identities.limits import Quota, require_within
from broker.identities.managed_policies import find_managed_policy
from broker.model.account import Account, AccountId
from broker.model.arn import Arn
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
    rolesanywhere_arn,
)
from broker.policy import PolicyKind
from broker.protocols.x509 import (
    DEFAULT_MAPPINGS,
    SAN_SPECIFIERS,
    SPECIFIERS,
    CertificateRejected,
    parse_anchors,
    parse_revocation_lists,
)
from broker.stores.directory.kinds import (
    CERTIFICATE_LIST,
    CERTIFICATE_PROFILE,
    TRUST_ANCHOR,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.port.policies import PolicyFinder

NEW_PROFILE_MAPPINGS = DEFAULT_MAPPINGS
SERVICE_PRINCIPAL = "rolesanywhere.amazonaws.com"
DURATION_SECONDS = 3600

_CHARACTERS_MAX = 2048
_MANAGED_POLICIES_MAX = 10
_UUID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Expiry:
    """When an authority's certificate ends, or its next revocation list is due.

    ``at`` is None for a list that does not say; ``revoked`` counts its certificates.
    """

    subject: str
    at: datetime | None
    revoked: int = 0


Named = TypeVar("Named", TrustAnchor, CertificateProfile, CertificateList)


def id_of(identifier: str, kind: str, account: AccountId, region: str) -> str:
    """The id in an id or an ARN of this account and region; empty if it is of another."""
    if ":" not in identifier:
        return identifier
    found = identifier.rpartition("/")[2]
    is_own = identifier == rolesanywhere_arn(region, account, kind, found)
    return found if is_own else ""


def _in_region(found: Named | None, region: str, kind: str, identifier: str) -> Named:
    if found is None or found.region != region:
        raise NoSuchEntity(f"{kind} {identifier[:1011]} not found")
    return found


async def require_anchor(
    directory: DirectoryReader, account: AccountId, region: str, identifier: str
) -> TrustAnchor:
    """A trust anchor of a region, by id or ARN.

    Raises:
        NoSuchEntity: there is none.
    """
    found = await directory.find(
        TRUST_ANCHOR, account, id_of(identifier, "trust-anchor", account, region)
    )
    return _in_region(found, region, "TrustAnchor", identifier)


async def require_profile(
    directory: DirectoryReader, account: AccountId, region: str, identifier: str
) -> CertificateProfile:
    """A profile of a region, by id or ARN.

    Raises:
        NoSuchEntity: there is none.
    """
    found = await directory.find(
        CERTIFICATE_PROFILE, account, id_of(identifier, "profile", account, region)
    )
    return _in_region(found, region, "Profile", identifier)


async def require_list(
    directory: DirectoryReader, account: AccountId, region: str, identifier: str
) -> CertificateList:
    """A revocation list of a region, by id or ARN.

    Raises:
        NoSuchEntity: there is none.
    """
    found = await directory.find(
        CERTIFICATE_LIST, account, id_of(identifier, "crl", account, region)
    )
    return _in_region(found, region, "Crl", identifier)


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
        Expiry(one.subject.rfc4514_string(), one.not_valid_after_utc)
        for one in parse_anchors(certificates).certificates
    )


def list_expiries(data: bytes) -> tuple[Expiry, ...]:
    """When the list after each of these revocation lists is due."""
    return tuple(
        Expiry(one.issuer.rfc4514_string(), one.expires_at, revoked=len(one.serials))
        for one in parse_revocation_lists(data)
    )


async def create_anchor(
    change: DirectoryChange,
    account: Account,
    *,
    region: str,
    name: str,
    certificates: str,
    enabled: bool,
    tags: Mapping[str, str],
    now: datetime,
) -> TrustAnchor:
    """Make a trust anchor; ``certificates`` passed `check_certificates`.

    Raises:
        LimitExceeded: the account has too many.
    """
    count = await change.count(TRUST_ANCHOR, account.account_id)
    require_within(account, Quota.TRUST_ANCHORS, count + 1)
    anchor = TrustAnchor(
        account=account.account_id,
        anchor_id=_new_id(),
        region=region,
        name=name,
        certificates=certificates,
        enabled=enabled,
        created_at=now,
        updated_at=now,
        tags=tags,
    )
    await change.insert(TRUST_ANCHOR, anchor)
    return anchor


async def create_profile(
    change: DirectoryChange, account: Account, profile: CertificateProfile
) -> CertificateProfile:
    """Make a profile, which gets an id of its own.

    Raises:
        LimitExceeded: the account has too many.
        ValidationError, MalformedPolicyDocument: see `check_profile`.
    """
    count = await change.count(CERTIFICATE_PROFILE, account.account_id)
    require_within(account, Quota.CERTIFICATE_PROFILES, count + 1)
    created = replace(profile, profile_id=_new_id())
    await change.insert(CERTIFICATE_PROFILE, created)
    return created


async def check_profile(directory: PolicyFinder, profile: CertificateProfile) -> None:
    """Judge the roles and policies of a profile.

    Raises:
        ValidationError: a role is of another account, or policies are too long, too
            many or missing.
        MalformedPolicyDocument: the session policy is none.
    """
    for role in profile.role_arns:
        try:
            parsed = Arn.parse(role)
        except ValueError as error:
            raise ValidationError(f"{role} is invalid") from error
        if parsed.account != profile.account or not parsed.resource.startswith("role/"):
            raise ValidationError(f"{role} is not a role of this account.")
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
        checked_document(text, PolicyKind.SESSION)
    for arn in arns:
        if await find_managed_policy(directory, profile.account, arn) is None:
            raise ValidationError(f"The policy {arn} does not exist.")


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
    for one in specifiers:
        if one not in known:
            raise ValidationError(
                f"{one[:60]} is not a specifier of {field}; known are"
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
        one for one in mapped.pop(field, ()) if specifiers and one not in specifiers
    ]
    if kept:
        mapped[field] = tuple(kept)
    return replace(profile, attribute_mappings=dict(sorted(mapped.items())))


def check_list(data: bytes, anchor: TrustAnchor) -> None:
    """Judge revocation lists: one by an anchor's own certificate must be signed by it.

    Raises:
        ValidationError: it cannot be read, or is signed by somebody else.
    """
    try:
        lists = parse_revocation_lists(data)
        anchors = parse_anchors(anchor.certificates).certificates
    except CertificateRejected as error:
        raise ValidationError(error.message, detail=error.detail) from error
    for found in lists:
        named = [one for one in anchors if one.subject == found.issuer]
        if named and not any(map(found.is_signed_by, named)):
            raise ValidationError(
                "The revocation list is not signed with the trust anchor's certificate."
            )


async def import_list(
    change: DirectoryChange,
    account: Account,
    anchor: TrustAnchor,
    *,
    name: str,
    data: bytes,
    enabled: bool,
    tags: Mapping[str, str],
    now: datetime,
) -> CertificateList:
    """Keep a revocation list that passed `check_list`.

    Raises:
        LimitExceeded: the trust anchor has too many.
    """
    count = await change.count(
        CERTIFICATE_LIST, anchor.account, anchor_id=anchor.anchor_id
    )
    require_within(account, Quota.CERTIFICATE_LISTS, count + 1)
    created = CertificateList(
        account=anchor.account,
        list_id=_new_id(),
        anchor_id=anchor.anchor_id,
        region=anchor.region,
        name=name,
        data=data,
        enabled=enabled,
        created_at=now,
        updated_at=now,
        tags=tags,
    )
    await change.insert(CERTIFICATE_LIST, created)
    return created


def page_of(
    items: Sequence[Named], key: Callable[[Named], str], after: str | None, limit: int
) -> tuple[Sequence[Named], str | None]:
    """Some of a list in the order of ids, and the token of the next page."""
    rest = [item for item in items if after is None or key(item) > after]
    shown = rest[:limit]
    return shown, key(shown[-1]) if len(rest) > limit else None


def _new_id() -> str:
    return str(uuid.UUID(bytes=random_bytes(_UUID_BYTES), version=4))
