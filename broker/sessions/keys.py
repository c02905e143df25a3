"""Sealing keys and their life cycle, without files or a clock.

Two kinds live side by side. *Session* keys seal session tokens and die 36 hours
after their rotation, when even the longest session has ended. *Storage* keys seal
values in the database and open until every value was sealed again and the key is
dropped.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from broker.errors import OperatorError

KEY_BYTES = 32
SEALS_AFTER = timedelta(seconds=60)
"""How long a new key only opens, so that every process has read it before it seals."""

LONGEST_SESSION = timedelta(seconds=129_600)
MAX_KEY_NUMBER = 2**32 - 1
_FORMAT = 1
_KEYRING_ID_BYTES = 16

RandomBytes = Callable[[int], bytes]


class KeyKind(StrEnum):
    """What a key is for."""

    SESSION = "session"
    STORAGE = "storage"


class KeyState(StrEnum):
    """The recorded state of a key; its age decides the rest."""

    ACTIVE = "active"
    REVOKED = "revoked"
    DROPPED = "dropped"


class KeyUse(StrEnum):
    """What a key does at a given moment."""

    WAITING = "opens, does not seal yet"
    SEALING = "seals and opens"
    OPENING = "opens"
    REFUSED = "refused"


class KeyringReason(StrEnum):
    """Why a keyring cannot be used."""

    MISSING = "missing"
    EXISTS = "exists"
    UNSAFE_MODE = "unsafe mode"
    UNSAFE_OWNER = "unsafe owner"
    MALFORMED = "malformed"
    UNREADABLE = "unreadable"
    MISMATCH = "mismatch"
    UNKNOWN_KEY = "unknown key"
    NO_KEY = "no key"
    IN_USE = "in use"


class KeyringError(OperatorError):
    """The keyring is not usable; the message says what to do. Holds no key."""

    def __init__(self, reason: KeyringReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingKey:
    """One entry of the keyring.

    ``seals_from`` is None for a key that was revoked before it ever sealed.
    ``secret`` is None once a session key was revoked or a storage key dropped; the
    entry stays, so that no number is ever used again.
    """

    number: int
    kind: KeyKind
    created_at: datetime
    seals_from: datetime | None
    state: KeyState = KeyState.ACTIVE
    secret: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyListing:
    """What ``broker keys list`` shows of an entry.

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


@dataclass(frozen=True, slots=True)
class SealingKeys:
    """All entries at one moment, oldest first, and the keyring's own id."""

    keyring_id: bytes
    entries: tuple[SealingKey, ...]

    def find(self, number: int) -> SealingKey | None:
        """The entry of a number, whatever its state."""
        return next((e for e in self.entries if e.number == number), None)

    def find_sealing(self, kind: KeyKind, now: datetime) -> SealingKey | None:
        """The newest key that may seal.

        A clock that runs behind the one that made the keyring finds no such key; then
        the oldest waiting key seals, rather than none.
        """
        waiting = None
        for entry in reversed(self.entries):
            if entry.kind is not kind or entry.state is not KeyState.ACTIVE:
                continue
            if not _waits(entry, now):
                return entry
            waiting = entry
        return waiting

    def find_successor(self, entry: SealingKey) -> SealingKey | None:
        """The next key of the same kind, which took over sealing."""
        later = (
            e
            for e in self.entries
            if e.kind is entry.kind and e.number > entry.number and e.seals_from
        )
        return next(later, None)

    def refused_from(self, entry: SealingKey, skew: timedelta) -> datetime | None:
        """When a key stops to open; None while that is not decided.

        A session key lives on for the longest session, plus the clocks' skew, after
        its successor took over.
        """
        if entry.state is not KeyState.ACTIVE:
            return datetime.min.replace(tzinfo=UTC)
        successor = self.find_successor(entry)
        if entry.kind is KeyKind.STORAGE or successor is None:
            return None
        return (successor.seals_from or successor.created_at) + LONGEST_SESSION + skew

    def list(self, now: datetime, skew: timedelta) -> tuple[KeyListing, ...]:
        """Every entry and what it does now."""
        sealing = {kind: self.find_sealing(kind, now) for kind in KeyKind}
        return tuple(
            self._describe(e, now, skew, seals=sealing[e.kind] is e)
            for e in self.entries
        )

    def _describe(
        self, entry: SealingKey, now: datetime, skew: timedelta, *, seals: bool
    ) -> KeyListing:
        ends = self.refused_from(entry, skew)
        successor = self.find_successor(entry)
        if ends is not None and now >= ends:
            use = KeyUse.REFUSED
        elif seals:
            use = KeyUse.SEALING
        elif _waits(entry, now):
            use = KeyUse.WAITING
        else:
            use = KeyUse.OPENING
        return KeyListing(
            number=entry.number,
            kind=entry.kind,
            state=entry.state,
            use=use,
            created_at=entry.created_at,
            seals_from=entry.seals_from,
            seals_until=successor.seals_from if successor else None,
            refused_from=ends if entry.state is KeyState.ACTIVE else None,
        )


