"""The policies and boundaries of users, groups and roles.

Attachments are part of roles, users and groups (``ManagedPolicyArns``).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from broker.kinds import owners
from broker.kinds.tags import KeyCase
from broker.kinds.yaml_text import TemplateError, at_place
from broker.model.names import fold_name
from broker.policy import PolicyKind
from broker.stores.directory.policies import (
    list_attachments_of,
    list_inline_policies_of,
)
from broker.stores.directory.port import DirectoryReader
from broker.template.properties import Properties, normal_document, read_document
from broker.template.section import AccountWork, Described, Members

POLICIES, ATTACHED, BOUNDARY = "Policies", "ManagedPolicyArns", "PermissionsBoundary"
_NAME_MAX = 64
"""For users and roles. What is named otherwise, no call could name."""

short_name = partial(Properties.name, longest=_NAME_MAX)
tags = partial(Properties.tags, case=KeyCase.INSENSITIVE)


def read_attached(properties: Properties, name: str) -> tuple[str, ...]:
    """ARNs of managed policies."""
    return tuple(sorted(set(properties.texts(name))))


def read_policies(properties: Properties, name: str) -> dict[str, str]:
    """Inline policies by name."""
    policies: dict[str, str] = {}

    def read(item: Properties) -> None:
        named = item.name("PolicyName")
        if fold_name(named) in map(fold_name, policies):
            raise TemplateError(item.place, f"{named} comes twice")
        policies[named] = read_document(item, "PolicyDocument", PolicyKind.IDENTITY)

    properties.read_each(name, read)
    return policies


def show_policies(policies: Mapping[str, str]) -> list[Members]:
    """Inline policies as a template writes them."""
    return [
        {"PolicyName": name, "PolicyDocument": json.loads(document)}
        for name, document in sorted(policies.items())
    ]


BOUNDED: Mapping[str, Callable[[Properties, str], Any]] = {
    BOUNDARY: Properties.optional_text,
    ATTACHED: read_attached,
    POLICIES: read_policies,
    "Tags": tags,
}
"""The properties that users and roles share."""


async def further_owned(
    page: Sequence[owners.Owner], directory: DirectoryReader
) -> list[Members]:
    """The shared properties of each of a page's users, groups or roles.

    An account may have a hundred thousand, so queries are made for a page at a time.
    """
    if not page:
        return []
    account, unique_ids = page[0].account, [owners.owner_id(owner) for owner in page]
    inline = await list_inline_policies_of(directory, account, unique_ids)
    attached = await list_attachments_of(directory, account, unique_ids)
    return [
        {
            BOUNDARY: getattr(owner, "boundary_arn", None),
            ATTACHED: tuple(sorted(attached.get(unique_id, ()))),
            POLICIES: {
                policy.name: normal_document(policy.document)
                for policy in inline.get(unique_id, ())
            },
        }
        for owner, unique_id in zip(page, unique_ids, strict=True)
    ]


async def write_owned(
    work: AccountWork, owner: owners.Owner, before: Members, after: Members
) -> None:
    """Write the policies that differ; those that ``after`` lacks are removed first."""
    old, new = before.get(POLICIES, {}), after.get(POLICIES, {})
    attached, wanted = before.get(ATTACHED, ()), after.get(ATTACHED, ())
    for name in old.keys() - new.keys():
        await owners.delete_inline_policy(work.change, owner, name)
    for arn in set(attached) - set(wanted):
        await owners.detach_policy(work.change, owner, arn)
    for name, document in new.items():
        if old.get(name) != document:
            with at_place(f"{POLICIES}.{name}"):
                await owners.put_inline_policy(
                    work.change, work.account, owner, name, document
                )
    for arn in wanted:
        if arn not in attached:
            with at_place(f"{ATTACHED}.{arn}"):
                await owners.attach_policy(work.change, work.account, owner, arn)


async def finish_bounded(
    entity: Any,  # noqa: ANN401  # a user or a role
    _before: Members,
    wanted: Members,
    work: AccountWork,
) -> Any:  # noqa: ANN401
    """With the permissions boundary, checked if it is another."""
    arn = wanted[BOUNDARY]
    if arn not in {None, entity.boundary_arn}:
        with at_place(BOUNDARY):
            await owners.checked_boundary(work.change, entity.account, arn)
    return replace(entity, boundary_arn=arn)


def adopt_names(before: Members, after: Members) -> Members:
    """Name inline policies as they are named already: their names have no case."""
    present = as_present(before[POLICIES])
    named = {present(name): text for name, text in after[POLICIES].items()}
    return {**after, POLICIES: named}


def as_present(names: Iterable[str]) -> Callable[[str], str]:
    """A function that writes a name as one of ``names`` that differs only in case."""
    exact = frozenset(names)
    spelled = {fold_name(name): name for name in sorted(exact)}
    return lambda name: name if name in exact else spelled.get(fold_name(name), name)


def keep_owned(before: Members, after: Members) -> tuple[Members, tuple[str, ...]]:
    """Keep existing policies that the template does not name."""
    inline = before[POLICIES].keys() - after[POLICIES].keys()
    attached = set(before[ATTACHED]) - set(after[ATTACHED])
    kept = {
        **after,
        POLICIES: {
            **after[POLICIES],
            **{name: before[POLICIES][name] for name in inline},
        },
        ATTACHED: tuple(sorted({*after[ATTACHED], *attached})),
    }
    named = [f"inline policy {name}" for name in sorted(inline)]
    return kept, (*named, *(f"attachment of {arn}" for arn in sorted(attached)))


async def clear_owned(work: AccountWork, there: Described) -> None:
    """Remove the policies."""
    await write_owned(work, there.found, there.properties, {})
