"""Values that the database keeps sealed: long-term secrets, seeds, private keys.

    sealed = version ‖ key number ‖ salt ‖ AES-256-GCM ciphertext and tag

Each value has an AES key of its own, derived from the storage key and the salt. The
value is bound to its purpose, account, entity and column, so that a writer in the
database cannot move one entity's secret to another's row.
"""

import hashlib
import hmac
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from broker.model.sealing import KeyKind
from broker.runtime.bounded import remembered
from broker.runtime.clock import Clock
from broker.runtime.entropy import random_bytes
from broker.sessions.keyring import Keyring

VERSION = b"\x01"
_NUMBER_BYTES, _SALT_BYTES = 4, 24
_AES_KEY_BYTES = 32
_DERIVED_BYTES = _AES_KEY_BYTES + 12
_REPEATABLE = b"broker/1/repeatable-salt"
_SALT_START = 1 + _NUMBER_BYTES
HEAD_BYTES = _SALT_START + _SALT_BYTES
_INFO = b"broker/1/storage/value"
_HASH = SHA256()

NUMBERED_BYTES = _SALT_START
"""With how many bytes of a sealed value `key_number` tells its key."""


class SealBrokenError(Exception):
    """A sealed value does not open here; the message names what, never a value."""


class Vault:
    """Seals and opens with the keyring's storage keys."""

    def __init__(self, keyring: Keyring, clock: Clock) -> None:
        self._keyring = keyring
        self._clock = clock

    def now(self) -> datetime:
        """The time by which its keys live."""
        return self._clock.now()

    def seal(
        self,
        purpose: str,
        account: str,
        entity_id: str,
        column: str,
        plaintext: bytes,
        *,
        repeatable: bool = False,
    ) -> bytes:
        """Seal a value for one column of one entity.

        ``repeatable`` seals a value that holds a secret random number the same way each
        time, as long as the key stays.

        Raises:
            ServiceUnavailable: there is no key to seal with.
        """
        number, key = self._keyring.sealing_key(KeyKind.STORAGE, self._clock.now())
        place = _place(purpose, account, entity_id, column)
        salt = None
        if repeatable:
            # Another value has another salt, so that each still has a key of its own.
            text = _REPEATABLE + place + plaintext
            salt = hmac.digest(key, text, hashlib.sha256)[:_SALT_BYTES]
        return seal_bytes(number, key, _INFO, plaintext, place, salt=salt)

    def open_sealed(
        self, purpose: str, account: str, entity_id: str, column: str, sealed: bytes
    ) -> bytes:
        """The value, if it was sealed for this very place.

        Raises:
            SealBrokenError: it was not, or its key is gone.
            ServiceUnavailable: its key cannot be read here, or is not known here yet.
        """
        if sealed[:1] != VERSION:
            where = _where(purpose, account, entity_id, column)
            raise SealBrokenError(f"{where} is of another version")
        number = key_number(sealed)
        key = self._keyring.find_opening_key(KeyKind.STORAGE, number, self._clock.now())
        if key is None:
            where = _where(purpose, account, entity_id, column)
            raise SealBrokenError(
                f"{where} is sealed with storage key {number}, which was revoked or no longer exists"
            )
        try:
            place = _place(purpose, account, entity_id, column)
            return open_bytes(key, _INFO, sealed, place)
        except InvalidTag as error:
            where = _where(purpose, account, entity_id, column)
            raise SealBrokenError(
                f"{where} was changed, or belongs elsewhere"
            ) from error

    def needs_resealing(self, sealed: bytes) -> bool:
        """Whether a newer storage key is now in use."""
        number, _ = self._keyring.sealing_key(KeyKind.STORAGE, self._clock.now())
        return key_number(sealed) != number


def key_number(sealed: bytes) -> int:
    """The number of the storage key that a value is sealed with."""
    return int.from_bytes(sealed[1:_SALT_START], "big")


def seal_bytes(
    number: int,
    key: bytes,
    info: bytes,
    plaintext: bytes,
    bound: bytes,
    *,
    salt: bytes | None = None,
) -> bytes:
    """Seal for the purpose ``info``, with the key of that number, what is ``bound`` to it.

    A ``salt`` that is given serves no other plaintext.
    """
    salt = salt or random_bytes(_SALT_BYTES)
    head = VERSION + number.to_bytes(_NUMBER_BYTES, "big") + salt
    cipher, nonce = _derive_cipher(key, info, salt)
    return head + cipher.encrypt(nonce, plaintext, head + bound)


def open_bytes(key: bytes, info: bytes, sealed: bytes, bound: bytes) -> bytes:
    """What `seal_bytes` sealed.

    Raises:
        InvalidTag: it was another key, purpose or binding.
    """
    head = sealed[:HEAD_BYTES]
    cipher, nonce = _cipher(key, info, head[_SALT_START:])
    return cipher.decrypt(nonce, sealed[HEAD_BYTES:], head + bound)


def _derive_cipher(key: bytes, info: bytes, salt: bytes) -> tuple[AESGCM, bytes]:
    """A key that seals one value only, so its nonce cannot repeat."""
    derived = HKDFExpand(_HASH, _DERIVED_BYTES, info + salt).derive(key)
    return AESGCM(derived[:_AES_KEY_BYTES]), derived[_AES_KEY_BYTES:]


_cipher = remembered()(_derive_cipher)
"""An access key's secret is opened at each call."""


def _where(purpose: str, account: str, entity_id: str, column: str) -> str:
    return f"{purpose} of {entity_id or account} ({column})"


@remembered()
def _place(*parts: str) -> bytes:
    # Lengths make the encoding unambiguous: ("ab", "c") is not ("a", "bc").
    encoded = [part.encode("utf-8") for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
