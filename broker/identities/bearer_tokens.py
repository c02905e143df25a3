"""What the bearer tokens of services, directories and machines have in common.

A token is ``PREFIX.ACCOUNT.RANDOM``; only its SHA-256 is kept, so that it can be shown
once. It expires, and may be bound to the networks it is used from.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol, TypeVar

from broker.entropy import new_handle
from broker.errors import ValidationError
from broker.model.account import AccountId, parse_account_id
from broker.model.secret import Secret
from broker.stores.directory.kind import Kind
from broker.stores.directory.port import DirectoryChange

DAYS = 90
DAYS_MAX = 366


def new_token(prefix: str, account: AccountId) -> Secret:
    """The text of a new token."""
    return Secret(f"{prefix}.{account}.{new_handle()}")


def token_digest(secret: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def find_token_account(prefix: str, secret: str) -> AccountId | None:
    """The account that a token says it is of; None for other texts."""
    found, _, rest = secret.partition(".")
    number, dot, _ = rest.partition(".")
    if found != prefix or not dot:
        return None
    try:
        return parse_account_id(number)
    except ValueError:
        return None


class Expiring(Protocol):
    """A token as it is stored."""

    @property
    def expires_at(self) -> datetime:
        """From then on it proves nothing."""
        ...


Token = TypeVar("Token", bound=Expiring)


async def delete_expired(
    tokens: Iterable[Token], change: DirectoryChange, kind: Kind[Any], now: datetime
) -> int:
    """Delete those that have expired; how many are left."""
    left = 0
    for token in tokens:
        if token.expires_at <= now:
            await change.remove(kind, token)
        else:
            left += 1
    return left


def check_days(days: int) -> None:
    """Check a token's lifetime.

    Raises:
        ValidationError: it is not allowed.
    """
    if not 1 <= days <= DAYS_MAX:
        raise ValidationError(f"A token is valid for 1 to {DAYS_MAX} days.")
