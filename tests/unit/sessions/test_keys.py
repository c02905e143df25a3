import hmac
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from broker.model.sealing import KeyKind, KeyState, SealingKeys
from broker.sessions.keys import (
    SEALS_AFTER,
    SESSION_MAX,
    KeyringError,
    KeyUse,
    MasterKey,
    Wrapper,
    find_sealing,
    first_keys,
    list_keys,
    refused_from,
    require_secret,
    revoke,
    rewrap,
    rotate,
)

NOW = datetime(2026, 9, 11, 12, tzinfo=UTC)
SKEW = timedelta(seconds=60)
MOMENT = timedelta(milliseconds=1)
MASTER = MasterKey("a1", bytes(range(32)))
OTHER = MasterKey("b2", bytes(range(1, 33)))
WRAPPER = Wrapper(MASTER, "5a")


@pytest.fixture
def born() -> SealingKeys:
    return first_keys(WRAPPER, NOW)


def rotated(keys: SealingKeys, kind: KeyKind, now: datetime = NOW) -> SealingKeys:
    return rotate(keys, kind, now, SKEW, WRAPPER)


def revoked(keys: SealingKeys, number: int, now: datetime = NOW) -> SealingKeys:
    return revoke(keys, number, now, WRAPPER)


def number_sealing(keys: SealingKeys, kind: KeyKind, at: datetime) -> int | None:
    sealing_key = find_sealing(keys, kind, at)
    return sealing_key and sealing_key.number


def test_the_wrapping_is_the_one_that_is_written_down(born: SealingKeys) -> None:
    """An independent unwrapping, from the standard library's HMAC and the design."""
    extracted = hmac.digest(bytes(32), MASTER.secret, "sha256")
    key = hmac.digest(extracted, b"broker/1/wrap\x01", "sha256")
    wrapped = born[1].wrapped
    assert wrapped is not None
    opened = AESGCM(key).decrypt(wrapped[:12], wrapped[12:], b"5a/storage/2")
    assert len(opened) == 32
    assert opened == require_secret(born[1], (MASTER,), "5a")


def test_a_key_unwraps_in_its_own_place_only(born: SealingKeys) -> None:
    session, storage = born
    assert session.wrapped is not None
    assert WRAPPER.find_secret(session.wrapped, session) is not None
    assert WRAPPER.find_secret(session.wrapped, storage) is None
    assert Wrapper(MASTER, "5b").find_secret(session.wrapped, session) is None
    assert Wrapper(OTHER, "5a").find_secret(session.wrapped, session) is None


def test_a_new_installation_seals_at_once_with_a_key_of_each_kind(
    born: SealingKeys,
) -> None:
    secrets = [require_secret(key, (MASTER,), "5a") for key in born]
    assert len(set(secrets)) == 2
    assert number_sealing(born, KeyKind.SESSION, NOW) == 1
    assert number_sealing(born, KeyKind.STORAGE, NOW) == 2


def test_a_rotated_key_seals_five_seconds_later(born: SealingKeys) -> None:
    keys = rotated(born, KeyKind.SESSION)
    assert timedelta(seconds=5) == SEALS_AFTER
    assert number_sealing(keys, KeyKind.SESSION, NOW + SEALS_AFTER - MOMENT) == 1
    assert number_sealing(keys, KeyKind.SESSION, NOW + SEALS_AFTER) == 3
    assert number_sealing(keys, KeyKind.STORAGE, NOW + SEALS_AFTER) == 2


def test_an_old_session_key_outlives_the_longest_session_and_the_skew(
    born: SealingKeys,
) -> None:
    keys = rotated(born, KeyKind.SESSION)
    ends = NOW + SEALS_AFTER + timedelta(hours=36) + SKEW
    assert refused_from(keys, keys[0], SKEW) == ends
    assert refused_from(keys, keys[2], SKEW) is None


def test_a_storage_key_opens_until_it_is_dropped(born: SealingKeys) -> None:
    keys = rotated(born, KeyKind.STORAGE)
    assert refused_from(keys, keys[1], SKEW) is None


