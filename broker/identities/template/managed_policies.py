"""``ManagedPolicies``: the properties of ``AWS::IAM::ManagedPolicy``, and tags.

Attachments are part of roles, users and groups (``ManagedPolicyArns``).
A changed document becomes a new version, and the oldest version is deleted if needed.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from broker.errors import NoSuchEntity
from broker.identities import managed_policies
from broker.identities.limits import Quota, quota
from broker.identities.tags import KeyCase
from broker.identities.template.documents import read_document
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
    shown_tags,
)
from broker.identities.template.properties import Properties, normal_document
from broker.model.account import AccountId
from broker.model.entities import ManagedPolicy
from broker.model.page import read_pages
from broker.policy import PolicyKind
from broker.stores.directory.port.policies import ManagedPolicyReader

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """A customer managed policy as a template describes it."""

    name: str
    path: str = field(metadata={"property": "Path"})
    description: str | None = field(metadata={"property": "Description"})
    document: str = field(metadata={"property": "PolicyDocument"})
    tags: Mapping[str, str] = field(metadata={"property": "Tags"})


def _parse(properties: Properties, _reading: AccountReading) -> PolicySpec:
    return PolicySpec(
        name=properties.name("ManagedPolicyName"),
        path=properties.path_text(),
        description=properties.description(),
        document=read_document(
            properties, "PolicyDocument", PolicyKind.IDENTITY, managed=True
        ),
        tags=properties.tags(KeyCase.SENSITIVE),
    )


async def _pages(
    directory: ManagedPolicyReader, account: AccountId
) -> AsyncIterator[list[PolicySpec]]:
    listed = partial(directory.list_policies, account, "/")
    async for policies in read_pages(listed, _PAGE):
        yield [
            PolicySpec(
                name=policy.name,
                path=policy.path,
                description=policy.description,
                document=normal_document(policy.default_version.document),
                tags=dict(policy.tags),
            )
            for policy in policies
        ]


async def _create(work: AccountWork, spec: PolicySpec) -> None:
    await managed_policies.create_policy(
        work.change,
        work.account,
        name=spec.name,
        path=spec.path,
        document=spec.document,
        description=spec.description,
        tags=spec.tags,
        now=work.now,
    )


async def _update(work: AccountWork, before: PolicySpec, after: PolicySpec) -> None:
    for label, old, new in (
        ("ManagedPolicyName", before.name, after.name),
        ("Path", before.path, after.path),
        ("Description", before.description, after.description),
    ):
        if old != new:
            raise TemplateError(
                label, f"{old} of a managed policy cannot become {new}; delete it first"
            )
    policy = await _require(work, after.name)
    if after.tags != before.tags:
        policy = replace(policy, tags=after.tags)
        await work.change.update_policy(policy)
    if after.document != before.document:
        await _make_room(work, policy)
        await managed_policies.create_version(
            work.change,
            work.account,
            policy,
            after.document,
            make_default=True,
            now=work.now,
        )


async def _make_room(work: AccountWork, policy: ManagedPolicy) -> None:
    versions = await managed_policies.list_versions(work.change, policy)
    if len(versions) < quota(work.account, Quota.VERSIONS_PER_POLICY):
        return
    for version in reversed(versions):
        if version.version_id != policy.default_version.version_id:
            await managed_policies.delete_version(
                work.change, policy, version.version_id
            )
            return


async def _delete(work: AccountWork, spec: PolicySpec) -> None:
    policy = await _require(work, spec.name)
    for version in await managed_policies.list_versions(work.change, policy):
        if version.version_id != policy.default_version.version_id:
            await managed_policies.delete_version(
                work.change, policy, version.version_id
            )
    await managed_policies.delete_policy(work.change, policy)


async def _require(work: AccountWork, name: str) -> ManagedPolicy:
    policy = await work.change.find_policy(work.account.account_id, name)
    if policy is None:
        raise NoSuchEntity(f"Policy {name} was not found.")
    return policy


def _show(spec: PolicySpec) -> dict[str, object]:
    return {
        "ManagedPolicyName": spec.name,
        "Path": spec.path,
        "Description": spec.description,
        "PolicyDocument": json.loads(spec.document),
        "Tags": shown_tags(spec.tags),
    }


MANAGED_POLICIES: EntityKind[PolicySpec] = EntityKind(
    section="ManagedPolicies",
    noun="managed policy",
    parse=_parse,
    pages=_pages,
    create=_create,
    update=_update,
    delete=_delete,
    show=_show,
)
