"""Roles for machines: what hands them out, and the end of a service's own role."""

from datetime import datetime

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.entities import Tags

SERVICE_ROLE_PATH = "/aws-service-role/"
"""Roles below this path belong to the service that the next part names."""


class InstanceProfile(Struct, frozen=True, kw_only=True):
    """A container for at most one role (its unique id), for machines to take up."""

    account: AccountId
    profile_id: str
    name: str
    path: str
    created_at: datetime
    role_id: str | None = None
    tags: Tags = {}

    @property
    def arn(self) -> str:
        """``arn:aws:iam::{account}:instance-profile{path}{name}``."""
        return iam_arn(self.account, f"instance-profile{self.path}{self.name}")


def instance_arn(account: str, region: str, instance_id: str) -> str:
    """``arn:aws:ec2:{region}:{account}:instance/{instance_id}``."""
    return f"arn:aws:ec2:{region}:{account}:instance/{instance_id}"


class Instance(Struct, frozen=True, kw_only=True):
    """A machine of an account, known by its public key.

    ``public_key`` are the 32 bytes of an Ed25519 key, whose private half never left the
    machine. ``profile_id`` is the unique id of its instance profile, None without one.
    ``registered_by`` says what admitted it: the ARN of a join token or of a provider.
    If a provider or a trust anchor admitted it, ``provider_id`` names that (an
    anchor by its ARN), and ``subject`` for whom: the targets of their not-before marks,
    separated by spaces, which are a digest as sessions carry it and a SCIM directory's
    person. ``lineage`` is the row of what the machine comes from: it ends with that.
    """

    account: AccountId
    instance_id: str
    region: str
    public_key: bytes
    registered_at: datetime
    registered_by: str
    profile_id: str | None = None
    provider_id: str = ""
    subject: str = ""
    lineage: tuple[object, ...] = ()

    @property
    def arn(self) -> str:
        """The ARN that ``ec2:SourceInstanceARN`` has."""
        return instance_arn(self.account, self.region, self.instance_id)


class DeletionTask(Struct, frozen=True, kw_only=True):
    """The deletion of a service-linked role; ``reason`` says why it failed."""

    account: AccountId
    task_id: str
    status: str
    made_at: datetime
    reason: str = ""
