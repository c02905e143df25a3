"""``Services``, ``Upstreams`` and ``ResourcePolicies``: a name, and a text in JSON.

Registered services are without their tokens, and upstreams without their key pairs:
those are secrets. Policies are those of services' resources.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from broker.kinds.documents import shown_trust_policies, with_root_arns
from broker.kinds.registered_services import normalize_definition, put_service
from broker.kinds.resource_policies import put_resource_policy
from broker.kinds.rules import Rules
from broker.kinds.upstreams import checked_definition, put_upstream
from broker.kinds.yaml_text import at_place
from broker.model.account import Account
from broker.model.registered import ResourcePolicy
from broker.policy import PolicyKind
from broker.stores.directory.kinds import RESOURCE_POLICY, SERVICE, UPSTREAM
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.stored import Kind
from broker.template.properties import (
    Properties,
    compact,
    normal_document,
    read_document,
)
from broker.template.section import AccountReading, AccountWork, Members, Section

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
    read: Callable[[Properties, str], Any],
    **more: Any,  # noqa: ANN401  # of `Section`
) -> Section:
    """A section whose entities have a ``name`` and a ``text``."""

    async def write(work: AccountWork, wanted: Members) -> None:
        with at_place(text):
            said = (work.account, wanted[name], wanted[text], work.now)
            await put(work.change, *said)

    return Section(
        section=section,
        of=Rules(
            kind=kind,
            quota=None,
            view=lambda entity: {name: entity.name, text: entity.definition},
        ),
        name=name,
        reads={name: Properties.text, text: read},
        shows={text: json.loads},
        put=write,
        keyed_by=lambda wanted: str(wanted[name]),
        **more,
    )


def _checked(check: Callable[[str, str], str]) -> Callable[..., Members]:
    def settle(
        members: Members, properties: Properties, _reading: AccountReading
    ) -> Members:
        name, definition = members.values()
        with at_place(properties.place):
            return {**members, _DEFINITION: check(name, compact(definition))}

    return settle


def _policy(properties: Properties, name: str) -> str:
    document = read_document(properties, name, PolicyKind.RESOURCE)
    return normal_document(with_root_arns(document))


async def _policies(
    page: Sequence[ResourcePolicy], directory: DirectoryReader
) -> list[Members]:
    """With principals by their ARNs, which are asked for a page at a time."""
    texts = await shown_trust_policies(directory, [policy.document for policy in page])
    return [{_POLICY: normal_document(text)} for text in texts]


SERVICES = _section(
    "Services",
    SERVICE,
    "ServiceName",
    put_service,
    read=Properties.mapping,
    settle=_checked(lambda name, text: normalize_definition(text, name)),
)
UPSTREAMS = _section(
    "Upstreams",
    UPSTREAM,
    "UpstreamName",
    put_upstream,
    read=Properties.mapping,
    settle=_checked(checked_definition),
)
RESOURCE_POLICIES = _section(
    "ResourcePolicies",
    RESOURCE_POLICY,
    "ResourceArn",
    put_resource_policy,
    text=_POLICY,
    read=_policy,
    view=lambda entity: {"ResourceArn": entity.arn},
    further=_policies,
)
