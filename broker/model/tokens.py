"""Bearer tokens of services, directories and machines."""

from dataclasses import dataclass, field
from datetime import datetime

from broker.model.account import AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerToken:
    """Proves a service, or what ``owner_id`` names; only its SHA-256 is kept.

    ``addresses`` are the networks it may be used from; empty for any.
    """

    account: AccountId
    token_id: str
    owner_id: str
    digest: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScimToken(BearerToken):
    """With which one provider's directory writes."""

    provider_arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken(BearerToken):
    """Admits one machine to an instance profile, its owner.

    ``instance_id`` is the machine that used it, empty before that. ``lineage`` is that
    of the session that made it, as a row: the token ends with it.
    """

    created_by: str
    instance_id: str = ""
    lineage: tuple[object, ...] = ()

    @property
    def arn(self) -> str:
        """``arn:aws:broker::{account}:join-token/{id}``."""
        return f"arn:aws:broker::{self.account}:join-token/{self.token_id}"
