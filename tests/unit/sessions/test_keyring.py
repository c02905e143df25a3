import fcntl
import json
import os
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from broker.sessions.keyring import (
    Keyring,
    _locked,
    drop_key,
    list_keys,
    load_keyring,
    prepare_keyring,
    require_fingerprint,
    revoke_key,
    rotate_keys,
    settle_keyring,
)
from broker.sessions.keys import KeyKind, KeyringError, KeyringReason, KeyUse
from tests.support.iam import make_keyring
from tests.unit.sessions.conftest import FakeClock


def opens(keyring: Keyring, clock: FakeClock, number: int) -> bool:
    found = keyring.find_opening_key(KeyKind.SESSION, number, clock.now())
    return found is not None


def test_a_new_keyring_is_private_whatever_the_umask(
    tmp_path: Path, clock: FakeClock
) -> None:
    before = os.umask(0)
    try:
        make_keyring(tmp_path / "k", clock)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600


def test_an_existing_keyring_is_never_overwritten(
    keyring: Keyring, clock: FakeClock
) -> None:
    text = keyring.path.read_bytes()
    make_keyring(keyring.path, clock)
    assert keyring.path.read_bytes() == text


def test_an_absent_keyring_says_what_to_restore(
    tmp_path: Path, clock: FakeClock
) -> None:
    with pytest.raises(KeyringError, match="restore it from your backup") as caught:
        load_keyring(tmp_path / "none", clock)
    assert caught.value.reason is KeyringReason.MISSING


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o700, 0o400, 0o660])
def test_any_other_mode_is_refused(
    keyring: Keyring, clock: FakeClock, mode: int
) -> None:
    keyring.path.chmod(mode)
    with pytest.raises(KeyringError, match="chmod 600") as caught:
        load_keyring(keyring.path, clock)
    assert caught.value.reason is KeyringReason.UNSAFE_MODE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_owner_is_refused(keyring: Keyring, clock: FakeClock) -> None:
    os.chown(keyring.path, 65534, -1)
    with pytest.raises(KeyringError, match="chown") as caught:
        load_keyring(keyring.path, clock)
    assert caught.value.reason is KeyringReason.UNSAFE_OWNER


