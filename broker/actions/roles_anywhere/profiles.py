"""Profiles: which roles certificates give access to, and how sessions are limited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.roles_anywhere.declare import (
    change,
    everything,
    given_tags,
    list_page,
    passing,
    profile,
    read,
    refusing,
)
from broker.errors import NoSuchEntity
from broker.identities import roles_anywhere as rules
from broker.identities.accounts import require_account
from broker.model.request import Given
from broker.model.roles_anywhere import CertificateProfile
from broker.stores.directory.kinds import CERTIFICATE_PROFILE

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types

_UNSUPPORTED = ("aliasName", "tipConfiguration", "requireInstanceProperties")


async def _create(
    given: types.CreateProfileRequest, call: Call
) -> types.ProfileDetailResponse:
    wanted = CertificateProfile(
        account=call.account,
        profile_id="",
        region=call.region,
        name=given["name"],
        role_arns=tuple(dict.fromkeys(given["roleArns"])),
        managed_policy_arns=tuple(dict.fromkeys(given.get("managedPolicyArns", ()))),
        session_policy=given.get("sessionPolicy") or None,
        duration_seconds=given.get("durationSeconds", rules.DURATION_SECONDS),
        accepts_session_name=given.get("acceptRoleSessionName", False),
        attribute_mappings=rules.NEW_PROFILE_MAPPINGS,
        enabled=given.get("enabled", False),
        created_by=call.caller.principal.arn,
        created_at=call.now,
        updated_at=call.now,
        tags=given_tags(given),
    )
    await rules.check_profile(call.change, wanted)
    account = await require_account(call.change, call.account)
    return {"profile": _view(await rules.create_profile(call.change, account, wanted))}


async def _get(
    given: types.ScalarProfileRequest, call: Call
) -> types.ProfileDetailResponse:
    return {"profile": _view(await _require(given["profileId"], call))}


async def _list(given: types.ListRequest, call: Call) -> types.ListProfilesResponse:
    profiles = [
        one
        for one in await call.directory.all_of(CERTIFICATE_PROFILE, call.account)
        if one.region == call.region
    ]
    shown, token = list_page(given, profiles, lambda one: one.profile_id)
    return {"profiles": [_view(one) for one in shown], **token}  # type: ignore[typeddict-item]


async def _update(
    given: types.UpdateProfileRequest, call: Call
) -> types.ProfileDetailResponse:
    found = await _require(given["profileId"], call)
    wanted = replace(
        found,
        name=given.get("name", found.name),
        role_arns=tuple(dict.fromkeys(given.get("roleArns", found.role_arns))),
        managed_policy_arns=tuple(
            dict.fromkeys(given.get("managedPolicyArns", found.managed_policy_arns))
        ),
        session_policy=given.get("sessionPolicy", found.session_policy),
        duration_seconds=given.get("durationSeconds", found.duration_seconds),
        accepts_session_name=given.get(
            "acceptRoleSessionName", found.accepts_session_name
        ),
    )
    await rules.check_profile(call.change, wanted)
    return await _write(wanted, call)


async def _put_mapping(
    given: types.PutAttributeMappingRequest, call: Call
) -> types.ProfileDetailResponse:
    found = await _require(given["profileId"], call)
    specifiers = [rule["specifier"] for rule in given["mappingRules"]]
    wanted = rules.with_mapping(found, given["certificateField"], specifiers)
    return await _write(wanted, call)


async def _delete_mapping(
    given: types.DeleteAttributeMappingRequest, call: Call
) -> types.ProfileDetailResponse:
    found = await _require(given["profileId"], call)
    wanted = rules.without_mapping(
        found, given["certificateField"], given.get("specifiers", ())
    )
    return await _write(wanted, call)


async def _enable(
    given: types.ScalarProfileRequest, call: Call
) -> types.ProfileDetailResponse:
    found = await _require(given["profileId"], call)
    return await _write(replace(found, enabled=True), call)


async def _disable(
    given: types.ScalarProfileRequest, call: Call
) -> types.ProfileDetailResponse:
    found = await _require(given["profileId"], call)
    return await _write(replace(found, enabled=False), call)


async def _delete(
    given: types.ScalarProfileRequest, call: Call
) -> types.ProfileDetailResponse:
    found = await _require(given["profileId"], call)
    await call.change.remove(CERTIFICATE_PROFILE, found)
    return {"profile": _view(found)}


async def _write(wanted: CertificateProfile, call: Call) -> types.ProfileDetailResponse:
    updated = replace(wanted, updated_at=call.now)
    await call.change.update(CERTIFICATE_PROFILE, updated)
    return {"profile": _view(updated)}


async def _require(identifier: str, call: Call) -> CertificateProfile:
    return await rules.require_profile(
        call.directory, call.account, call.region, identifier
    )


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


async def _roles_inside(given: Given, call: Call) -> Sequence[str]:
    try:
        return (await _require(given["profileId"], call)).role_arns
    except NoSuchEntity:
        return ()


_NAMED = profile("profileId")

PROFILES = (
    passing(change("CreateProfile", refusing(_create, *_UNSUPPORTED), everything)),
    read("GetProfile", _get, _NAMED),
    read("ListProfiles", _list, everything),
    passing(change("UpdateProfile", refusing(_update, *_UNSUPPORTED), _NAMED)),
    change("PutAttributeMapping", _put_mapping, _NAMED),
    change("DeleteAttributeMapping", _delete_mapping, _NAMED),
    passing(change("EnableProfile", _enable, _NAMED), _roles_inside),
    change("DisableProfile", _disable, _NAMED),
    change("DeleteProfile", _delete, _NAMED),
)
