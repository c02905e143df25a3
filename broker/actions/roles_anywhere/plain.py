"""The operations that every kind of IAM Roles Anywhere has, read from its description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from broker.actions.action import Action, Call, Handle
from broker.errors import NoSuchEntity, UnsupportedOperation, ValidationError
from broker.kinds import rules
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
from broker.kinds.tags import KeyCase, tag_pairs, with_tags, without_tags
from broker.model.request import Params
from broker.model.roles_anywhere import CertificateProfile, rolesanywhere_arn
from broker.permit.context import Context, tag_context
from broker.permit.need import Need

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types


SERVICE = "rolesanywhere"
PAGE_SIZE_MAX = 100

_BY_RESOURCE: Mapping[str, Regional[Any]] = {
    regional.resource: regional for regional in KINDS
}
Answer = Mapping[str, Any]

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

Roles = Callable[[Params, Call], Awaitable[Sequence[str]]]
"""The ARNs of the roles that a call hands to the service."""


class On(Struct, frozen=True):
    """What a call is done on: its ARN, and condition keys of its tags."""

    arn: str
    context: Context = {}


Target = Callable[[Params, Call], Awaitable[On]]


def plain(of: Regional[Any]) -> tuple[Action, ...]:
    """Create, get, list, update, enable, disable and delete, in this order."""
    member = of.member
    on = named(of)

    async def find(params: Params, call: Call) -> Any:  # noqa: ANN401  # one of the kind
        identifier = params[f"{member}Id"]
        return await require_regional(
            of, call.directory, call.account, call.region, identifier
        )

    async def create(params: Params, call: Call) -> Answer:
        _refuse(of, params)
        return {member: of.view(await rules.create(of, params, call.work))}

    async def get(params: Params, call: Call) -> Answer:
        return {member: of.view(await find(params, call))}

    async def list_all(params: Params, call: Call) -> Answer:
        results = await call.directory.all_of(of.kind, call.account, region=call.region)
        rows, token = _page(params, results, of.kind.key)
        entries = call.directory.with_documents(of.kind, rows)
        return {f"{member}s": [of.view(entry) async for entry in entries], **token}

    async def update(params: Params, call: Call) -> Answer:
        _refuse(of, params)
        match = await find(params, call)
        return await write(of, await of.change(match, params, call.work), call)

    def switch(*, enabled: bool) -> Handle:
        async def run(params: Params, call: Call) -> Answer:
            match = await find(params, call)
            return await write(of, replace(match, enabled=enabled), call)

        return run

    async def delete(params: Params, call: Call) -> Answer:
        match = await find(params, call)
        await call.change.remove(of.kind, match)
        return {member: of.view(match)}

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
    params: Params, results: Sequence[Any], key: str
) -> tuple[Sequence[Any], dict[str, str]]:
    """Some of a list in the order of ids, and the member that leads to the next."""
    size = params.get("pageSize", PAGE_SIZE_MAX)
    if not 1 <= size <= PAGE_SIZE_MAX:
        raise ValidationError(f"pageSize must be between 1 and {PAGE_SIZE_MAX}.")
    after = params.get("nextToken", "")
    rest = [entry for entry in results if getattr(entry, key) > after]
    last = {"nextToken": getattr(rest[size - 1], key)} if len(rest) > size else {}
    return rest[:size], last


def _refuse(of: Regional[Any], params: Params) -> None:
    for name in of.refused:
        if params.get(name):
            raise UnsupportedOperation(f"The parameter {name} is not supported.")


def named(of: Regional[Any], member: str = "") -> Target:
    """What a member names, by id or ARN."""

    async def target(params: Params, call: Call) -> On:
        name = params[member or f"{of.member}Id"]
        at = (call.directory, call.account, call.region)
        try:
            regional = await require_regional(of, *at, name)
        except NoSuchEntity:
            last = name.rpartition("/")[2]
            return On(rolesanywhere_arn(call.region, call.account, of.resource, last))
        return On(regional.arn, tag_context("aws:resourcetag", regional.tags))

    return target


async def everything(params: Params, _call: Call) -> On:
    """Lists and new things are about no resource; tags of new things are keys."""
    return On("*", _tag_keys(given_tags(params.get("tags", ()))))


def _tag_keys(tags: Mapping[str, str], keys: Sequence[str] = ()) -> Context:
    named = tuple(tags) or tuple(keys)
    context = tag_context("aws:requesttag", tags)
    return {**context, "aws:tagkeys": named} if named else {**context}


async def _resource(params: Params, call: Call) -> On:
    arn = params["resourceArn"]
    of = _BY_RESOURCE.get(_resource_of(arn))
    target = On(arn) if of is None else await named(of, "resourceArn")(params, call)
    tags = given_tags(params.get("tags", ()))
    return On(
        target.arn, {**target.context, **_tag_keys(tags, params.get("tagKeys", ()))}
    )


async def _require(params: Params, call: Call) -> tuple[Regional[Any], Any]:
    arn = params["resourceArn"]
    of = _BY_RESOURCE.get(_resource_of(arn))
    if of is None:
        raise NoSuchEntity(f"Resource {arn} not found")
    at = (call.directory, call.account, call.region)
    return of, await require_regional(of, *at, arn)


def _resource_of(arn: str) -> str:
    return arn.rpartition(":")[2].partition("/")[0]


async def _list_tags(
    params: types.ListTagsForResourceRequest, call: Call
) -> types.ListTagsForResourceResponse:
    _, match = await _require(params, call)
    return {
        "tags": [{"key": key, "value": value} for key, value in tag_pairs(match.tags)]
    }


async def _tag(params: types.TagResourceRequest, call: Call) -> None:
    of, match = await _require(params, call)
    tags = with_tags(match.tags, given_tags(params["tags"]), KeyCase.SENSITIVE)
    await call.change.update(of.kind, replace(match, tags=tags))


async def _untag(params: types.UntagResourceRequest, call: Call) -> None:
    of, match = await _require(params, call)
    tags = without_tags(match.tags, params["tagKeys"], KeyCase.SENSITIVE)
    await call.change.update(of.kind, replace(match, tags=tags))


def read(name: str, handle: Handle, on: Target) -> Action:
    """An action that changes nothing."""
    return _action(name, handle, on, writes=False)


def change(name: str, handle: Handle, on: Target) -> Action:
    """An action that runs inside a transaction."""
    return _action(name, handle, on, writes=True)


def _action(name: str, handle: Handle, on: Target, *, writes: bool) -> Action:
    async def needs(params: Params, call: Call) -> tuple[Need, ...]:
        target = await on(params, call)
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


TAGS = (
    read("ListTagsForResource", _list_tags, _resource),
    change("TagResource", _tag, _resource),
    change("UntagResource", _untag, _resource),
)


async def _put_mapping(
    params: types.PutAttributeMappingRequest, call: Call
) -> Mapping[str, Any]:
    specifiers = [rule["specifier"] for rule in params["mappingRules"]]
    profile = await _require_profile(params, call)
    wanted = with_mapping(profile, params["certificateField"], specifiers)
    return await write(KIND, wanted, call)


async def _delete_mapping(
    params: types.DeleteAttributeMappingRequest, call: Call
) -> Mapping[str, Any]:
    profile, name = await _require_profile(params, call), params["certificateField"]
    wanted = without_mapping(profile, name, params.get("specifiers", ()))
    return await write(KIND, wanted, call)


async def _require_profile(params: Params, call: Call) -> CertificateProfile:
    at = (call.directory, call.account, call.region)
    profile: CertificateProfile = await require_regional(KIND, *at, params["profileId"])
    return profile


async def _given_roles(params: Params, _call: Call) -> Sequence[str]:
    roles: Sequence[str] = params.get("roleArns", ())
    return roles


async def _roles_inside(params: Params, call: Call) -> Sequence[str]:
    try:
        return (await _require_profile(params, call)).role_arns
    except NoSuchEntity:
        return ()


def _passing(action: Action, roles: Roles = _given_roles) -> Action:
    """The action, which then needs permission to pass every one of the roles."""

    async def needs(params: Params, call: Call) -> tuple[Need, ...]:
        own = await action.needs(params, call)
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
                for arn in dict.fromkeys(await roles(params, call))
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
