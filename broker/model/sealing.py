"""Encryption of secrets at rest, as callers see it; ``broker.sessions.vault`` does it."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class KeyKind(StrEnum):
    """What a sealing key is for."""

    SESSION = "session"
    STORAGE = "storage"


class KeyState(StrEnum):
    """The recorded state of a sealing key; its age decides the rest."""

    ACTIVE = "active"
    REVOKED = "revoked"


class SealingKey(Struct, frozen=True, kw_only=True):
    """A sealing key as the database keeps it: wrapped by a master key that it has not.

    ``seals_from`` is None for a key that was revoked before it ever sealed, ``wrapped``
    for a session key that was revoked.
    """

    number: int
    kind: KeyKind
    created_at: datetime
    seals_from: datetime | None
    state: KeyState = KeyState.ACTIVE
    master: str
    """The id of the master key."""

    wrapped: bytes | None


SealingKeys = tuple[SealingKey, ...]
"""All of them at one moment, oldest first."""


class Sealer(Protocol):
    """Encrypts a secret for one column of one entity."""

    def seal(
        self, purpose: str, account: str, entity_id: str, column: str, plaintext: bytes
    ) -> bytes:
        """The sealed value, bound to its place: nowhere else will it open."""
        ...


class Opener(Protocol):
    """Decrypts what a ``Sealer`` sealed."""

    def open_sealed(
        self, purpose: str, account: str, entity_id: str, column: str, sealed: bytes
    ) -> bytes:
        """The plaintext; ``SealBrokenError`` if it was not sealed for this place."""
        ...


class SealerOpener(Sealer, Opener, Protocol):
    """Both directions."""


class SealedRenewer(SealerOpener, Protocol):
    """Opens sealed values and seals them with a newer key."""

    def needs_resealing(self, sealed: bytes) -> bool:
        """Whether a newer storage key is now in use."""
        ...
