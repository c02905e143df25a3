"""The operations that every kind of IAM Roles Anywhere has, read from its description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from broker.actions.action import Action, Call, Handle
from broker.errors import NoSuchEntity, UnsupportedOperation, ValidationError
from broker.kinds import kind as rules
from broker.kinds.names import KeyCase, tag_pairs, with_tags, without_tags
from broker.kinds.roles_anywhere import (
    KINDS,
    SERVICE_PRINCIPAL,
    Regional,
    given_tags,
    require_regional,
    with_mapping,
    without_mapping,
)
from broker.kinds.roles_anywhere import PROFILES as KIND
from broker.model.request import Given
from broker.model.roles_anywhere import CertificateProfile, rolesanywhere_arn
from broker.permit.context import Context, tag_context
from broker.permit.need import Need

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types


SERVICE = "rolesanywhere"
PAGE_SIZE_MAX = 100

_BY_RESOURCE: Mapping[str, Regional[Any]] = {one.resource: one for one in KINDS}
Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class On:
    """What a call is done on: its ARN, and condition keys of its tags."""

    arn: str
    context: Context = field(default_factory=dict)


Target = Callable[[Given, Call], Awaitable[On]]


def plain(of: Regional[Any]) -> tuple[Action, ...]:
    """Create, get, list, update, enable, disable and delete, in this order."""
    member = of.member
    on = named(of)

    async def find(given: Given, call: Call) -> Any:  # noqa: ANN401  # one of the kind
        identifier = given[f"{member}Id"]
        return await require_regional(
            of, call.directory, call.account, call.region, identifier
        )

    async def create(given: Given, call: Call) -> Answer:
        _refuse(of, given)
        return {member: of.view(await rules.create(of, given, call.work))}

    async def get(given: Given, call: Call) -> Answer:
        return {member: of.view(await find(given, call))}

    async def list_all(given: Given, call: Call) -> Answer:
        found = await call.directory.all_of(of.kind, call.account, region=call.region)
        shown, token = _page(given, found, of.kind.key)
        return {f"{member}s": [of.view(one) for one in shown], **token}

    async def update(given: Given, call: Call) -> Answer:
        _refuse(of, given)
        found = await find(given, call)
        return await write(of, await of.change(found, given, call.work), call)

    def switch(*, enabled: bool) -> Handle:
        async def run(given: Given, call: Call) -> Answer:
            found = await find(given, call)
            return await write(of, replace(found, enabled=enabled), call)

        return run

    async def delete(given: Given, call: Call) -> Answer:
        found = await find(given, call)
        await call.change.remove(of.kind, found)
        return {member: of.view(found)}

    creating, getting, listing, updating, enabling, disabling, deleting = of.operations
    return (
        change(creating, create, everything),
        read(getting, get, on),
        read(listing, list_all, everything),
        change(updating, update, on),
        change(enabling, switch(enabled=True), on),
        change(disabling, switch(enabled=False), on),
        change(deleting, delete, on),
    )


async def write(of: Regional[Any], wanted: Any, call: Call) -> Answer:  # noqa: ANN401  # one of the kind
    """Keep what was changed, and show it."""
    updated = replace(wanted, updated_at=call.now)
    await call.change.update(of.kind, updated)
    return {of.member: of.view(updated)}


def _page(
    given: Given, found: Sequence[Any], key: str
) -> tuple[Sequence[Any], dict[str, str]]:
    """Some of a list in the order of ids, and the member that leads to the next."""
    size = given.get("pageSize", PAGE_SIZE_MAX)
    if not 1 <= size <= PAGE_SIZE_MAX:
        raise ValidationError(f"pageSize must be between 1 and {PAGE_SIZE_MAX}.")
    after = given.get("nextToken", "")
    rest = [one for one in found if getattr(one, key) > after]
    last = {"nextToken": getattr(rest[size - 1], key)} if len(rest) > size else {}
    return rest[:size], last


def _refuse(of: Regional[Any], given: Given) -> None:
    for name in of.refused:
        if given.get(name):
            raise UnsupportedOperation(f"The parameter {name} is not supported.")


def named(of: Regional[Any], member: str = "") -> Target:
    """What a member names, by id or ARN."""

    async def target(given: Given, call: Call) -> On:
        name = given[member or f"{of.member}Id"]
        at = (call.directory, call.account, call.region)
        try:
            found = await require_regional(of, *at, name)
        except NoSuchEntity:
            last = name.rpartition("/")[2]
            return On(rolesanywhere_arn(call.region, call.account, of.resource, last))
        return On(found.arn, tag_context("aws:resourcetag", found.tags))

    return target


async def everything(given: Given, _call: Call) -> On:
    """Lists and new things are about no resource; tags of new things are keys."""
    return On("*", _tag_keys(given_tags(given.get("tags", ()))))


def _tag_keys(tags: Mapping[str, str], keys: Sequence[str] = ()) -> Context:
    named = tuple(tags) or tuple(keys)
    context = tag_context("aws:requesttag", tags)
    return {**context, "aws:tagkeys": named} if named else {**context}


async def _resource(given: Given, call: Call) -> On:
    arn = given["resourceArn"]
    of = _BY_RESOURCE.get(_resource_of(arn))
    found = On(arn) if of is None else await named(of, "resourceArn")(given, call)
    tags = given_tags(given.get("tags", ()))
    return On(found.arn, {**found.context, **_tag_keys(tags, given.get("tagKeys", ()))})


async def _require(given: Given, call: Call) -> tuple[Regional[Any], Any]:
    arn = given["resourceArn"]
    of = _BY_RESOURCE.get(_resource_of(arn))
    if of is None:
        raise NoSuchEntity(f"Resource {arn} not found")
    at = (call.directory, call.account, call.region)
    return of, await require_regional(of, *at, arn)


def _resource_of(arn: str) -> str:
    return arn.rpartition(":")[2].partition("/")[0]


async def _list_tags(
    given: types.ListTagsForResourceRequest, call: Call
) -> types.ListTagsForResourceResponse:
    _, found = await _require(given, call)
    return {
        "tags": [{"key": key, "value": value} for key, value in tag_pairs(found.tags)]
    }


async def _tag(given: types.TagResourceRequest, call: Call) -> None:
    of, found = await _require(given, call)
    tags = with_tags(found.tags, given_tags(given["tags"]), KeyCase.SENSITIVE)
    await call.change.update(of.kind, replace(found, tags=tags))


async def _untag(given: types.UntagResourceRequest, call: Call) -> None:
    of, found = await _require(given, call)
    tags = without_tags(found.tags, given["tagKeys"], KeyCase.SENSITIVE)
    await call.change.update(of.kind, replace(found, tags=tags))


def read(name: str, handle: Handle, on: Target) -> Action:
    """An action that changes nothing."""
    return _action(name, handle, on, writes=False)


def change(name: str, handle: Handle, on: Target) -> Action:
    """An action that runs inside a transaction."""
    return _action(name, handle, on, writes=True)


def _action(name: str, handle: Handle, on: Target, *, writes: bool) -> Action:
    async def needs(given: Given, call: Call) -> tuple[Need, ...]:
        target = await on(given, call)
        return (
            Need(
                action=f"{SERVICE}:{name}",
                resource=target.arn,
                account=call.account,
                context=target.context,
            ),
        )

    return Action(
        service=SERVICE,
        name=name,
        handle=handle,
        needs=needs,
        writes=writes,
        audited=_SHOWN,
        lists=not writes,
    )


_SHOWN = (
    "acceptRoleSessionName",
    "certificateField",
    "crlId",
    "durationSeconds",
    "enabled",
    "managedPolicyArns",
    "mappingRules",
    "name",
    "profileId",
    "resourceArn",
    "roleArns",
    "sessionPolicy",
    "source",
    "specifiers",
    "tagKeys",
    "tags",
    "trustAnchorArn",
    "trustAnchorId",
)

TAGS = (
    read("ListTagsForResource", _list_tags, _resource),
    change("TagResource", _tag, _resource),
    change("UntagResource", _untag, _resource),
)


Roles = Callable[[Given, Call], Awaitable[Sequence[str]]]
"""The ARNs of the roles that a call hands to the service."""


async def _put_mapping(
    given: types.PutAttributeMappingRequest, call: Call
) -> Mapping[str, Any]:
    specifiers = [rule["specifier"] for rule in given["mappingRules"]]
    found = await _require_profile(given, call)
    wanted = with_mapping(found, given["certificateField"], specifiers)
    return await write(KIND, wanted, call)


async def _delete_mapping(
    given: types.DeleteAttributeMappingRequest, call: Call
) -> Mapping[str, Any]:
    found, name = await _require_profile(given, call), given["certificateField"]
    wanted = without_mapping(found, name, given.get("specifiers", ()))
    return await write(KIND, wanted, call)


async def _require_profile(given: Given, call: Call) -> CertificateProfile:
    at = (call.directory, call.account, call.region)
    found: CertificateProfile = await require_regional(KIND, *at, given["profileId"])
    return found


async def _given_roles(given: Given, _call: Call) -> Sequence[str]:
    roles: Sequence[str] = given.get("roleArns", ())
    return roles


async def _roles_inside(given: Given, call: Call) -> Sequence[str]:
    try:
        return (await _require_profile(given, call)).role_arns
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


_create, _get, _list, _update, _enable, _disable, _delete = plain(KIND)
_ON = named(KIND)

PLAIN = (
    *(action for of in KINDS if of is not KIND for action in plain(of)),
    _passing(_create),
    _get,
    _list,
    _passing(_update),
    change("PutAttributeMapping", _put_mapping, _ON),
    change("DeleteAttributeMapping", _delete_mapping, _ON),
    _passing(_enable, _roles_inside),
    _disable,
    _delete,
    *TAGS,
)
