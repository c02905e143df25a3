"""Identifiers, secrets and request ids, from the operating system's randomness."""

import base64
import secrets
import uuid

_ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_UNIQUE_ID_LENGTH = 17
_SHORT_ID_LENGTH = 16


def random_bytes(count: int) -> bytes:
    """``count`` bytes fit for keys and salts."""
    return secrets.token_bytes(count)


def new_unique_id(prefix: str) -> str:
    """An entity's unique id: a four-letter prefix and 17 characters."""
    return prefix + _random_text(_UNIQUE_ID_LENGTH)


def new_provider_id(prefix: str) -> str:
    """``SAMLSP`` / ``SAMLPK`` / ``OIDCP`` and 16 characters."""
    return prefix + _random_text(_SHORT_ID_LENGTH)


def random_bits(count: int) -> int:
    """A number of ``count`` random bits."""
    return secrets.randbits(count)


def new_secret_access_key() -> str:
    """Forty characters that hold 30 random bytes."""
    return base64.b64encode(secrets.token_bytes(30)).decode("ascii")


def new_handle() -> str:
    """A 256-bit bearer handle in URL-safe text."""
    return secrets.token_urlsafe(32)


def new_request_id() -> str:
    """A request id, as AWS writes them."""
    return str(uuid.uuid4())


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(length))
