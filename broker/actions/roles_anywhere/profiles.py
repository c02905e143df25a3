"""What profiles have besides the plain operations: mappings, and roles to pass."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from broker.actions.action import Action, Call
from broker.actions.roles_anywhere.plain import change, named, plain, write
from broker.errors import NoSuchEntity
from broker.kinds import roles_anywhere as rules
from broker.kinds.roles_anywhere import SERVICE_PRINCIPAL, require_regional
from broker.model.request import Given
from broker.model.roles_anywhere import CertificateProfile
from broker.permit.need import Need

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types

Roles = Callable[[Given, Call], Awaitable[Sequence[str]]]
"""The ARNs of the roles that a call hands to the service."""


async def _put_mapping(
    given: types.PutAttributeMappingRequest, call: Call
) -> Mapping[str, Any]:
    specifiers = [rule["specifier"] for rule in given["mappingRules"]]
    found = await _require(given, call)
    wanted = rules.with_mapping(found, given["certificateField"], specifiers)
    return await write(rules.PROFILES, wanted, call)


async def _delete_mapping(
    given: types.DeleteAttributeMappingRequest, call: Call
) -> Mapping[str, Any]:
    found, name = await _require(given, call), given["certificateField"]
    wanted = rules.without_mapping(found, name, given.get("specifiers", ()))
    return await write(rules.PROFILES, wanted, call)


async def _require(given: Given, call: Call) -> CertificateProfile:
    at = (call.directory, call.account, call.region)
    found: CertificateProfile = await require_regional(
        rules.PROFILES, *at, given["profileId"]
    )
    return found


async def _given_roles(given: Given, _call: Call) -> Sequence[str]:
    roles: Sequence[str] = given.get("roleArns", ())
    return roles


async def _roles_inside(given: Given, call: Call) -> Sequence[str]:
    try:
        return (await _require(given, call)).role_arns
    except NoSuchEntity:
        return ()


def _passing(action: Action, roles: Roles = _given_roles) -> Action:
    """The action, which then needs permission to pass every one of the roles."""

    async def needs(given: Given, call: Call) -> tuple[Need, ...]:
        own = await action.needs(given, call)
        passed = {"iam:passedtoservice": (SERVICE_PRINCIPAL,)}
        return (
            *own,
            *(
                Need(
                    action="iam:PassRole",
                    resource=arn,
                    account=call.account,
                    context=passed,
                )
                for arn in dict.fromkeys(await roles(given, call))
            ),
        )

    return replace(action, needs=needs)


_create, _get, _list, _update, _enable, _disable, _delete = plain(rules.PROFILES)
_ON = named(rules.PROFILES)

PROFILES = (
    _passing(_create),
    _get,
    _list,
    _passing(_update),
    change("PutAttributeMapping", _put_mapping, _ON),
    change("DeleteAttributeMapping", _delete_mapping, _ON),
    _passing(_enable, _roles_inside),
    _disable,
    _delete,
)
