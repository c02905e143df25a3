"""Profiles of IAM Roles Anywhere: which roles certificates may open, and with what."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.errors import ValidationError, about
from broker.kinds.documents import checked_document
from broker.kinds.kind import Work
from broker.kinds.limits import Quota
from broker.kinds.managed_policies import find_managed_policy
from broker.kinds.roles_anywhere import Regional, given_tags, new_id
from broker.model.account import AccountId
from broker.model.arn import Arn
from broker.model.roles_anywhere import CertificateProfile
from broker.policy import PolicyKind
from broker.protocols.x509 import DEFAULT_MAPPINGS, SAN_SPECIFIERS, SPECIFIERS
from broker.stores.directory.kinds import CERTIFICATE_PROFILE

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types

DURATION_SECONDS = 3600
_CHARACTERS_MAX = 2048
_MANAGED_POLICIES_MAX = 10


async def _make(given: types.CreateProfileRequest, work: Work) -> CertificateProfile:
    plain = CertificateProfile(
        account=work.account,
        profile_id=new_id(),
        region=work.region,
        name=given["name"],
        role_arns=(),
        managed_policy_arns=(),
        session_policy=None,
        duration_seconds=DURATION_SECONDS,
        accepts_session_name=False,
        attribute_mappings=DEFAULT_MAPPINGS,
        enabled=given.get("enabled", False),
        created_by=work.by,
        created_at=work.now,
        updated_at=work.now,
        tags=given_tags(given.get("tags", ())),
    )
    return await _change(plain, given, work)


async def _change(
    found: CertificateProfile,
    given: types.CreateProfileRequest | types.UpdateProfileRequest,
    work: Work,
) -> CertificateProfile:
    arns = given.get("managedPolicyArns", found.managed_policy_arns)
    wanted = replace(
        found,
        name=given.get("name", found.name),
        role_arns=tuple(dict.fromkeys(given.get("roleArns", found.role_arns))),
        managed_policy_arns=tuple(dict.fromkeys(arns)),
        session_policy=given.get("sessionPolicy", found.session_policy) or None,
        duration_seconds=given.get("durationSeconds", found.duration_seconds),
        accepts_session_name=given.get(
            "acceptRoleSessionName", found.accepts_session_name
        ),
        updated_at=work.now,
    )
    await _check(wanted, work)
    return wanted


def _view(found: CertificateProfile) -> types.ProfileDetail:
    view: types.ProfileDetail = {
        "profileId": found.profile_id,
        "profileArn": found.arn,
        "name": found.name,
        "requireInstanceProperties": False,
        "enabled": found.enabled,
        "createdBy": found.created_by,
        "roleArns": list(found.role_arns),
        "managedPolicyArns": list(found.managed_policy_arns),
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "durationSeconds": found.duration_seconds,
        "acceptRoleSessionName": found.accepts_session_name,
        "attributeMappings": [
            {
                "certificateField": field,
                "mappingRules": [{"specifier": one} for one in specifiers],
            }
            for field, specifiers in found.attribute_mappings.items()
        ],
    }
    if found.session_policy:
        view["sessionPolicy"] = found.session_policy
    return view


async def _check(profile: CertificateProfile, work: Work) -> None:
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


PROFILES = Regional(
    kind=CERTIFICATE_PROFILE,
    quota=Quota.CERTIFICATE_PROFILES,
    make=_make,
    change=_change,
    view=_view,
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
