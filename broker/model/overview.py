"""Users as a list shows them: with what they are in and what they sign in with."""

from dataclasses import dataclass
from datetime import datetime

from broker.model.entities import KeyStatus, User


@dataclass(frozen=True, slots=True)
class KeyOverview:
    """An access key without its secret."""

    access_key_id: str
    status: KeyStatus
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserOverview:
    """A user, its groups by name, its keys (oldest first) and its ways to prove itself.

    ``password_changed_at`` is None without a password; ``last_active_at`` is the last
    use of the password, a key or any session of the user that is known.
    """

    user: User
    groups: tuple[str, ...]
    keys: tuple[KeyOverview, ...]
    password_changed_at: datetime | None
    has_mfa: bool
    last_active_at: datetime | None
