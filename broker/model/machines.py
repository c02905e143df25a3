"""Roles for machines: what hands them out, and the end of a service's own role."""

from dataclasses import dataclass, field
from datetime import datetime

from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.entities import Tags

SERVICE_ROLE_PATH = "/aws-service-role/"
"""Roles below this path belong to the service that the next part names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceProfile:
    """A container for at most one role (its unique id), for machines to take up."""

    account: AccountId
    profile_id: str
    name: str
    path: str
    created_at: datetime
    role_id: str | None = None
    tags: Tags = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """``arn:aws:iam::{account}:instance-profile{path}{name}``."""
        return iam_arn(self.account, f"instance-profile{self.path}{self.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionTask:
    """The deletion of a service-linked role; ``reason`` says why it failed."""

    account: AccountId
    task_id: str
    status: str
    made_at: datetime
    reason: str = ""
