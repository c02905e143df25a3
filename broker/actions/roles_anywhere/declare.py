"""Declares the actions of IAM Roles Anywhere, one row each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from broker.actions.action import Action, Call, Handle
from broker.authz.context import Context, tag_context
from broker.authz.need import Need
from broker.errors import NoSuchEntity, UnsupportedOperation, ValidationError
from broker.identities import roles_anywhere as rules
from broker.identities.tags import KeyCase, checked_tags
from broker.model.request import Given
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
    rolesanywhere_arn,
)

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types

SERVICE = "rolesanywhere"
PAGE_SIZE_MAX = 100

Entity = TypeVar("Entity", TrustAnchor, CertificateProfile, CertificateList)


@dataclass(frozen=True, slots=True)
class On:
    """What a call is done on: its ARN, and condition keys of its tags."""

    arn: str
    context: Context = field(default_factory=dict)


Target = Callable[[Given, Call], Awaitable[On]]


def read(name: str, handle: Handle, on: Target) -> Action:
    """An action that changes nothing."""
    return _action(name, handle, on, writes=False)


def change(name: str, handle: Handle, on: Target) -> Action:
    """An action that runs inside a transaction."""
    return _action(name, handle, on, writes=True)


Roles = Callable[[Given, Call], Awaitable[Sequence[str]]]
"""The ARNs of the roles that a call hands to the service."""


async def given_roles(given: Given, _call: Call) -> Sequence[str]:
    """Those of ``roleArns``."""
    roles: Sequence[str] = given.get("roleArns", ())
    return roles


def passing(action: Action, roles: Roles = given_roles) -> Action:
    """The action, which then needs permission to pass every one of the roles."""

    async def needs(given: Given, call: Call) -> tuple[Need, ...]:
        own = await action.needs(given, call)
        passed = {"iam:passedtoservice": (rules.SERVICE_PRINCIPAL,)}
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


def refusing(handle: Handle, *members: str) -> Handle:
    """The handler, which refuses members that the broker does not honour, by name."""

    async def run(given: Given, call: Call) -> Mapping[str, Any] | None:
        for name in members:
            if given.get(name):
                raise UnsupportedOperation(f"The parameter {name} is not supported.")
        return await handle(given, call)

    return run


async def everything(given: Given, _call: Call) -> On:
    """Lists and new things are about no resource; tags of new things are keys."""
    tags = given_tags(given)
    if not tags:
        return On("*")
    context = {**tag_context("aws:requesttag", tags), "aws:tagkeys": tuple(tags)}
    return On("*", context)


def anchor(member: str) -> Target:
    """The trust anchor that a member names, by id or ARN."""
    return _named(
        member,
        "trust-anchor",
        lambda call, name: rules.require_anchor(*_at(call), name),
    )


def profile(member: str) -> Target:
    """The profile that a member names."""
    return _named(
        member, "profile", lambda call, name: rules.require_profile(*_at(call), name)
    )


def revocation_list(member: str) -> Target:
    """The revocation list that a member names."""
    return _named(
        member, "crl", lambda call, name: rules.require_list(*_at(call), name)
    )


def given_tags(given: Given) -> dict[str, str]:
    """The tags of a request.

    Raises:
        InvalidInput: two have one key, or one is reserved.
    """
    tags: Sequence[types.Tag] = given.get("tags", ())
    return checked_tags([(one["key"], one["value"]) for one in tags], KeyCase.SENSITIVE)


def list_page(
    given: Given, items: Sequence[Entity], key: Callable[[Entity], str]
) -> tuple[Sequence[Entity], dict[str, str]]:
    """The page that a request asks for, and the member that leads to the next.

    Raises:
        ValidationError: the page size is none.
    """
    size = given.get("pageSize", PAGE_SIZE_MAX)
    if not 1 <= size <= PAGE_SIZE_MAX:
        raise ValidationError(f"pageSize must be between 1 and {PAGE_SIZE_MAX}.")
    shown, token = rules.page_of(items, key, given.get("nextToken"), size)
    return shown, {} if token is None else {"nextToken": token}


def _at(call: Call) -> tuple[Any, Any, str]:
    return call.directory, call.account, call.region


def _named(
    member: str, kind: str, find: Callable[[Call, str], Awaitable[Any]]
) -> Target:
    async def target(given: Given, call: Call) -> On:
        name = given[member]
        try:
            found = await find(call, name)
        except NoSuchEntity:
            last = name.rpartition("/")[2]
            return On(rolesanywhere_arn(call.region, call.account, kind, last))
        return On(found.arn, tag_context("aws:resourcetag", found.tags))

    return target


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
