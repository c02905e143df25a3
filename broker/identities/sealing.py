"""What this package asks of whoever keeps secrets."""

from typing import Protocol


class Sealer(Protocol):
    """Seals a secret for one column of one entity."""

    def seal(
        self, purpose: str, account: str, entity_id: str, column: str, plaintext: bytes
    ) -> bytes:
        """The sealed value; it opens only for the very same place."""
        ...
