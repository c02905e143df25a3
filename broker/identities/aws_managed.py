"""The policies that AWS manages: the same in every account, never changed by it.

The documents are data, written from what the policies grant. ``ReadOnlyAccess``,
``SecurityAudit``, ``ViewOnlyAccess`` and those of the job functions name the common
services and are shorter than AWS's.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from broker.identities.names import AWS_MANAGED
from broker.model.entities import ManagedPolicy, PolicyVersion


def find_aws_managed(arn: str) -> ManagedPolicy | None:
    """The AWS-managed policy with this ARN (``arn:aws:iam::aws:policy/…``)."""
    return _by_arn().get(arn)


def list_aws_managed() -> tuple[ManagedPolicy, ...]:
    """All of them, by name without regard to case."""
    return tuple(_by_arn().values())


@cache
def _by_arn() -> Mapping[str, ManagedPolicy]:
    text = files("broker.identities").joinpath("aws_managed.json").read_text("utf-8")
    policies = [_policy(entry) for entry in json.loads(text)]
    policies.sort(key=lambda policy: policy.name.lower())
    return {policy.arn: policy for policy in policies}


def _policy(entry: Mapping[str, Any]) -> ManagedPolicy:
    updated_at = datetime.fromisoformat(entry["updated"])
    version = int(entry["version"])
    return ManagedPolicy(
        account=AWS_MANAGED,
        policy_id=entry["id"],
        name=entry["name"],
        path=entry["path"],
        description=entry["description"],
        default_version=PolicyVersion(
            version_id=f"v{version}",
            document=json.dumps(entry["document"], separators=(",", ":")),
            created_at=updated_at,
        ),
        next_version=version + 1,
        created_at=datetime.fromisoformat(entry["created"]),
        updated_at=updated_at,
    )
