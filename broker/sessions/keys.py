"""Sealing keys and their life cycle, without files, a database or a clock.

Two kinds live side by side. *Session* keys seal session tokens and die 36 hours
after their rotation, when even the longest session has ended. *Storage* keys seal
values in the database and open until every value was sealed again and the key is
dropped.

    wrapped = nonce ‖ AES-256-GCM under HKDF-SHA256(master key)

A wrapped key is bound to its installation, kind and number.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct
from msgspec.structs import replace

from broker.errors import OperatorError
from broker.model.sealing import KeyKind, KeyState, SealingKey, SealingKeys
from broker.model.secret import Confidential, Hidden
from broker.runtime.entropy import random_bytes

KEY_BYTES = 32
SEALS_AFTER = timedelta(seconds=5)
"""How long a new key only opens, so that every process has read it before it seals."""

SESSION_MAX = timedelta(seconds=129_600)
_NONCE_BYTES = 12
_INFO = b"broker/1/wrap"


class KeyUse(StrEnum):
    """What a key does at a given moment."""

    WAITING = "opens, does not seal yet"
    SEALING = "seals and opens"
    OPENING = "opens"
    REFUSED = "refused"


class KeyringError(OperatorError):
    """The keys are not usable; the message says what to do. Holds no key."""


class MasterKey(Confidential, frozen=True):
    """A key of the keyring file; it wraps the sealing keys."""

    key_id: str
    secret: Hidden[bytes]


class Wrapper(Struct, frozen=True):
    """Wraps and unwraps one installation's keys with one master key."""

    master: MasterKey
    identity: str

    def wrap(self, key: SealingKey, secret: bytes) -> SealingKey:
        """The key, as the database keeps it."""
        nonce = random_bytes(_NONCE_BYTES)
        sealed = self._cipher().encrypt(nonce, secret, self._place(key))
        return replace(key, master=self.master.key_id, wrapped=nonce + sealed)

    def find_secret(self, wrapped: bytes, key: SealingKey) -> bytes | None:
        """The key's secret; None if this was not wrapped here for this very key."""
        nonce, sealed = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        try:
            return self._cipher().decrypt(nonce, sealed, self._place(key))
        except InvalidTag:
            return None

    def _cipher(self) -> AESGCM:
        derived = HKDF(SHA256(), KEY_BYTES, None, _INFO).derive(self.master.secret)
        return AESGCM(derived)

    def _place(self, key: SealingKey) -> bytes:
        place = f"{self.identity}/{key.kind}/{key.number}"
        return place.encode("ascii")


class KeyListing(Struct, frozen=True):
    """What ``broker keys list`` shows of a key.

    ``seals_until`` is when a newer key took over, ``refused_from`` when the key
    stops to open; None while neither is decided.
    """

    number: int
    kind: KeyKind
    state: KeyState
    use: KeyUse
    created_at: datetime
    seals_from: datetime | None
    seals_until: datetime | None
    refused_from: datetime | None
    master: str


def find_sealing(keys: SealingKeys, kind: KeyKind, now: datetime) -> SealingKey | None:
    """The newest key that may seal.

    A clock that runs behind the one that made the keys finds no such key; then the
    oldest waiting key seals, rather than none.
    """
    waiting = None
    for key in reversed(keys):
        if key.kind is not kind or key.state is not KeyState.ACTIVE:
            continue
        if not _waits(key, now):
            return key
        waiting = key
    return waiting


def refused_from(
    keys: SealingKeys, key: SealingKey, skew: timedelta
) -> datetime | None:
    """When a key stops to open; None while that is not decided.

    A session key lives on for the longest session, plus the clocks' skew, after
    its successor took over.
    """
    if key.state is not KeyState.ACTIVE:
        return datetime.min.replace(tzinfo=UTC)
    successor = _find_successor(keys, key)
    if key.kind is KeyKind.STORAGE or successor is None:
        return None
    return (successor.seals_from or successor.created_at) + SESSION_MAX + skew


def list_keys(
    keys: SealingKeys, now: datetime, skew: timedelta
) -> tuple[KeyListing, ...]:
    """Every key and what it does now; no secret."""
    sealing = {kind: find_sealing(keys, kind, now) for kind in KeyKind}

    def describe(key: SealingKey) -> KeyListing:
        ends = refused_from(keys, key, skew)
        successor = _find_successor(keys, key)
        if ends is not None and now >= ends:
            use = KeyUse.REFUSED
        elif sealing[key.kind] is key:
            use = KeyUse.SEALING
        elif _waits(key, now):
            use = KeyUse.WAITING
        else:
            use = KeyUse.OPENING
        return KeyListing(
            number=key.number,
            kind=key.kind,
            state=key.state,
            use=use,
            created_at=key.created_at,
            seals_from=key.seals_from,
            seals_until=successor.seals_from if successor else None,
            refused_from=ends if key.state is KeyState.ACTIVE else None,
            master=key.master,
        )

    return tuple(map(describe, keys))


