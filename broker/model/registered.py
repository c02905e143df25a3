"""Services of the operator's own that ask the broker for decisions."""

from dataclasses import dataclass
from datetime import datetime

from broker.model.account import AccountId


def service_arn(account: str, name: str) -> str:
    """``arn:aws:broker::{account}:service/{name}``."""
    return f"arn:aws:broker::{account}:service/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredService:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourcePolicy:
    """The policy of a registered service's resource, and of all that is below it."""

    account: AccountId
    arn: str
    document: str
    created_at: datetime
    updated_at: datetime
