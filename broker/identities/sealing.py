"""What this package asks of whoever keeps secrets."""

from typing import Protocol


class Sealer(Protocol):
    """Seals a secret for one column of one entity."""

    def seal(
        self, purpose: str, account: str, entity_id: str, column: str, plaintext: bytes
    ) -> bytes:
        """The sealed value; it opens only for the very same place."""
        ...


class Opener(Protocol):
    """Opens what a ``Sealer`` sealed."""

    def open_sealed(
        self, purpose: str, account: str, entity_id: str, column: str, sealed: bytes
    ) -> bytes:
        """The plain bytes; raises when they were not sealed for this very place."""
        ...


class Seals(Sealer, Opener, Protocol):
    """Both directions."""
