"""Encryption of secrets at rest, as callers see it; ``broker.sessions.vault`` does it."""

from typing import Protocol


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
