"""``ResourcePolicies``: the policies of registered services' resources."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

from broker.identities.resource_policies import (
    put_resource_policy,
    require_resource_policy,
)
from broker.identities.template.documents import read_document
from broker.identities.template.kind import AccountReading, AccountWork, EntityKind
from broker.identities.template.properties import Properties, normal_document
from broker.identities.trust import shown_trust_policies, with_root_arns
from broker.model.account import AccountId
from broker.model.page import read_pages
from broker.policy import PolicyKind
from broker.stores.directory.port import DirectoryReader

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePolicySpec:
    """A resource's policy as a template describes it; principals by their ARNs."""

    arn: str
    document: str = field(metadata={"property": "PolicyDocument"})


def _parse(properties: Properties, _reading: AccountReading) -> ResourcePolicySpec:
    document = read_document(properties, "PolicyDocument", PolicyKind.RESOURCE)
    return ResourcePolicySpec(
        arn=properties.text("ResourceArn"),
        document=normal_document(with_root_arns(document)),
    )


async def _pages(
    directory: DirectoryReader, account: AccountId
) -> AsyncIterator[list[ResourcePolicySpec]]:
    listed = partial(directory.list_resource_policies, account)
    async for policies in read_pages(listed, _PAGE):
        texts = await shown_trust_policies(
            directory, [policy.document for policy in policies]
        )
        yield [
            ResourcePolicySpec(arn=policy.arn, document=normal_document(text))
            for policy, text in zip(policies, texts, strict=True)
        ]


async def _create(work: AccountWork, spec: ResourcePolicySpec) -> None:
    await put_resource_policy(
        work.change, work.account, spec.arn, spec.document, work.now
    )


async def _update(
    work: AccountWork, _before: ResourcePolicySpec, after: ResourcePolicySpec
) -> None:
    await _create(work, after)


async def _delete(work: AccountWork, spec: ResourcePolicySpec) -> None:
    await work.change.delete_resource_policy(
        await require_resource_policy(work.change, work.account.account_id, spec.arn)
    )


def _show(spec: ResourcePolicySpec) -> dict[str, object]:
    return {"ResourceArn": spec.arn, "PolicyDocument": json.loads(spec.document)}


RESOURCE_POLICIES: EntityKind[ResourcePolicySpec] = EntityKind(
    section="ResourcePolicies",
    noun="resource policy",
    key=lambda spec: spec.arn,
    label=lambda spec: spec.arn,
    parse=_parse,
    pages=_pages,
    create=_create,
    update=_update,
    delete=_delete,
    show=_show,
)
