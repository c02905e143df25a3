"""Services that ask the broker for decisions; bearer tokens, theirs and others'."""

from datetime import datetime

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.secret import Confidential, Hidden


def service_arn(account: str, name: str) -> str:
    """``arn:aws:broker::{account}:service/{name}``."""
    return f"arn:aws:broker::{account}:service/{name}"


class RegisteredService(Struct, frozen=True, kw_only=True):
    """A service of an account; ``definition`` is its JSON text.

    What a definition says stands in `broker.protocols.enforcement.definition`.
    """

    account: AccountId
    service_id: str
    name: str
    definition: str
    created_at: datetime
    updated_at: datetime

    @property
    def arn(self) -> str:
        """The service's own ARN, not that of its resources."""
        return service_arn(self.account, self.name)


class ResourcePolicy(Struct, frozen=True, kw_only=True):
    """The policy of a registered service's resource, and of all that is below it."""

    account: AccountId
    arn: str
    document: str
    created_at: datetime
    updated_at: datetime


class BearerToken(Confidential, frozen=True, kw_only=True):
    """Proves a service, or what ``owner_id`` names; only its SHA-256 is kept.

    ``addresses`` are the networks it may be used from; empty for any.
    """

    account: AccountId
    token_id: str
    owner_id: str
    digest: Hidden[bytes]
    created_at: datetime
    expires_at: datetime
    addresses: tuple[str, ...] = ()


class ScimToken(BearerToken, frozen=True, kw_only=True):
    """With which one provider's directory writes."""

    provider_arn: str


class JoinToken(BearerToken, frozen=True, kw_only=True):
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
