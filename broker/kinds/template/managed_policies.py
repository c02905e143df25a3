"""``ManagedPolicies``: the properties of ``AWS::IAM::ManagedPolicy``, and tags.

Attachments are part of roles, users and groups (``ManagedPolicyArns``).
A changed document becomes a new version, and the oldest version is deleted if needed.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from broker.kinds import managed_policies as rules
from broker.kinds.limits import Quota, quota
from broker.kinds.template.properties import Properties, normal_document, read_document
from broker.kinds.template.section import AccountWork, Described, Members, Section
from broker.model.entities import ManagedPolicy
from broker.policy import PolicyKind
from broker.stores.directory.policies import insert_policy_version
from broker.stores.directory.port import DirectoryReader


def _document(properties: Properties, name: str) -> str:
    return read_document(properties, name, PolicyKind.IDENTITY, managed=True)


async def _further(
    page: Sequence[ManagedPolicy], _directory: DirectoryReader
) -> list[Members]:
    return [
        {
            "Description": one.description,
            "PolicyDocument": normal_document(one.default_version.document),
        }
        for one in page
    ]


async def _finish(
    one: ManagedPolicy, before: Members, wanted: Members, work: AccountWork
) -> ManagedPolicy:
    document = wanted["PolicyDocument"]
    if document == before.get("PolicyDocument", document):
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


async def _write(
    work: AccountWork, one: ManagedPolicy, before: Members, _wanted: Members
) -> None:
    if not before:
        await insert_policy_version(work.change, one, one.default_version)


async def _clear(work: AccountWork, there: Described) -> None:
    policy: ManagedPolicy = there.found
    for version in await rules.list_versions(work.change, policy):
        if version.version_id != policy.default_version.version_id:
            await rules.delete_version(work.change, policy, version.version_id)
    found = await rules.require_own_policy(work.change, policy.account, policy.arn)
    await rules.MANAGED_POLICIES.check_removal(found, work.change)


MANAGED_POLICIES = Section(
    section="ManagedPolicies",
    noun="managed policy",
    of=rules.MANAGED_POLICIES,
    name="ManagedPolicyName",
    reads={
        "ManagedPolicyName": Properties.name,
        "Path": Properties.path,
        "Description": Properties.description,
        "PolicyDocument": _document,
        "Tags": Properties.tags,
    },
    members={"ManagedPolicyName": "PolicyName"},
    further=_further,
    finish=_finish,
    write=_write,
    clear=_clear,
    constant=("ManagedPolicyName", "Path", "Description"),
    shows={"PolicyDocument": json.loads},
)
