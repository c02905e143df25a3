"""Revocations."""

from typing import Protocol

from broker.model.account import AccountId
from broker.model.revocation import Revocation, Revocations


class RevocationReader(Protocol):
    """What is revoked."""

    async def revocations(self, account: AccountId) -> Revocations:
        """Everything of the account that is revoked and not yet past its expiry."""
        ...


class RevocationChange(Protocol):
    """Revoking."""

    async def revoke(self, revocation: Revocation) -> None:
        """Durable; never undone by a cache's loss."""
        ...
