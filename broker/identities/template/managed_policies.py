"""``ManagedPolicies``: the properties of ``AWS::IAM::ManagedPolicy``, and tags.

Attachments are part of roles, users and groups (``ManagedPolicyArns``).
A changed document becomes a new version, and the oldest version is deleted if needed.
"""

import json
from dataclasses import replace
from typing import Any

from broker.identities import managed_policies as rules
from broker.identities.limits import Quota, quota
from broker.identities.tags import KeyCase
from broker.identities.template.documents import read_document
from broker.identities.template.kind import AccountReading, AccountWork, shown_tags
from broker.identities.template.properties import Properties, normal_document
from broker.identities.template.section import Described, Members, Section
from broker.model.entities import ManagedPolicy
from broker.policy import PolicyKind
from broker.stores.directory.port import DirectoryReader


def _parse(properties: Properties, _reading: AccountReading) -> Members:
    return {
        "ManagedPolicyName": properties.name("ManagedPolicyName"),
        "Path": properties.path_text(),
        "Description": properties.description(),
        "PolicyDocument": read_document(
            properties, "PolicyDocument", PolicyKind.IDENTITY, managed=True
        ),
        "Tags": properties.tags(KeyCase.SENSITIVE),
    }


async def _shown(one: ManagedPolicy, _directory: DirectoryReader) -> Members:
    return {
        "ManagedPolicyName": one.name,
        "Path": one.path,
        "Description": one.description,
        "PolicyDocument": normal_document(one.default_version.document),
        "Tags": dict(one.tags),
    }


async def _create(work: AccountWork, spec: Described) -> None:
    wanted = spec.properties
    given: Any = {
        **wanted,
        "PolicyName": wanted["ManagedPolicyName"],
        "Tags": shown_tags(wanted["Tags"]),
    }
    await rules.create_policy(given, work.at())


async def _finish(
    one: ManagedPolicy, wanted: Members, work: AccountWork
) -> ManagedPolicy:
    document = wanted["PolicyDocument"]
    if document == normal_document(one.default_version.document):
        return one
    versions = await rules.list_versions(work.change, one)
    in_force = one.default_version.version_id
    others = [each for each in versions if each.version_id != in_force]
    if others and len(versions) >= quota(work.account, Quota.VERSIONS_PER_POLICY):
        await rules.delete_version(work.change, one, others[-1].version_id)
    version = await rules.create_version(
        work.change, work.account, one, document, make_default=True, now=work.now
    )
    newest = one.next_version + 1
    return replace(
        one, default_version=version, next_version=newest, updated_at=work.now
    )


async def _delete(work: AccountWork, spec: Described) -> None:
    policy: ManagedPolicy = spec.found
    for version in await rules.list_versions(work.change, policy):
        if version.version_id != policy.default_version.version_id:
            await rules.delete_version(work.change, policy, version.version_id)
    found = await rules.require_own_policy(work.change, policy.account, policy.arn)
    await rules.check_removal(found, work.change)
    await work.change.remove(rules.MANAGED_POLICIES.kind, found)


MANAGED_POLICIES = Section(
    section="ManagedPolicies",
    noun="managed policy",
    of=rules.MANAGED_POLICIES,
    name="ManagedPolicyName",
    parse=_parse,
    shown=_shown,
    finish=_finish,
    constant=("ManagedPolicyName", "Path", "Description"),
).entity_kind(
    create=_create,
    delete=_delete,
    show=lambda spec: {
        **spec.properties,
        "PolicyDocument": json.loads(spec.properties["PolicyDocument"]),
        "Tags": shown_tags(spec.properties["Tags"]),
    },
)
