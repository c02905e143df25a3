"""What lists and overviews show of entities, with what belongs to them."""

from datetime import datetime

from msgspec import Struct

from broker.model.entities import KeyStatus, Role, User


class KeyOverview(Struct, frozen=True):
    """An access key without its secret."""

    access_key_id: str
    status: KeyStatus
    created_at: datetime


class UserOverview(Struct, frozen=True, kw_only=True):
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


class UnusedRole(Struct, frozen=True):
    """A role and when it was last used, None for never."""

    role: Role
    last_used_at: datetime | None


class OldKey(Struct, frozen=True):
    """An active access key; ``user_name`` is ``root`` for the root user's."""

    access_key_id: str
    user_name: str
    created_at: datetime


class EndingCredential(Struct, frozen=True):
    """Something that ends by itself: a certificate, or a user's service credential.

    ``kind`` is ``saml-provider``, ``server-certificate`` or the kind of a user's
    credential; ``name`` is the provider's, the certificate's or the user's.
    """

    kind: str
    credential_id: str
    name: str
    expires_at: datetime


class PolicyText(Struct, frozen=True):
    """A policy as written. ``kind`` is ``policy`` for a managed one, by path and name.

    Else it is the kind of the ``owner`` of an inline one.
    """

    kind: str
    name: str
    owner: str
    document: str
