"""``ManagedPolicies``.

A changed document becomes a new version, and the oldest version is deleted if needed.
"""

import json
from functools import partial

from msgspec.structs import replace

from broker.kinds import managed_policies as rules
from broker.kinds.limits import Quota, quota
from broker.model.entities import ManagedPolicy
from broker.policy import PolicyKind
from broker.stores.directory.policies import (
    insert_policy_version,
)
from broker.template.properties import Properties, normal_document, read_document
from broker.template.section import AccountWork, Described, Members, Section


async def _finish(
    policy: ManagedPolicy, before: Members, wanted: Members, work: AccountWork
) -> ManagedPolicy:
    document = wanted["PolicyDocument"]
    if document == before.get("PolicyDocument", document):
        return policy
    versions = await rules.list_versions(work.change, policy)
    in_force = policy.default_version.version_id
    others = [each for each in versions if each.version_id != in_force]
    if others and len(versions) >= quota(work.account, Quota.VERSIONS_PER_POLICY):
        await rules.delete_version(work.change, policy, others[-1].version_id)
    version = await rules.create_version(
        work.change, work.account, policy, document, make_default=True, now=work.now
    )
    newest = policy.next_version + 1
    return replace(
        policy, default_version=version, next_version=newest, updated_at=work.now
    )


async def _write(
    work: AccountWork, policy: ManagedPolicy, before: Members, _wanted: Members
) -> None:
    if not before:
        await insert_policy_version(work.change, policy, policy.default_version)


async def _clear(work: AccountWork, there: Described) -> None:
    policy: ManagedPolicy = there.found
    for version in await rules.list_versions(work.change, policy):
        if version.version_id != policy.default_version.version_id:
            await rules.delete_version(work.change, policy, version.version_id)
    managed_policy = await rules.require_own_policy(
        work.change, policy.account, policy.arn
    )
    await rules.MANAGED_POLICIES.check_removal(managed_policy, work.change)


MANAGED_POLICIES = Section(
    section="ManagedPolicies",
    noun="managed policy",
    of=rules.MANAGED_POLICIES,
    name="ManagedPolicyName",
    reads={
        "ManagedPolicyName": Properties.name,
        "Path": Properties.path,
        "Description": Properties.description,
        "PolicyDocument": partial(
            read_document, kind=PolicyKind.IDENTITY, managed=True
        ),
        "Tags": Properties.tags,
    },
    members={"ManagedPolicyName": "PolicyName"},
    view=lambda policy: {
        **rules.MANAGED_POLICIES.view(policy),
        "Description": policy.description,
        "PolicyDocument": normal_document(policy.default_version.document),
    },
    finish=_finish,
    write=_write,
    clear=_clear,
    constant=("ManagedPolicyName", "Path", "Description"),
    shows={"PolicyDocument": json.loads},
)
