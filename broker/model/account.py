"""Accounts, and the account inside an access key id."""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import NewType

from msgspec import field

from broker.model.secret import Confidential, Hidden
from broker.runtime.bounded import remembered

AccountId = NewType("AccountId", str)
"""Twelve digits, a string: leading zeros count."""

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_NEW_FORMAT_BIT = 1 << 47
_ACCOUNT_MASK = 0x7FFFFFFFFF80
_FREE_BITS = 7
_TAIL_BYTES = 4
KEY_ID_RANDOM_BITS = _FREE_BITS + 8 * _TAIL_BYTES
_KEY_ID_LENGTH = 20
_PREFIX_LENGTH = 4
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
# Two characters of base32 at a time.
_PAIRS = tuple(text + two for text in _BASE32 for two in _BASE32)
_PAIR_MASK = len(_PAIRS) - 1
_HEAD_SHIFTS = (30, 20, 10, 0)


TEMPORARY_KEY_PREFIX = "ASIA"
"""How the access key IDs of sessions begin."""


def parse_account_id(text: str) -> AccountId:
    """Read a twelve-digit account id.

    Raises:
        ValueError: the text is anything else.
    """
    if not _ACCOUNT_ID.fullmatch(text):
        raise ValueError(f"{text!r} is not a 12-digit account id")
    return AccountId(text)


def format_access_key_id(prefix: str, account: AccountId, random_bits: int) -> str:
    """An access key id of the newer format, which carries its account.

    ``random_bits`` fills the 39 bits that the account leaves free; collisions must be
    expected, and the id alone proves nothing.

    Source: derived from the examples in public write-ups on access key ids.
    """
    head, rest = _account_part(account)
    tail = rest | random_bits & ((1 << KEY_ID_RANDOM_BITS) - 1)
    return (
        f"{prefix}{head}{_PAIRS[tail >> 30]}{_PAIRS[tail >> 20 & _PAIR_MASK]}"
        f"{_PAIRS[tail >> 10 & _PAIR_MASK]}{_PAIRS[tail & _PAIR_MASK]}"
    )


@remembered()
def _account_part(account: AccountId) -> tuple[str, int]:
    """The first eight characters, and the account's last bit above the free ones."""
    number = _NEW_FORMAT_BIT | (int(account) << _FREE_BITS)
    head, rest = number >> 8, number & 0xFF
    return (
        "".join(_PAIRS[head >> shift & _PAIR_MASK] for shift in _HEAD_SHIFTS),
        rest << 8 * _TAIL_BYTES,
    )


def find_account_of_key_id(access_key_id: str) -> AccountId | None:
    """The account that an access key id carries; None for ids of another format."""
    if len(access_key_id) != _KEY_ID_LENGTH:
        return None
    return _decode_account(access_key_id)


@remembered()
def _decode_account(access_key_id: str) -> AccountId | None:
    try:
        raw = base64.b32decode(access_key_id[_PREFIX_LENGTH:])
    except ValueError:
        return None
    head = int.from_bytes(raw[:6], "big")
    number = (head & _ACCOUNT_MASK) >> _FREE_BITS
    if not head & _NEW_FORMAT_BIT or number >= 10**12:
        return None
    return AccountId(f"{number:012d}")


class Account(Confidential, frozen=True, kw_only=True, weakref=True):
    """One account of the installation.

    ``session_salt`` (32 random bytes) takes part in every session key: a new salt
    ends all sessions of the account for good. ``quotas`` overrides the defaults by
    name; ``options`` holds the operator's broker-only settings.
    """

    account_id: AccountId
    alias: str | None
    session_salt: Hidden[bytes]
    created_at: datetime
    quotas: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    password_policy: Mapping[str, int | bool] | None = None
    """The members of ``UpdateAccountPasswordPolicy``; None for the default policy."""