def test_a_folder_is_no_keyring(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(KeyringError):
        load_keyring(tmp_path, clock)


def test_broken_text_is_refused(keyring: Keyring, clock: FakeClock) -> None:
    keyring.path.write_text("{")
    with pytest.raises(KeyringError) as caught:
        load_keyring(keyring.path, clock)
    assert caught.value.reason is KeyringReason.MALFORMED


def test_the_fingerprint_stays_through_a_rotation(
    keyring: Keyring, clock: FakeClock
) -> None:
    rotate_keys(keyring.path, clock, KeyKind.SESSION)
    again = load_keyring(keyring.path, clock)
    assert again.fingerprint == keyring.fingerprint
    require_fingerprint(again.keys, keyring.fingerprint, keyring.path)


def test_another_databases_keyring_is_refused(
    keyring: Keyring, tmp_path: Path, clock: FakeClock
) -> None:
    other = make_keyring(tmp_path / "other", clock)
    with pytest.raises(KeyringError, match="from the same backup") as caught:
        require_fingerprint(other.keys, keyring.fingerprint, other.path)
    assert caught.value.reason is KeyringReason.MISMATCH


def test_a_process_follows_a_revocation_within_a_second(
    keyring: Keyring, clock: FakeClock
) -> None:
    assert opens(keyring, clock, 1)
    revoke_key(keyring.path, clock, 1)
    clock.move(0.9)
    assert opens(keyring, clock, 1)
    clock.move(0.1)
    assert not opens(keyring, clock, 1)


def test_an_unknown_number_has_the_file_read_at_once(
    keyring: Keyring, clock: FakeClock
) -> None:
    added = rotate_keys(keyring.path, clock, KeyKind.SESSION)
    assert opens(keyring, clock, added.number)
    assert not opens(keyring, clock, 99)


def test_a_new_key_opens_at_once_and_seals_after_a_minute(
    keyring: Keyring, clock: FakeClock
) -> None:
    added = rotate_keys(keyring.path, clock, KeyKind.SESSION)
    clock.move(59)
    assert keyring.sealing_key(KeyKind.SESSION, clock.now())[0] == 1
    clock.move(1)
    assert keyring.sealing_key(KeyKind.SESSION, clock.now())[0] == added.number


def test_an_old_session_key_is_refused_after_36_hours_and_the_skew(
    keyring: Keyring, clock: FakeClock
) -> None:
    rotate_keys(keyring.path, clock, KeyKind.SESSION)
    clock.move(60 + 36 * 3600 + 60 - 1)
    assert opens(keyring, clock, 1)
    clock.move(1)
    assert not opens(keyring, clock, 1)


def test_a_key_serves_its_own_kind_only(keyring: Keyring, clock: FakeClock) -> None:
    now = clock.now()
    assert keyring.find_opening_key(KeyKind.STORAGE, 1, now) is None
    assert keyring.find_opening_key(KeyKind.SESSION, 2, now) is None


@pytest.mark.parametrize("harm", ["remove", "break", "open up", "replace"])
def test_while_the_file_is_unusable_the_keys_read_last_go_on(
    keyring: Keyring, clock: FakeClock, tmp_path: Path, harm: str
) -> None:
    match harm:
        case "remove":
            keyring.path.unlink()
        case "break":
            keyring.path.write_text("[]")
        case "open up":
            keyring.path.chmod(0o666)
        case "replace":
            make_keyring(tmp_path / "other", clock).path.replace(keyring.path)
    before = keyring.keys
    clock.move(2)
    assert opens(keyring, clock, 1)
    assert keyring.keys == before


def test_a_restored_file_is_read_again(keyring: Keyring, clock: FakeClock) -> None:
    text = keyring.path.read_text()
    keyring.path.write_text("[]")
    clock.move(2)
    assert opens(keyring, clock, 1)
    keyring.path.write_text(text)
    revoke_key(keyring.path, clock, 1)
    clock.move(2)
    assert not opens(keyring, clock, 1)


def test_changes_at_the_same_time_lose_none(keyring: Keyring, clock: FakeClock) -> None:
    threads = [
        threading.Thread(
            target=rotate_keys, args=(keyring.path, clock, KeyKind.SESSION)
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [line.number for line in list_keys(keyring.path, clock)]
    assert numbers == list(range(1, 11))
    assert list(keyring.path.parent.iterdir()) == [keyring.path]


def test_a_change_that_was_killed_does_not_stand_in_the_way(
    keyring: Keyring, clock: FakeClock
) -> None:
    keyring.path.with_name("keyring.json.new").write_text("half")
    rotate_keys(keyring.path, clock, KeyKind.STORAGE)
    assert len(list_keys(keyring.path, clock)) == 3


def test_a_change_keeps_the_file_private(keyring: Keyring, clock: FakeClock) -> None:
    rotate_keys(keyring.path, clock, KeyKind.SESSION)
    assert stat.S_IMODE(keyring.path.stat().st_mode) == 0o600


def test_a_link_to_the_keyring_stays_a_link(
    keyring: Keyring, tmp_path: Path, clock: FakeClock
) -> None:
    link = tmp_path / "linked" / "keyring.json"
    link.parent.mkdir()
    link.symlink_to(keyring.path)
    rotated = rotate_keys(link, clock, KeyKind.SESSION)
    assert link.is_symlink()
    assert [entry.name for entry in link.parent.iterdir()] == [link.name]
    clock.move(1)
    assert opens(keyring, clock, rotated.number)


def test_new_keys_come_where_a_link_leads(tmp_path: Path, clock: FakeClock) -> None:
    link, file = tmp_path / "keyring.json", tmp_path / "safe" / "keyring.json"
    file.parent.mkdir()
    link.symlink_to(file)
    name = prepare_keyring(link, clock)
    settle_keyring(link, name)
    assert link.is_symlink()
    assert load_keyring(file, clock).fingerprint == name


def test_a_rotated_storage_key_can_be_dropped(
    keyring: Keyring, clock: FakeClock
) -> None:
    rotate_keys(keyring.path, clock, KeyKind.STORAGE)
    clock.move(61)
    drop_key(keyring.path, clock, 2)
    assert keyring.find_opening_key(KeyKind.STORAGE, 2, clock.now()) is None
    assert list_keys(keyring.path, clock)[1].use is KeyUse.REFUSED
    assert json.loads(keyring.path.read_text())["keys"][1]["secret"] is None


def test_without_a_key_of_the_kind_sealing_fails_with_advice(
    keyring: Keyring, clock: FakeClock
) -> None:
    content = json.loads(keyring.path.read_text())
    content["keys"] = content["keys"][1:]
    keyring.path.write_text(json.dumps(content))
    bare = load_keyring(keyring.path, clock, timedelta(seconds=60))
    with pytest.raises(KeyringError, match="broker keys rotate") as caught:
        bare.sealing_key(KeyKind.SESSION, clock.now())
    assert caught.value.reason is KeyringReason.NO_KEY


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(KeyringError, match="a folder that it may write to") as caught:
        prepare_keyring(tmp_path / "no" / "keyring.json", clock)
    assert caught.value.reason is KeyringReason.UNREADABLE


def test_changing_an_absent_keyring_says_what_to_restore(
    tmp_path: Path, clock: FakeClock
) -> None:
    with pytest.raises(KeyringError, match="restore it from your backup") as caught:
        rotate_keys(tmp_path / "none", clock, KeyKind.SESSION)
    assert caught.value.reason is KeyringReason.MISSING


def test_a_change_that_cannot_be_written_leaves_the_keyring_alone(
    keyring: Keyring, clock: FakeClock
) -> None:
    keyring.path.with_name("keyring.json.new").mkdir()
    text = keyring.path.read_bytes()
    with pytest.raises(KeyringError) as caught:
        rotate_keys(keyring.path, clock, KeyKind.SESSION)
    assert caught.value.reason is KeyringReason.UNREADABLE
    assert keyring.path.read_bytes() == text


def test_an_unchanged_file_is_not_read_again(
    keyring: Keyring, clock: FakeClock
) -> None:
    before = keyring.keys
    clock.move(2)
    assert opens(keyring, clock, 1)
    assert keyring.keys is before


@pytest.mark.parametrize("harm", ["remove", "break"])
def test_an_unusable_file_is_reported_once(
    keyring: Keyring, clock: FakeClock, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    if harm == "remove":
        keyring.path.unlink()
    else:
        keyring.path.write_text("[]")
    for _ in range(5):
        clock.move(2)
        opens(keyring, clock, 1)
    (message,) = caplog.messages
    assert str(keyring.path) in message


def test_a_lock_on_a_file_that_was_replaced_is_not_a_lock(
    keyring: Keyring, tmp_path: Path
) -> None:
    entered = threading.Event()

    def change() -> None:
        with _locked(keyring.path):
            entered.set()

    with keyring.path.open("rb") as old:
        fcntl.flock(old, fcntl.LOCK_EX)
        thread = threading.Thread(target=change)
        thread.start()
        assert not entered.wait(0.05)
        fresh = tmp_path / "fresh"
        fresh.write_bytes(keyring.path.read_bytes())
        with fresh.open("rb") as new:
            fcntl.flock(new, fcntl.LOCK_EX)
            fresh.replace(keyring.path)
            fcntl.flock(old, fcntl.LOCK_UN)
            assert not entered.wait(0.05)
    assert entered.wait(5)
    thread.join()
