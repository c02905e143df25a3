"""Session tokens: whole sessions, encrypted for this installation alone.

    token = base64(version ‖ key number ‖ salt ‖ AES-256-GCM ciphertext and tag)

The secret access key is derived with the token's own encryption key, so a signature
is checked without a store. Each AES key serves one token: nonces cannot repeat.

Source: RFC 5869; docs/threat-model.md says what each theft gives.
"""

import binascii
from base64 import b64decode
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from msgspec import Struct

from broker.errors import InvalidClientTokenId
from broker.model.account import AccountId
from broker.model.sealing import KeyKind
from broker.model.secret import Secret
from broker.model.session import Session
from broker.runtime.bounded import BoundedCache
from broker.runtime.entropy import random_bytes
from broker.sessions.contents import decode_session, encode_session, token_too_large
from broker.sessions.keyring import Keyring

TOKEN_CHARACTERS_MAX = 4096
"""Clients put tokens into presigned URLs."""

_VERSION = b"\x02"
_OPENED = frozenset({b"\x01", _VERSION})
"""Version 1 knew of its origins only the key that it was made with."""

_NUMBER_BYTES = 4
_SALT_BYTES = 24
_TAG_BYTES = 16
_AES_KEY_BYTES = 32
_NONCE_END = _AES_KEY_BYTES + 12
_DERIVED_BYTES = _NONCE_END + 30  # 30 bytes are 40 characters of base64
_SALT_START = 1 + _NUMBER_BYTES
_HEAD_BYTES = _SALT_START + _SALT_BYTES
_TOKEN_BYTES_MIN = _HEAD_BYTES + _TAG_BYTES + 1
_ACCOUNT_INFO = b"broker/1/session/account"
_TOKEN_INFO = b"broker/1/session/token"
_HASH = SHA256()


class OpenedSession(Struct, frozen=True):
    """A token's content, the secret that belongs to it, and what opened it."""

    session: Session
    secret: Secret
    key_number: int


class SessionSealer:
    """Seals and opens session tokens with the keyring's session keys."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._account_keys = BoundedCache[tuple[int, bytes], bytes]()

    def seal(
        self,
        session: Session,
        *,
        account_salt: bytes,
        now: datetime,
        least_characters: int = 0,
    ) -> tuple[Secret, Secret]:
        """The session's token and its secret access key.

        The token has at least ``least_characters``, at most a few more.

        Raises:
            PackedPolicyTooLarge: the token would be longer than clients carry.
            ServiceUnavailable: there is no key to seal with.
        """
        number, key = self._keyring.sealing_key(KeyKind.SESSION, now)
        salt = random_bytes(_SALT_BYTES)
        key_id = session.access_key_id.encode("ascii")
        account_key = self._account_key(number, key, session.account, account_salt)
        derived = _derive(account_key, key_id, salt)
        head = _VERSION + number.to_bytes(_NUMBER_BYTES, "big") + salt
        length = -(-min(least_characters, TOKEN_CHARACTERS_MAX) // 4) * 3
        content = encode_session(session, length - _HEAD_BYTES - _TAG_BYTES)
        sealed = AESGCM(derived[:_AES_KEY_BYTES]).encrypt(
            derived[_AES_KEY_BYTES:_NONCE_END], content, head + key_id
        )
        token = binascii.b2a_base64(head + sealed, newline=False)
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise token_too_large(len(token), TOKEN_CHARACTERS_MAX)
        return Secret(token.decode("ascii")), _secret_access_key(derived)

    def open(
        self,
        access_key_id: str,
        token: str,
        *,
        account: AccountId,
        account_salt: bytes,
        now: datetime,
    ) -> OpenedSession:
        """What the token of this access key id holds. Its expiry is not checked.

        ``account`` is the one that the access key id carries.

        Raises:
            InvalidClientTokenId: whatever is wrong with it.
            ServiceUnavailable: its key cannot be read here, or is not known here yet.
        """
        raw = _parse_token(token)
        number = int.from_bytes(raw[1:_SALT_START], "big")
        key = self._keyring.find_opening_key(KeyKind.SESSION, number, now)
        if key is None:
            raise _refused(f"sealing key {number} is not in use")
        head = raw[:_HEAD_BYTES]
        key_id = access_key_id.encode("utf-8", "replace")
        account_key = self._account_key(number, key, account, account_salt)
        derived = _derive(account_key, key_id, head[_SALT_START:])
        try:
            content = AESGCM(derived[:_AES_KEY_BYTES]).decrypt(
                derived[_AES_KEY_BYTES:_NONCE_END], raw[_HEAD_BYTES:], head + key_id
            )
            session = decode_session(
                content, access_key_id=access_key_id, account=account
            )
        except InvalidTag as error:
            raise _refused("not sealed for this access key id and account") from error
        except ValueError as error:
            raise _refused(str(error)) from error
        return OpenedSession(session, _secret_access_key(derived), number)

    def require_key(self, number: int, now: datetime) -> None:
        """Refuse a token whose key has been refused since it was opened.

        Raises:
            InvalidClientTokenId: the key was revoked or is over.
        """
        if self._keyring.find_opening_key(KeyKind.SESSION, number, now) is None:
            raise _refused(f"sealing key {number} is not in use")

    def _account_key(
        self, number: int, key: bytes, account: AccountId, account_salt: bytes
    ) -> bytes:
        which = (number, account_salt)
        known = self._account_keys.get(account, which)
        if known is not None:
            return known
        derived = HKDF(
            _HASH, _AES_KEY_BYTES, account_salt, _ACCOUNT_INFO + account.encode("ascii")
        ).derive(key)
        self._account_keys.put(account, which, derived)
        return derived


def token_utilization(token: str) -> int:
    """``SessionTokenUtilization``: its size in per cent of the largest, rounded up."""
    return -(-100 * len(token) // TOKEN_CHARACTERS_MAX)


def _parse_token(token: str) -> bytes:
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise _refused("longer than any token")
    try:
        text = token.encode("ascii")
        raw = b64decode(text, validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise _refused("not base64") from error
    # One token, one text: otherwise caches and revocations could be sidestepped.
    if binascii.b2a_base64(raw, newline=False) != text:
        raise _refused("not canonical base64")
    if len(raw) < _TOKEN_BYTES_MIN or raw[:1] not in _OPENED:
        raise _refused("too short or of another version")
    return raw


def _derive(account_key: bytes, key_id: bytes, salt: bytes) -> bytes:
    return HKDFExpand(_HASH, _DERIVED_BYTES, _TOKEN_INFO + key_id + salt).derive(
        account_key
    )


def _secret_access_key(derived: bytes) -> Secret:
    text = binascii.b2a_base64(derived[_NONCE_END:], newline=False)
    return Secret(text.decode("ascii"))


def _refused(why: str) -> InvalidClientTokenId:
    return InvalidClientTokenId(detail=f"session token refused: {why}")
