"""Sealed texts about refused calls, readable only for the caller's account.

    message = base64(version ‖ key number ‖ salt ‖ AES-256-GCM of expiry and text)

The key comes from a session key, for a purpose of its own, so that a message opens
no longer than a session that was sealed at the same time. Messages are padded to whole
blocks, so that their length reveals little about the decision.
"""

import binascii
import zlib
from base64 import b64decode, b64encode
from datetime import datetime

from cryptography.exceptions import InvalidTag

from broker.errors import InvalidAuthorizationMessage, ServiceUnavailable
from broker.model.account import AccountId
from broker.model.sealing import KeyKind
from broker.sessions import vault
from broker.sessions.keyring import Keyring

LIFE_SECONDS = 36 * 3600
MESSAGE_CHARACTERS_MAX = 10_240
BLOCK_BYTES = 1024

_TIME_BYTES = 8
_LENGTH_BYTES = 4
_TEXT_START = _TIME_BYTES + _LENGTH_BYTES
_TEXT_BYTES_MAX = 1_000_000
_INFO = b"broker/1/authorization-message"


class AuthorizationMessages:
    """Seals and opens encoded authorization messages."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, account: AccountId, text: str, now: datetime) -> str | None:
        """The text for callers of one account.

        None when it is too long to send, or there is no key to seal with.
        """
        try:
            number, key = self._keyring.sealing_key(KeyKind.SESSION, now)
        except ServiceUnavailable:
            return None
        packed = zlib.compress(text.encode("utf-8", "surrogatepass"))
        ends = int(now.timestamp()) + LIFE_SECONDS
        plain = (
            ends.to_bytes(_TIME_BYTES, "big")
            + len(packed).to_bytes(_LENGTH_BYTES, "big")
            + packed
        )
        plain += bytes(-len(plain) % BLOCK_BYTES)
        sealed = vault.seal_bytes(number, key, _INFO, plain, account.encode("ascii"))
        message = b64encode(sealed).decode("ascii")
        return message if len(message) <= MESSAGE_CHARACTERS_MAX else None

    def open(self, account: AccountId, message: str, now: datetime) -> str:
        """The text.

        Raises:
            InvalidAuthorizationMessage: it was not sealed for this account, was
                changed, or is older than 36 hours: one answer for all.
        """
        try:
            raw = b64decode(message.encode("ascii"), validate=True)
        except (UnicodeEncodeError, binascii.Error) as error:
            raise InvalidAuthorizationMessage(detail="not base64") from error
        key = self._keyring.find_opening_key(
            KeyKind.SESSION, vault.key_number(raw), now
        )
        if raw[:1] != vault.VERSION or len(raw) <= vault.HEAD_BYTES or key is None:
            raise InvalidAuthorizationMessage(detail="of no version or key in use")
        try:
            plain = vault.open_bytes(key, _INFO, raw, account.encode("ascii"))
        except InvalidTag as error:
            raise InvalidAuthorizationMessage(
                detail="not sealed for this account"
            ) from error
        if int.from_bytes(plain[:_TIME_BYTES], "big") <= now.timestamp():
            raise InvalidAuthorizationMessage(detail="expired")
        length = int.from_bytes(plain[_TIME_BYTES:_TEXT_START], "big")
        packed = plain[_TEXT_START : _TEXT_START + length]
        text = zlib.decompressobj().decompress(packed, _TEXT_BYTES_MAX)
        return text.decode("utf-8", "surrogatepass")
