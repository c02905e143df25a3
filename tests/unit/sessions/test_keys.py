import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.sessions.keys import (
    LONGEST_SESSION,
    SEALS_AFTER,
    KeyKind,
    KeyringError,
    KeyringReason,
    KeyState,
    KeyUse,
    SealingKeys,
    drop,
    encode_key_set,
    new_key_set,
    parse_key_set,
    revoke,
    rotate,
)

NOW = datetime(2026, 9, 11, 12, tzinfo=UTC)
SKEW = timedelta(seconds=60)
MOMENT = timedelta(milliseconds=1)
RandomBytes = Callable[[int], bytes]


@pytest.fixture
def born(counting: RandomBytes) -> SealingKeys:
    return new_key_set(NOW, counting)


def number_sealing(keys: SealingKeys, kind: KeyKind, at: datetime) -> int | None:
    found = keys.find_sealing(kind, at)
    return found and found.number


def test_a_new_keyring_seals_at_once_with_a_key_of_each_kind(born: SealingKeys) -> None:
    session = born.find_sealing(KeyKind.SESSION, NOW)
    storage = born.find_sealing(KeyKind.STORAGE, NOW)
    assert session is not None
    assert storage is not None
    assert session.secret != storage.secret
    assert session.secret is not None
    assert len(session.secret) == 32


def test_a_rotated_key_seals_only_after_a_minute(
    born: SealingKeys, counting: RandomBytes
) -> None:
    keys, added = rotate(born, KeyKind.SESSION, NOW, SKEW, counting)
    assert number_sealing(keys, KeyKind.SESSION, NOW + SEALS_AFTER - MOMENT) == 1
    assert number_sealing(keys, KeyKind.SESSION, NOW + SEALS_AFTER) == added.number
    assert number_sealing(keys, KeyKind.STORAGE, NOW + SEALS_AFTER) == 2


def test_an_old_session_key_outlives_the_longest_session_and_the_skew(
    born: SealingKeys, counting: RandomBytes
) -> None:
    keys, _ = rotate(born, KeyKind.SESSION, NOW, SKEW, counting)
    assert keys.refused_from(keys.entries[0], SKEW) == (
        NOW + SEALS_AFTER + timedelta(hours=36) + SKEW
    )
    assert keys.refused_from(keys.entries[2], SKEW) is None


def test_a_storage_key_opens_until_it_is_dropped(
    born: SealingKeys, counting: RandomBytes
) -> None:
    keys, _ = rotate(born, KeyKind.STORAGE, NOW, SKEW, counting)
    assert keys.refused_from(keys.entries[1], SKEW) is None
    keys, gone = drop(keys, 2, NOW + SEALS_AFTER)
    assert gone.secret is None
    assert keys.entries[1].state is KeyState.DROPPED


@pytest.mark.parametrize(("number", "after"), [(2, 0.0), (3, 0.0), (3, 60.0), (1, 60)])
def test_a_key_in_use_cannot_be_dropped(
    born: SealingKeys, counting: RandomBytes, number: int, after: float
) -> None:
    keys, _ = rotate(born, KeyKind.STORAGE, NOW, SKEW, counting)
    with pytest.raises(KeyringError) as caught:
        drop(keys, number, NOW + timedelta(seconds=after))
    assert caught.value.reason is KeyringReason.IN_USE


def test_revoking_the_key_that_seals_makes_a_new_one_seal_at_once(
    born: SealingKeys, counting: RandomBytes
) -> None:
    rotated, _ = rotate(born, KeyKind.SESSION, NOW, SKEW, counting)
    later = NOW + timedelta(hours=1)
    keys, gone = revoke(rotated, 3, later, counting)
    assert gone.secret is None
    assert number_sealing(keys, KeyKind.SESSION, later) == 4


def test_revoking_a_key_that_waits_leaves_the_one_before_in_charge(
    born: SealingKeys, counting: RandomBytes
) -> None:
    rotated, _ = rotate(born, KeyKind.SESSION, NOW, SKEW, counting)
    keys, _ = revoke(rotated, 3, NOW, counting)
    assert number_sealing(keys, KeyKind.SESSION, NOW + timedelta(days=9)) == 1
    assert keys.refused_from(keys.entries[0], SKEW) is None
    assert len(keys.entries) == 3


def test_a_revoked_storage_key_keeps_its_secret_for_recovery(
    born: SealingKeys, counting: RandomBytes
) -> None:
    keys, gone = revoke(born, 2, NOW, counting)
    assert gone.secret is not None
    assert number_sealing(keys, KeyKind.STORAGE, NOW) == 3


