"""Policies as texts, for tests that need just some."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from broker.model.entities import ManagedPolicy
from broker.policy import (
    AccessRequest,
    ApplicablePolicies,
    Decision,
    PolicySet,
    compile_policies,
    join_policies,
)
from broker.stores.directory.kinds import MANAGED_POLICY
from broker.stores.directory.policies import insert_policy_version
from broker.stores.directory.port import DirectoryChange

_OTHERS = ("s3:PutObject", "sts:AssumeRole")
Decide = Callable[[AccessRequest, ApplicablePolicies], Decision]


def statement(action: object, resource: object = "*", **more: object) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def policy(*statements: Mapping[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: object, resource: object = "*", **more: object) -> str:
    return policy(statement(action, resource, **more))


def trust(principal: object) -> str:
    """Who may assume a role: an AWS principal, or a mapping such as of a service."""
    named = principal if isinstance(principal, dict) else {"AWS": principal}
    return policy({"Effect": "Allow", "Principal": named, "Action": "sts:AssumeRole"})


async def insert_policy(change: DirectoryChange, policy: ManagedPolicy) -> None:
    """With its first version."""
    await change.insert(MANAGED_POLICY, policy)
    await insert_policy_version(change, policy, policy.default_version)


def decided(decide: Decide, request: AccessRequest, by: ApplicablePolicies) -> Decision:
    """The decision, which is the same by each statement compiled alone.

    The policies have decided about other actions before; the statements have not.
    """
    for action in _OTHERS:
        decide(msgspec.structs.replace(request, action=action), by)
    decision = decide(request, by)
    parts = msgspec.structs.asdict(by)
    alone = ApplicablePolicies(**{name: _alone(part) for name, part in parts.items()})
    assert decision == decide(request, alone), request
    return decision


def _alone(part: object) -> Any:
    if isinstance(part, tuple):
        return tuple(map(_alone, part))
    if not isinstance(part, PolicySet):
        return part
    return join_policies(
        compile_policies([(label, replace(document, statements=(statement,)))])
        for label, document in part.policies
        for statement in document.statements
    )
