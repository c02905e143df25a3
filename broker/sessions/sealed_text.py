"""Sealed texts: values that their bearers keep, so that nothing is stored for them."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.protocols.oidc import base64url
from broker.sessions.vault import SealBrokenError, Vault

LONGEST = 8192
_COLUMN = "text"
_END = "expires"


class SealedTexts:
    """Texts of one ``purpose``: no other opens them.

    They are sealed with a storage key, and end with it at the latest.
    """

    def __init__(self, vault: Vault, purpose: str) -> None:
        self._vault = vault
        self._purpose = purpose

    def seal(self, value: Mapping[str, object], expires_at: datetime) -> str:
        """A value that JSON can hold, as URL-safe text.

        Raises:
            ServiceUnavailable: there is no key to seal with.
        """
        kept = {**value, _END: int(expires_at.timestamp())}
        plain = json.dumps(kept, separators=(",", ":")).encode("ascii")
        return base64url.encode(self._vault.seal(self._purpose, "", "", _COLUMN, plain))

    def find_opened(self, text: str, now: datetime) -> dict[str, Any] | None:
        """The value; None when it is none of ours, or has expired."""
        if len(text) > LONGEST:
            return None
        try:
            sealed = base64url.decode(text)
            plain = self._vault.open_sealed(self._purpose, "", "", _COLUMN, sealed)
        except (ValueError, SealBrokenError):
            return None
        value: dict[str, Any] = json.loads(plain)
        return value if now.timestamp() < value.pop(_END) else None