def test_a_clock_behind_the_keyrings_birth_still_finds_a_key(born: SealingKeys) -> None:
    assert number_sealing(born, KeyKind.SESSION, NOW - timedelta(seconds=5)) == 1


def test_a_revoked_key_is_still_called_so_after_a_rotation(
    born: SealingKeys, counting: Callable[[int], bytes]
) -> None:
    revoked, _ = revoke(born, 1, NOW, counting)
    rotated, _ = rotate(revoked, KeyKind.SESSION, NOW, SKEW, counting)
    entry = rotated.find(1)
    assert entry is not None
    assert entry.state is KeyState.REVOKED


def test_rotation_erases_session_keys_that_are_over(
    born: SealingKeys, counting: RandomBytes
) -> None:
    keys, _ = rotate(born, KeyKind.SESSION, NOW, SKEW, counting)
    ends = NOW + SEALS_AFTER + LONGEST_SESSION + SKEW
    early, _ = rotate(keys, KeyKind.SESSION, ends - MOMENT, SKEW, counting)
    late, _ = rotate(keys, KeyKind.SESSION, ends, SKEW, counting)
    assert early.entries[0].secret is not None
    assert late.entries[0].secret is None


def test_no_number_is_used_twice(born: SealingKeys, counting: RandomBytes) -> None:
    keys = born
    for _ in range(3):
        keys, _ = revoke(keys, keys.entries[-1].number, NOW, counting)
        keys, _ = rotate(keys, KeyKind.SESSION, NOW, SKEW, counting)
    assert [e.number for e in keys.entries] == list(range(1, len(keys.entries) + 1))


def test_an_unknown_number_is_named(born: SealingKeys, counting: RandomBytes) -> None:
    with pytest.raises(KeyringError, match="no key 7; the keyring has 1, 2") as caught:
        revoke(born, 7, NOW, counting)
    assert caught.value.reason is KeyringReason.UNKNOWN_KEY


def test_the_list_says_what_each_key_does_and_shows_no_secret(
    born: SealingKeys, counting: RandomBytes
) -> None:
    keys, _ = rotate(born, KeyKind.SESSION, NOW, SKEW, counting)
    assert [line.use for line in keys.list(NOW, SKEW)] == [
        KeyUse.SEALING,
        KeyUse.SEALING,
        KeyUse.WAITING,
    ]
    after = keys.list(NOW + SEALS_AFTER, SKEW)
    assert [line.use for line in after] == [
        KeyUse.OPENING,
        KeyUse.SEALING,
        KeyUse.SEALING,
    ]
    assert after[0].seals_until == NOW + SEALS_AFTER
    over = keys.list(NOW + timedelta(days=3), SKEW)
    assert over[0].use is KeyUse.REFUSED
    keys, _ = revoke(keys, 3, NOW, counting)
    assert keys.list(NOW, SKEW)[2].use is KeyUse.REFUSED
    assert "secret" not in repr(after)


def test_reprs_show_no_secret(born: SealingKeys) -> None:
    assert repr(born.entries[0].secret) not in repr(born)


def test_what_was_written_reads_back(born: SealingKeys, counting: RandomBytes) -> None:
    keys, _ = rotate(born, KeyKind.SESSION, NOW, SKEW, counting)
    keys, _ = revoke(keys, 3, NOW, counting)
    assert parse_key_set(json.loads(json.dumps(encode_key_set(keys)))) == keys


def spoil(content: dict[str, Any], path: str, value: object) -> None:
    *parents, last = path.split(".")
    where: Any = content
    for step in parents:
        where = where[int(step) if step.isdigit() else step]
    where[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", 2),
        ("id", "00"),
        ("id", None),
        ("keys", {}),
        ("keys.0.number", 0),
        ("keys.0.number", True),
        ("keys.0.number", 2),
        ("keys.0.number", 2**32),
        ("keys.0.kind", "other"),
        ("keys.0.state", "other"),
        ("keys.0.secret", None),
        ("keys.0.secret", "AAAA"),
        ("keys.0.secret", "!"),
        ("keys.0.created", "2026-09-11T12:00:00"),
        ("keys.0.created", "yesterday"),
        ("keys.0.seals_from", None),
    ],
)
def test_a_spoilt_keyring_is_refused_with_advice(
    born: SealingKeys, path: str, value: object
) -> None:
    content = json.loads(json.dumps(encode_key_set(born)))
    spoil(content, path, value)
    with pytest.raises(KeyringError, match="restore it from your backup") as caught:
        parse_key_set(content)
    assert caught.value.reason is KeyringReason.MALFORMED
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("content", [None, [], "text", {"format": 1, "keys": [1]}])
def test_something_else_is_no_keyring(content: object) -> None:
    with pytest.raises(KeyringError):
        parse_key_set(content)