def test_revoking_the_key_that_seals_makes_a_new_one_seal_at_once(
    born: SealingKeys,
) -> None:
    later = NOW + timedelta(hours=1)
    keys = revoked(rotated(born, KeyKind.SESSION), 3, later)
    assert keys[2].wrapped is None
    assert number_sealing(keys, KeyKind.SESSION, later) == 4


def test_revoking_a_key_that_waits_leaves_the_one_before_in_charge(
    born: SealingKeys,
) -> None:
    keys = revoked(rotated(born, KeyKind.SESSION), 3)
    assert number_sealing(keys, KeyKind.SESSION, NOW + timedelta(days=9)) == 1
    assert refused_from(keys, keys[0], SKEW) is None
    assert len(keys) == 3


def test_a_revoked_storage_key_keeps_its_secret_for_recovery(born: SealingKeys) -> None:
    keys = revoked(born, 2)
    assert require_secret(keys[1], (MASTER,), "5a")
    assert number_sealing(keys, KeyKind.STORAGE, NOW) == 3


def test_a_clock_behind_the_keys_birth_still_finds_one(born: SealingKeys) -> None:
    assert number_sealing(born, KeyKind.SESSION, NOW - timedelta(seconds=5)) == 1


def test_a_revoked_key_stays_through_rotations(born: SealingKeys) -> None:
    keys = rotated(revoked(born, 1), KeyKind.SESSION, NOW + timedelta(days=9))
    assert keys[0].state is KeyState.REVOKED


def test_rotation_forgets_session_keys_that_are_over(born: SealingKeys) -> None:
    keys = rotated(born, KeyKind.SESSION)
    ends = NOW + SEALS_AFTER + SESSION_MAX + SKEW
    early = rotated(keys, KeyKind.SESSION, ends - MOMENT)
    late = rotated(keys, KeyKind.SESSION, ends)
    assert [key.number for key in early] == [1, 2, 3, 4]
    assert [key.number for key in late] == [2, 3, 4]


def test_no_number_is_used_twice(born: SealingKeys) -> None:
    keys = born
    for _ in range(3):
        keys = rotated(revoked(keys, keys[-1].number), KeyKind.SESSION)
    assert [key.number for key in keys] == list(range(1, len(keys) + 1))


def test_an_unknown_number_is_named(born: SealingKeys) -> None:
    with pytest.raises(KeyringError, match="no key 7; the database has 1, 2"):
        revoked(born, 7)


def test_the_list_says_what_each_key_does_and_shows_no_secret(
    born: SealingKeys,
) -> None:
    keys = rotated(born, KeyKind.SESSION)
    assert [line.use for line in list_keys(keys, NOW, SKEW)] == [
        KeyUse.SEALING,
        KeyUse.SEALING,
        KeyUse.WAITING,
    ]
    after = list_keys(keys, NOW + SEALS_AFTER, SKEW)
    assert [line.use for line in after] == [
        KeyUse.OPENING,
        KeyUse.SEALING,
        KeyUse.SEALING,
    ]
    assert after[0].seals_until == NOW + SEALS_AFTER
    over = list_keys(keys, NOW + timedelta(days=3), SKEW)
    assert over[0].use is KeyUse.REFUSED
    assert list_keys(revoked(keys, 3), NOW, SKEW)[2].use is KeyUse.REFUSED
    assert "wrapped" not in repr(after)


def test_rewrapping_keeps_the_secrets_and_needs_the_old_master_key(
    born: SealingKeys,
) -> None:
    keys = revoked(rotated(born, KeyKind.STORAGE), 1)
    again = rewrap(keys, (OTHER, MASTER), "5a")
    assert {key.master for key in again} == {OTHER.key_id}
    for before, after in zip(keys, again, strict=True):
        if before.wrapped is None:
            assert after.wrapped is None
            continue
        secret = require_secret(before, (MASTER,), "5a")
        assert require_secret(after, (OTHER,), "5a") == secret
        with pytest.raises(KeyringError):
            require_secret(after, (MASTER,), "5a")
    assert rewrap(again, (OTHER,), "5a") == again
    with pytest.raises(KeyringError, match="master key a1"):
        rewrap(keys, (OTHER,), "5a")


def test_reprs_show_no_master_key() -> None:
    assert repr(MASTER.secret) not in repr(WRAPPER)