def first_keys(wrapper: Wrapper, now: datetime) -> SealingKeys:
    """The keys of a new installation: one of each kind, sealing at once."""
    keys: SealingKeys = ()
    for kind in KeyKind:
        keys = _add(keys, kind, now, now, wrapper)
    return keys


def rotate(
    keys: SealingKeys, kind: KeyKind, now: datetime, skew: timedelta, wrapper: Wrapper
) -> SealingKeys:
    """Add a key that opens at once and seals in a moment; ended session keys go."""
    kept = tuple(
        key
        for key in keys
        if key.state is not KeyState.ACTIVE
        or not _is_over(refused_from(keys, key, skew), now)
    )
    return _add(kept, kind, now, now + SEALS_AFTER, wrapper)


def revoke(
    keys: SealingKeys, number: int, now: datetime, wrapper: Wrapper
) -> SealingKeys:
    """Refuse a key from now on. A new one takes over at once if it was sealing.

    The key before it does not come back: it was rotated away for a reason. A session
    key's secret is erased. A storage key's is kept, because what it sealed may have to
    be recovered by hand.

    Raises:
        KeyringError: there is no such key.
    """
    sealing_key = find_key(keys, number)
    if sealing_key is None:
        known = ", ".join(str(key.number) for key in keys)
        raise KeyringError(f"there is no key {number}; the database has {known}")
    gone = replace(
        sealing_key,
        state=KeyState.REVOKED,
        wrapped=None if sealing_key.kind is KeyKind.SESSION else sealing_key.wrapped,
        seals_from=None if _waits(sealing_key, now) else sealing_key.seals_from,
    )
    rest = tuple(gone if key is sealing_key else key for key in keys)
    if find_sealing(keys, sealing_key.kind, now) is sealing_key:
        rest = _add(rest, sealing_key.kind, now, now, wrapper)
    return rest


def rewrap(
    keys: SealingKeys, masters: tuple[MasterKey, ...], identity: str
) -> SealingKeys:
    """Wrap every key with the first of these master keys.

    Raises:
        KeyringError: none of them unwraps a key.
    """
    first = Wrapper(masters[0], identity)

    def wrapped_again(key: SealingKey) -> SealingKey:
        if key.wrapped is None or key.master == first.master.key_id:
            return replace(key, master=first.master.key_id)
        return first.wrap(key, require_secret(key, masters, identity))

    return tuple(map(wrapped_again, keys))


def require_secret(
    key: SealingKey, masters: tuple[MasterKey, ...], identity: str
) -> bytes:
    """The secret of a key that has one.

    Raises:
        KeyringError: none of these master keys unwraps it.
    """
    for master in masters:
        if master.key_id == key.master and key.wrapped is not None:
            secret = Wrapper(master, identity).find_secret(key.wrapped, key)
            if secret is not None:
                return secret
    held = ", ".join(master.key_id for master in masters)
    raise KeyringError(
        f"the database's key {key.number} is wrapped with the master key {key.master},"
        f" which the keyring does not have (it has {held}): copy the keyring of a node"
        " that runs, or restore the one that belongs to this database"
    )


def find_key(keys: SealingKeys, number: int) -> SealingKey | None:
    """The key of a number, whatever its state."""
    return next((key for key in keys if key.number == number), None)


def _find_successor(keys: SealingKeys, key: SealingKey) -> SealingKey | None:
    later = (
        k for k in keys if k.kind is key.kind and k.number > key.number and k.seals_from
    )
    return next(later, None)


def _add(
    keys: SealingKeys,
    kind: KeyKind,
    now: datetime,
    seals_from: datetime,
    wrapper: Wrapper,
) -> SealingKeys:
    key = SealingKey(
        number=max((key.number for key in keys), default=0) + 1,
        kind=kind,
        created_at=now,
        seals_from=seals_from,
        master="",
        wrapped=None,
    )
    return (*keys, wrapper.wrap(key, random_bytes(KEY_BYTES)))


def _waits(key: SealingKey, now: datetime) -> bool:
    return key.seals_from is None or now < key.seals_from


def _is_over(ends: datetime | None, now: datetime) -> bool:
    return ends is not None and now >= ends
