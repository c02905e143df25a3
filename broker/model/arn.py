"""Amazon Resource Names."""

from typing import Self

from msgspec import Struct

_PARTS = 6


class Arn(Struct, frozen=True):
    """``arn:partition:service:region:account:resource``.

    Source: AWS General Reference, "Amazon Resource Names".
    """

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an ARN.

        Raises:
            ValueError: the text has not six colon-separated parts, does not begin
                with ``arn``, or lacks partition, service or resource.
        """
        parts = text.split(":", _PARTS - 1)
        if len(parts) != _PARTS or parts[0] != "arn":
            raise ValueError(f"{text!r} is not an ARN")
        _, partition, service, region, account, resource = parts
        if not (partition and service and resource):
            raise ValueError(f"{text!r} is not an ARN")
        return cls(partition, service, region, account, resource)

    def __str__(self) -> str:
        return (
            f"arn:{self.partition}:{self.service}:{self.region}"
            f":{self.account}:{self.resource}"
        )


def iam_arn(account: str, resource: str) -> str:
    """The ARN of an IAM resource: ``arn:aws:iam::{account}:{resource}``."""
    return f"arn:aws:iam::{account}:{resource}"


def sts_arn(account: str, resource: str) -> str:
    """The ARN of an STS principal: ``arn:aws:sts::{account}:{resource}``."""
    return f"arn:aws:sts::{account}:{resource}"


def owner_arn(principal_arn: str) -> str:
    """The identity behind a session's ARN, as AWS Sign-In names it: without a path.

    It is the role of a role's session; other principals are their own.
    """
    head, _, resource = principal_arn.rpartition(":")
    kind, _, name = resource.partition("/")
    if kind == "assumed-role":
        account = head.rpartition(":")[2]
        return iam_arn(account, f"role/{name.partition('/')[0]}")
    if kind in {"user", "role"}:
        return f"{head}:{kind}/{name.rpartition('/')[2]}"
    return principal_arn
