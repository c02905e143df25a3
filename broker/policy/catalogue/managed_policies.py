"""The packed policies that AWS manages: one line each, read on first use.

The file is half a megabyte; its lines take three and a half in memory, in processes
that have looked up such a policy.
"""

import base64
import gzip
import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Final

from msgspec import Struct

POLICIES_FILE_NAME: Final = "managed_policies.tsv.gz"
"""Each line is an entry's fields in their order, with tabs between them.

The oldest policy comes first, as AWS lists them.
"""

AWS_MANAGED_PREFIX: Final = "arn:aws:iam::aws:policy/"


class ManagedPolicyEntry(Struct, frozen=True, kw_only=True):
    """One policy; ``version`` numbers its default version, whose text is ``document``.

    Other versions are not included; ``description`` is empty if unknown.
    """

    path: str
    name: str
    policy_id: str
    version: int
    created_at: datetime
    updated_at: datetime
    description: str
    document: str


def managed_policy_arns() -> tuple[str, ...]:
    """The ARNs of all policies, in AWS's order: oldest first."""
    return tuple(_lines())


def find_managed_policy_entry(arn: str) -> ManagedPolicyEntry | None:
    """The policy with this ARN; None if the catalogue has none."""
    if not arn.startswith(AWS_MANAGED_PREFIX):
        return None
    line = _lines().get(arn)
    if line is None:
        return None
    path, name, policy_id, version, created, updated, description, document = (
        line.decode().split("\t")
    )
    return ManagedPolicyEntry(
        path=path,
        name=name,
        policy_id=policy_id,
        version=int(version),
        created_at=datetime.fromisoformat(created),
        updated_at=datetime.fromisoformat(updated),
        description=description,
        document=document,
    )


def made_policy_id(arn: str) -> str:
    """An id in AWS's format for a policy whose real id is unknown."""
    digest = base64.b32encode(hashlib.sha256(arn.encode()).digest()).decode()
    return f"ANPA{digest[:17]}"


@cache
def _lines() -> Mapping[str, bytes]:
    data = (files("broker.policy.catalogue") / POLICIES_FILE_NAME).read_bytes()
    return {_arn(line): line for line in gzip.decompress(data).splitlines()}


def _arn(line: bytes) -> str:
    path, name, _ = line.split(b"\t", 2)
    return f"{AWS_MANAGED_PREFIX}{(path + name).decode()[1:]}"