def new_key_set(now: datetime, random_bytes: RandomBytes) -> SealingKeys:
    """A keyring's birth: one key of each kind, sealing at once."""
    empty = SealingKeys(random_bytes(_KEYRING_ID_BYTES), ())
    for kind in KeyKind:
        empty = _add(empty, kind, now, now, random_bytes)
    return empty


def rotate(
    keys: SealingKeys,
    kind: KeyKind,
    now: datetime,
    skew: timedelta,
    random: RandomBytes,
) -> tuple[SealingKeys, SealingKey]:
    """Add a key that opens at once and seals after a minute.

    The secrets of session keys that have ended are deleted.
    """
    swept = [
        replace(e, state=KeyState.DROPPED, secret=None)
        if e.kind is KeyKind.SESSION
        and e.state is KeyState.ACTIVE
        and _is_over(keys.refused_from(e, skew), now)
        else e
        for e in keys.entries
    ]
    added = _add(
        replace(keys, entries=tuple(swept)), kind, now, now + SEALS_AFTER, random
    )
    return added, added.entries[-1]


def revoke(
    keys: SealingKeys, number: int, now: datetime, random: RandomBytes
) -> tuple[SealingKeys, SealingKey]:
    """Refuse a key from now on. A new one takes over at once if it was sealing.

    The key before it does not come back: it was rotated away for a reason. A session key's secret is erased. A storage key's is kept, because what it sealed
    may have to be recovered by hand.

    Raises:
        KeyringError: UNKNOWN_KEY.
    """
    entry = _get(keys, number)
    secret = None if entry.kind is KeyKind.SESSION else entry.secret
    gone = replace(
        entry,
        state=KeyState.REVOKED,
        secret=secret,
        seals_from=None if _waits(entry, now) else entry.seals_from,
    )
    rest = _put(keys, gone)
    if keys.find_sealing(entry.kind, now) is entry:
        rest = _add(rest, entry.kind, now, now, random)
    return rest, gone


def drop(
    keys: SealingKeys, number: int, now: datetime
) -> tuple[SealingKeys, SealingKey]:
    """Forget a storage key, once nothing is sealed with it any more.

    Raises:
        KeyringError: UNKNOWN_KEY, or IN_USE for the key that seals and for session
            keys, which end by themselves.
    """
    entry = _get(keys, number)
    in_use = keys.find_sealing(entry.kind, now) is entry or _waits(entry, now)
    if entry.kind is KeyKind.SESSION or in_use:
        raise KeyringError(
            KeyringReason.IN_USE,
            f"key {number} is in use; rotate the storage keys and seal every value"
            " again before dropping the old one",
        )
    gone = replace(entry, state=KeyState.DROPPED, secret=None)
    return _put(keys, gone), gone


