"""Credentials as the agent holds them, and the role they belong to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

V1, V2 = "1.0", "2.0"
"""How credentials are delivered, as ``ec2:RoleDelivery`` has it."""

ISO = "%Y-%m-%dT%H:%M:%SZ"


_PRINTABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Temporary credentials; ``updated_at`` is when the agent got them."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, answer: Mapping[str, Any], now: datetime) -> "Credentials":
        """From the ``Credentials`` of an answer.

        Raises:
            KeyError, ValueError, TypeError: they are not of that form.
        """
        expires = answer["Expiration"]
        try:
            expires_at = (
                datetime.fromisoformat(expires)
                if isinstance(expires, str)
                else datetime.fromtimestamp(expires, UTC)
            )
        except OverflowError as error:
            raise ValueError("it expires beyond all time") from error
        if expires_at.tzinfo is None:
            raise ValueError("it expires at no certain time")
        return cls(
            access_key_id=_printable(answer["AccessKeyId"]),
            secret_access_key=_printable(answer["SecretAccessKey"]),
            session_token=_printable(answer["SessionToken"]),
            expires_at=expires_at,
            updated_at=now,
        )


@dataclass(frozen=True, kw_only=True)
class Grant:
    """The role that the identity has now; empty without one.

    ``poll_seconds`` is how often to ask whether it changed; 0 where it cannot.
    """

    account: str = ""
    role_name: str = ""
    role_arn: str = ""
    instance_arn: str = ""
    profile_arn: str = ""
    profile_id: str = ""
    association_id: str = ""
    poll_seconds: float = 0

    @property
    def instance_id(self) -> str:
        """``i-…``; empty where the identity is not an instance."""
        return self.instance_arn.rpartition("/")[2]

    @property
    def region(self) -> str:
        """The instance's region."""
        return self.instance_arn.split(":")[3] if self.instance_arn else ""


def _printable(text: str) -> str:
    """The text, if it can stand in a header and on a line of a file."""
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("it has characters that credentials never have")
    return text
