"""``Services``, ``Upstreams`` and ``ResourcePolicies``: a name, and a text in JSON.

Registered services are without their tokens, and upstreams without their key pairs:
those are secrets. Policies are those of services' resources.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

from broker.errors import BrokerError
from broker.identities.kind import Rules
from broker.identities.registered_services import normalize_definition, put_service
from broker.identities.resource_policies import put_resource_policy
from broker.identities.template.documents import read_document
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import AccountReading, AccountWork, EntityKind
from broker.identities.template.properties import (
    Properties,
    compact,
    normal_document,
)
from broker.identities.template.section import PAGE, Described, Members, Section
from broker.identities.trust import shown_trust_policies, with_root_arns
from broker.identities.upstreams import checked_definition, put_upstream
from broker.model.account import Account, AccountId
from broker.model.page import read_pages
from broker.policy import PolicyKind
from broker.stores.directory.kind import Kind
from broker.stores.directory.kinds import RESOURCE_POLICY, SERVICE, UPSTREAM
from broker.stores.directory.port import DirectoryChange, DirectoryReader

_DEFINITION, _POLICY = "Definition", "PolicyDocument"

Put = Callable[[DirectoryChange, Account, str, str, datetime], Awaitable[object]]
"""Creates an entity, or replaces its text."""


def _section(
    section: str,
    kind: Kind[Any],
    name: str,
    put: Put,
    *,
    text: str = _DEFINITION,
    read: Callable[[Properties, str], str],
    **more: Any,  # noqa: ANN401  # of `EntityKind`
) -> EntityKind[Described]:
    """A section whose entities have a ``name`` and a ``text``, which ``read`` reads."""

    def parse(properties: Properties, _reading: AccountReading) -> Members:
        named = properties.text(name)
        return {name: named, text: read(properties, named)}

    async def shown(one: Any, _directory: DirectoryReader) -> Members:  # noqa: ANN401  # one of the kind
        return {name: one.name, text: one.definition}

    async def write(work: AccountWork, spec: Described) -> None:
        named, said = spec.properties[name], spec.properties[text]
        await put(work.change, work.account, named, said, work.now)

    async def update(work: AccountWork, _before: Described, after: Described) -> None:
        await write(work, after)

    def show(spec: Described) -> Members:
        return {**spec.properties, text: json.loads(spec.properties[text])}

    rules = Rules(kind=kind, quota=None, view=repr)
    plain = Section(section=section, of=rules, name=name, parse=parse, shown=shown)
    return plain.entity_kind(
        create=write,
        update=update,
        show=show,
        key=lambda spec: spec.properties[name],
        **more,
    )


def _checked(
    check: Callable[[str, str], str], properties: Properties, name: str
) -> str:
    try:
        return check(name, compact(properties.mapping(_DEFINITION)))
    except BrokerError as error:
        raise TemplateError(properties.place, str(error)) from error


def _read_policy(properties: Properties, _arn: str) -> str:
    document = read_document(properties, _POLICY, PolicyKind.RESOURCE)
    return normal_document(with_root_arns(document))


async def _policies(
    directory: DirectoryReader, account: AccountId
) -> AsyncIterator[list[Described]]:
    """With principals by their ARNs, which are asked for a page at a time."""
    listed = partial(directory.page_of, RESOURCE_POLICY, account)
    async for page in read_pages(listed, PAGE):
        texts = await shown_trust_policies(directory, [one.document for one in page])
        yield [
            Described({"ResourceArn": one.arn, _POLICY: normal_document(text)}, one)
            for one, text in zip(page, texts, strict=True)
        ]


SERVICES = _section(
    "Services",
    SERVICE,
    "ServiceName",
    put_service,
    read=partial(_checked, lambda name, text: normalize_definition(text, name)),
)
UPSTREAMS = _section(
    "Upstreams",
    UPSTREAM,
    "UpstreamName",
    put_upstream,
    read=partial(_checked, checked_definition),
)
RESOURCE_POLICIES = _section(
    "ResourcePolicies",
    RESOURCE_POLICY,
    "ResourceArn",
    put_resource_policy,
    text=_POLICY,
    read=_read_policy,
    pages=_policies,
)