def encode_key_set(keys: SealingKeys) -> dict[str, object]:
    """The keyring file's content, ready for JSON."""
    return {
        "format": _FORMAT,
        "id": keys.keyring_id.hex(),
        "keys": [
            {
                "number": e.number,
                "kind": e.kind.value,
                "state": e.state.value,
                "created": e.created_at.isoformat(),
                "seals_from": e.seals_from and e.seals_from.isoformat(),
                "secret": e.secret and base64.b64encode(e.secret).decode("ascii"),
            }
            for e in keys.entries
        ],
    }


def parse_key_set(content: object) -> SealingKeys:
    """Read a keyring file's content.

    Raises:
        KeyringError: MALFORMED, naming what is wrong, never a key.
    """
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _malformed(f"it is not a keyring of format {_FORMAT}")
    rows = content.get("keys")
    if not isinstance(rows, list):
        raise _malformed("it has no list of keys")
    try:
        keyring_id = bytes.fromhex(content["id"])
        entries = tuple(_parse_entry(row) for row in rows)
    except (KeyError, TypeError, ValueError):
        # The cause may show a key: it is not passed on.
        raise _malformed("an entry lacks a member or has a bad one") from None
    numbers = [e.number for e in entries]
    if len(keyring_id) != _KEYRING_ID_BYTES or numbers != sorted(set(numbers)):
        raise _malformed("its id or the order of its key numbers is wrong")
    return SealingKeys(keyring_id, entries)


def _parse_entry(row: dict[str, object]) -> SealingKey:
    number, secret = row["number"], row["secret"]
    if type(number) is not int or not 0 < number <= MAX_KEY_NUMBER:
        raise ValueError("number")
    if secret is not None:
        secret = base64.b64decode(str(secret), validate=True)
        if len(secret) != KEY_BYTES:
            raise ValueError("secret")
    state = KeyState(str(row["state"]))
    if state is KeyState.ACTIVE and not (secret and row["seals_from"]):
        raise ValueError("secret")
    return SealingKey(
        number=number,
        kind=KeyKind(str(row["kind"])),
        state=state,
        created_at=_parse_time(row["created"]),
        seals_from=_parse_time(row["seals_from"]) if row["seals_from"] else None,
        secret=secret,
    )


def _parse_time(value: object) -> datetime:
    time = datetime.fromisoformat(str(value))
    if time.tzinfo is None:
        raise ValueError("time")
    return time


def _malformed(what: str) -> KeyringError:
    return KeyringError(
        KeyringReason.MALFORMED,
        f"the keyring file cannot be used: {what}; restore it from your backup",
    )


def _get(keys: SealingKeys, number: int) -> SealingKey:
    entry = keys.find(number)
    if entry is None:
        known = ", ".join(str(e.number) for e in keys.entries)
        raise KeyringError(
            KeyringReason.UNKNOWN_KEY,
            f"there is no key {number}; the keyring has {known}",
        )
    return entry


def _put(keys: SealingKeys, entry: SealingKey) -> SealingKeys:
    rest: Iterable[SealingKey] = (
        entry if e.number == entry.number else e for e in keys.entries
    )
    return replace(keys, entries=tuple(rest))


def _add(
    keys: SealingKeys,
    kind: KeyKind,
    now: datetime,
    seals_from: datetime,
    random: RandomBytes,
) -> SealingKeys:
    numbers: Sequence[int] = [e.number for e in keys.entries]
    entry = SealingKey(
        number=max(numbers, default=0) + 1,
        kind=kind,
        created_at=now,
        seals_from=seals_from,
        secret=random(KEY_BYTES),
    )
    return replace(keys, entries=(*keys.entries, entry))


def _waits(entry: SealingKey, now: datetime) -> bool:
    return entry.seals_from is None or now < entry.seals_from


def _is_over(ends: datetime | None, now: datetime) -> bool:
    return ends is not None and now >= ends
