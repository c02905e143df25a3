"""The policies that AWS manages: the same in every account, never changed by it.

`catalogue` has AWS's own documents, each in its default version. A policy that AWS has
and the catalogue lacks exists only in accounts whose operator accepts unlisted names;
it grants nothing and denies nothing.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from broker.errors import NoSuchEntity
from broker.kinds.names import AWS_MANAGED
from broker.model.entities import ManagedPolicy, PolicyVersion
from broker.policy.catalogue import (
    AWS_MANAGED_PREFIX,
    find_managed_policy_entry,
    made_policy_id,
    managed_policy_arns,
)

SERVICE_ROLE_POLICIES: Final = f"{AWS_MANAGED_PREFIX}aws-service-role/"
"""The prefix of the ARNs of policies that only service-linked roles have."""

_NO_PERMISSION: Final = (
    '{"Version":"2012-10-17","Statement":'
    '[{"Effect":"Deny","Action":"none:null","Resource":"*"}]}'
)
"""The document of an unlisted policy: valid, but it allows no existing action."""

_PART = r"[A-Za-z0-9_+=,.@-]+"
_ARN = re.compile(rf"{AWS_MANAGED_PREFIX}(?:{_PART}/)*({_PART})")
_NAME_MAX = 128
_ARN_MAX = 2048
_KEPT = 256
_LONG_AGO = datetime(2015, 2, 6, tzinfo=UTC)
"""When AWS made its first managed policies."""


@lru_cache(maxsize=_KEPT)
def find_aws_managed(arn: str) -> ManagedPolicy | None:
    """The AWS-managed policy with this ARN (``arn:aws:iam::aws:policy/…``)."""
    entry = find_managed_policy_entry(arn)
    if entry is None:
        return None
    return ManagedPolicy(
        account=AWS_MANAGED,
        policy_id=entry.policy_id,
        name=entry.name,
        path=entry.path,
        description=entry.description or None,
        default_version=PolicyVersion(
            version_id=f"v{entry.version}",
            document=entry.document,
            created_at=entry.updated_at,
        ),
        next_version=entry.version + 1,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )


def require_aws_managed(arn: str) -> ManagedPolicy:
    """As ``find_aws_managed``, including unlisted policies.

    Raises:
        NoSuchEntity: no AWS-managed policy can have this ARN.
    """
    policy = find_aws_managed(arn) or unlisted_policy(arn)
    if policy is None:
        raise NoSuchEntity(f"Policy {arn} was not found.")
    return policy


def aws_managed_arns(path_prefix: str = "/") -> list[str]:
    """The ARNs of the policies below a path, in AWS's order: oldest first."""
    arns = managed_policy_arns()
    if path_prefix == "/":
        return list(arns)
    return [arn for arn in arns if _path(arn).startswith(path_prefix)]


def unlisted_policy(arn: str) -> ManagedPolicy | None:
    """A stand-in for an AWS-managed policy that the catalogue lacks.

    None if the ARN does not have AWS's pattern, or the catalogue has the policy.
    """
    named = _ARN.fullmatch(arn)
    if named is None or len(arn) > _ARN_MAX or len(named[1]) > _NAME_MAX:
        return None
    if find_aws_managed(arn) is not None:
        return None
    return ManagedPolicy(
        account=AWS_MANAGED,
        policy_id=made_policy_id(arn),
        name=named[1],
        path=_path(arn),
        description=None,
        default_version=PolicyVersion(
            version_id="v1", document=_NO_PERMISSION, created_at=_LONG_AGO
        ),
        next_version=2,
        created_at=_LONG_AGO,
        updated_at=_LONG_AGO,
    )


def _path(arn: str) -> str:
    return arn.partition(":policy")[2].rpartition("/")[0] + "/"
