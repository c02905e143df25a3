"""Policies as texts, for tests that need just some."""

import json
from collections.abc import Mapping
from typing import Any

from broker.model.entities import ManagedPolicy
from broker.stores.directory.kinds import MANAGED_POLICY
from broker.stores.directory.policies import insert_policy_version
from broker.stores.directory.port import DirectoryChange


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
