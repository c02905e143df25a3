"""What users, groups and roles share in a template: policies, boundary, tags."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from broker.identities.owners import (
    Owner,
    attach_policy,
    checked_boundary,
    delete_inline_policy,
    detach_policy,
    owner_id,
    put_inline_policy,
)
from broker.identities.tags import KeyCase
from broker.identities.template.documents import read_document
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import AccountWork, shown_tags
from broker.identities.template.properties import Properties, normal_document
from broker.model.account import AccountId
from broker.model.entities import Group
from broker.policy import PolicyKind
from broker.stores.directory.policies import (
    list_attachments_of,
    list_inline_policies_of,
)
from broker.stores.directory.port import DirectoryReader


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerSpec:
    """The properties that users, groups and roles share."""

    name: str
    path: str = field(metadata={"property": "Path"})
    policies: Mapping[str, str] = field(metadata={"property": "Policies"})
    attached: tuple[str, ...] = field(metadata={"property": "ManagedPolicyArns"})
    boundary_arn: str | None = field(metadata={"property": "PermissionsBoundary"})
    tags: Mapping[str, str] = field(metadata={"property": "Tags"})


_Spec = TypeVar("_Spec", bound=OwnerSpec)

_BOUNDARY = "PermissionsBoundary"
_NAME_MAX = 64
"""For users and roles. What is named otherwise, no call could name."""


def read_owned(properties: Properties, name_property: str) -> OwnerSpec:
    """The shared properties of a user or role."""
    return OwnerSpec(
        name=properties.name(name_property, longest=_NAME_MAX),
        path=properties.path_text(),
        policies=read_policies(properties),
        attached=tuple(sorted(set(properties.texts("ManagedPolicyArns")))),
        boundary_arn=properties.optional_text("PermissionsBoundary"),
        tags=properties.tags(KeyCase.INSENSITIVE),
    )


def read_policies(properties: Properties) -> dict[str, str]:
    """``Policies``: inline policies by name."""
    policies: dict[str, str] = {}
    for item in properties.items("Policies"):
        name = item.name("PolicyName")
        if name.lower() in {other.lower() for other in policies}:
            raise TemplateError(item.place, f"{name} comes twice")
        policies[name] = read_document(item, "PolicyDocument", PolicyKind.IDENTITY)
        item.finish()
    return policies


async def load_owned(
    directory: DirectoryReader, account: AccountId, owners: Sequence[Owner]
) -> list[OwnerSpec]:
    """The shared part of each of a page's users, groups or roles, in its order.

    An account may have a hundred thousand, so queries are made for a page at a time.
    """
    unique_ids = [owner_id(owner) for owner in owners]
    inline = await list_inline_policies_of(directory, account, unique_ids)
    attached = await list_attachments_of(directory, account, unique_ids)
    return [
        OwnerSpec(
            name=owner.name,
            path=owner.path,
            policies={
                policy.name: normal_document(policy.document)
                for policy in inline.get(unique_id, ())
            },
            attached=tuple(sorted(attached.get(unique_id, ()))),
            boundary_arn=None if isinstance(owner, Group) else owner.boundary_arn,
            tags={} if isinstance(owner, Group) else dict(owner.tags),
        )
        for owner, unique_id in zip(owners, unique_ids, strict=True)
    ]


async def write_owned(
    work: AccountWork, owner: Owner, before: OwnerSpec | None, after: OwnerSpec
) -> None:
    """Write the policies that differ; those that ``after`` lacks are removed first."""
    old_policies = before.policies if before else {}
    old_attached = before.attached if before else ()
    for name in old_policies.keys() - after.policies.keys():
        await delete_inline_policy(work.change, owner, name)
    for arn in set(old_attached) - set(after.attached):
        await detach_policy(work.change, owner, arn)
    for name, document in after.policies.items():
        if old_policies.get(name) != document:
            await put_inline_policy(work.change, work.account, owner, name, document)
    for arn in after.attached:
        if arn not in old_attached:
            await attach_policy(work.change, work.account, owner, arn)


async def checked_boundary_of(work: AccountWork, spec: OwnerSpec) -> str | None:
    """The permissions boundary of the specification, checked; None without one."""
    if spec.boundary_arn is None:
        return None
    return await checked_boundary(
        work.change, work.account.account_id, spec.boundary_arn
    )


def adopt_names(before: _Spec, after: _Spec) -> _Spec:
    """Name inline policies as they are named already: their names have no case."""
    present = as_present(before.policies)
    policies = {present(name): text for name, text in after.policies.items()}
    return replace(after, policies=policies)


def as_present(names: Iterable[str]) -> Callable[[str], str]:
    """A function that writes a name as one of ``names`` that differs only in case."""
    exact = frozenset(names)
    spelled = {name.lower(): name for name in sorted(exact)}
    return lambda name: name if name in exact else spelled.get(name.lower(), name)


def keep_owned(before: _Spec, after: _Spec) -> tuple[_Spec, tuple[str, ...]]:
    """Keep existing policies that the template does not name."""
    inline = before.policies.keys() - after.policies.keys()
    attached = set(before.attached) - set(after.attached)
    if not inline and not attached:
        return after, ()
    kept = replace(
        after,
        policies={**after.policies, **{name: before.policies[name] for name in inline}},
        attached=tuple(sorted({*after.attached, *attached})),
    )
    named = [f"inline policy {name}" for name in sorted(inline)]
    return kept, (*named, *(f"attachment of {arn}" for arn in sorted(attached)))


def given_owned(spec: OwnerSpec, name_property: str) -> dict[str, object]:
    """The shared members that the creation of a user or role takes."""
    boundary = {} if spec.boundary_arn is None else {_BOUNDARY: spec.boundary_arn}
    tags = shown_tags(spec.tags)
    return {name_property: spec.name, "Path": spec.path, "Tags": tags, **boundary}


def show_owned(spec: OwnerSpec, name_property: str) -> dict[str, object]:
    """The shared properties as a template writes them."""
    return {
        name_property: spec.name,
        "Path": spec.path,
        "PermissionsBoundary": spec.boundary_arn,
        "ManagedPolicyArns": list(spec.attached),
        "Policies": [
            {"PolicyName": name, "PolicyDocument": json.loads(document)}
            for name, document in sorted(spec.policies.items())
        ],
        "Tags": shown_tags(spec.tags),
    }
