import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from broker.errors import ServiceUnavailable
from broker.model.sealing import KeyKind
from broker.sessions import keyring as module
from broker.sessions.keyring import (
    Keyring,
    begin_keys,
    encode_masters,
    new_master,
    read_masters,
    settle_keyring,
)
from broker.sessions.keys import KeyringError, Wrapper, rewrap
from tests.support.clocks import SteppedClock
from tests.support.iam import make_keyring, read_keys, revoke_key, rotate_keys
from tests.support.rows import cases


def opens(keyring: Keyring, clock: SteppedClock, number: int) -> bool:
    opening_key = keyring.find_opening_key(KeyKind.SESSION, number, clock.now())
    return opening_key is not None


def test_a_new_keyring_is_private_whatever_the_umask(
    tmp_path: Path, clock: SteppedClock
) -> None:
    before = os.umask(0)
    try:
        make_keyring(tmp_path / "k", clock)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600


def test_the_keyring_of_a_lost_database_is_never_overwritten(
    keyring: Keyring, clock: SteppedClock
) -> None:
    text = keyring.path.read_bytes()
    with pytest.raises(KeyringError, match="the database is empty"):
        make_keyring(keyring.path, clock)
    assert keyring.path.read_bytes() == text


def test_a_keyring_for_a_new_database_is_used_as_it_is(
    tmp_path: Path, clock: SteppedClock
) -> None:
    path = tmp_path / "keyring.json"
    made = json.loads(encode_masters((new_master(),)))
    path.write_text(json.dumps({**made, "for_new_database": True}))
    path.chmod(0o400)
    text = path.read_bytes()
    keyring = make_keyring(path, clock)
    assert [m.key_id for m in keyring.masters] == [made["master_keys"][0]["id"]]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == text
    path.chmod(0o644)
    with pytest.raises(KeyringError, match="chmod 600"):
        make_keyring(path, clock)


def test_a_keyring_where_nothing_can_be_written_is_used(
    tmp_path: Path, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a mounted Secret: a rename fails there before its source is looked for."""
    path = tmp_path / "keyring.json"
    made = json.loads(encode_masters((new_master(),)))
    path.write_text(json.dumps({**made, "for_new_database": True}))
    path.chmod(0o400)

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self), 0, str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    keyring = make_keyring(path, clock)
    assert keyring.masters[0].key_id == made["master_keys"][0]["id"]


def test_an_absent_keyring_says_what_to_restore(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="or copy it from another node"):
        read_masters(tmp_path / "none")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610])
def test_a_mode_that_lets_others_in_is_refused(keyring: Keyring, mode: int) -> None:
    keyring.path.chmod(mode)
    with pytest.raises(KeyringError, match="chmod 600"):
        read_masters(keyring.path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_the_file_may_be_read_only(keyring: Keyring, mode: int) -> None:
    keyring.path.chmod(mode)
    assert read_masters(keyring.path) == keyring.masters


@cases("owner, mode, says")
def test_root_may_lend_the_file_through_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, mode: int, says: str
) -> None:
    """As a Secret of Kubernetes is mounted for a broker that runs as 10001."""
    monkeypatch.setattr(os, "geteuid", lambda: 10001)
    status = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, 10001, 0, 0, 0, 0))
    if not says:
        module._require_private(tmp_path, status)
        return
    with pytest.raises(KeyringError, match=says):
        module._require_private(tmp_path, status)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_owner_is_refused(keyring: Keyring) -> None:
    os.chown(keyring.path, 65534, -1)
    with pytest.raises(KeyringError, match="chown"):
        read_masters(keyring.path)


def test_a_folder_is_no_keyring(tmp_path: Path) -> None:
    with pytest.raises(KeyringError):
        read_masters(tmp_path)


def spoilt(**members: Any) -> str:
    good = {"format": 2, "master_keys": [{"id": "a1", "secret": "A" * 43 + "="}]}
    return json.dumps({**good, **members})


@cases("text")
def test_a_spoilt_file_is_refused_with_advice(keyring: Keyring, text: str) -> None:
    keyring.path.write_text(text)
    with pytest.raises(KeyringError, match="restore it from your backup") as caught:
        read_masters(keyring.path)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_unspoilt_one_reads(keyring: Keyring) -> None:
    keyring.path.write_text(spoilt())
    assert [master.key_id for master in read_masters(keyring.path)] == ["a1"]


def test_another_databases_keyring_says_which_one_to_copy(
    keyring: Keyring, tmp_path: Path, clock: SteppedClock
) -> None:
    other = make_keyring(tmp_path / "other", clock)
    with pytest.raises(KeyringError, match="copy the keyring of a node") as caught:
        Keyring(other.path, keyring.identity, keyring.keys, clock)
    assert keyring.masters[0].key_id in str(caught.value)


def test_a_revoked_key_is_refused_as_soon_as_it_was_read(
    keyring: Keyring, clock: SteppedClock
) -> None:
    assert opens(keyring, clock, 1)
    revoke_key(keyring, clock, 1)
    assert not opens(keyring, clock, 1)


def test_an_unknown_key_is_looked_up_once(
    keyring: Keyring, clock: SteppedClock
) -> None:
    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            opens(keyring, clock, 3)
    assert keyring._woken.is_set()
    clock.move(0.01)
    read_keys(keyring, clock, keyring.keys)
    keyring._woken.clear()
    assert not opens(keyring, clock, 3)
    assert not keyring._woken.is_set()


def test_a_read_that_began_before_the_question_does_not_answer_it(
    keyring: Keyring, clock: SteppedClock
) -> None:
    began = clock.monotonic()
    clock.move(0.01)
    with pytest.raises(ServiceUnavailable):
        opens(keyring, clock, 3)
    keyring.install(keyring.keys, began)
    with pytest.raises(ServiceUnavailable):
        opens(keyring, clock, 3)


def test_numbers_that_no_rotation_can_have_reached_are_not_looked_up(
    keyring: Keyring, clock: SteppedClock
) -> None:
    assert not opens(keyring, clock, 0)
    assert not opens(keyring, clock, 2 + 17)
    assert not opens(keyring, clock, 2**32 - 1)
    with pytest.raises(ServiceUnavailable):
        opens(keyring, clock, 2 + 16)


def test_a_looked_up_key_that_appears_opens(
    keyring: Keyring, clock: SteppedClock
) -> None:
    with pytest.raises(ServiceUnavailable):
        opens(keyring, clock, 3)
    clock.move(0.01)
    rotate_keys(keyring, clock, KeyKind.SESSION)
    assert opens(keyring, clock, 3)


def test_a_new_key_opens_at_once_and_seals_after_five_seconds(
    keyring: Keyring, clock: SteppedClock
) -> None:
    added = rotate_keys(keyring, clock, KeyKind.SESSION)
    assert opens(keyring, clock, added.number)
    clock.move(4.9)
    assert keyring.sealing_key(KeyKind.SESSION, clock.now())[0] == 1
    clock.move(0.1)
    assert keyring.sealing_key(KeyKind.SESSION, clock.now())[0] == added.number


def test_an_old_session_key_is_refused_after_36_hours_and_the_skew(
    keyring: Keyring, clock: SteppedClock
) -> None:
    rotate_keys(keyring, clock, KeyKind.SESSION)
    clock.move(5 + 36 * 3600 + 60 - 1)
    assert opens(keyring, clock, 1)
    clock.move(1)
    assert not opens(keyring, clock, 1)


def test_a_key_serves_its_own_kind_only(keyring: Keyring, clock: SteppedClock) -> None:
    now = clock.now()
    assert keyring.find_opening_key(KeyKind.STORAGE, 1, now) is None
    assert keyring.find_opening_key(KeyKind.SESSION, 2, now) is None


def test_without_a_key_of_the_kind_nothing_is_sealed(
    keyring: Keyring, clock: SteppedClock
) -> None:
    read_keys(keyring, clock, keyring.keys[1:])
    with pytest.raises(ServiceUnavailable, match="temporary failure") as caught:
        keyring.sealing_key(KeyKind.SESSION, clock.now())
    assert "no session key" in caught.value.detail


def test_what_a_key_sealed_that_cannot_be_read_here_is_not_called_invalid(
    keyring: Keyring, clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Another node wrapped a new key with a master key that this file lacks."""
    master = new_master()
    new = replace(keyring.keys[0], number=3, master="", wrapped=None)
    new = Wrapper(master, keyring.identity).wrap(new, bytes(32))
    for _ in range(3):
        clock.move(1)
        read_keys(keyring, clock, (*keyring.keys[:2], new))
        with pytest.raises(ServiceUnavailable, match="temporary") as caught:
            opens(keyring, clock, 3)
        assert "cannot be read" in caught.value.detail
        with pytest.raises(ServiceUnavailable):
            keyring.sealing_key(KeyKind.SESSION, clock.now())
        assert opens(keyring, clock, 1)
    (message,) = caplog.messages
    assert master.key_id in message

    # With the file of the other node it reads it, without a restart.
    keyring.path.write_text(encode_masters((master, *keyring.masters)))
    read_keys(keyring, clock, keyring.keys)
    assert opens(keyring, clock, 3)


def test_a_process_goes_on_with_what_it_unwrapped_before(
    keyring: Keyring, clock: SteppedClock
) -> None:
    before = keyring.find_opening_key(KeyKind.SESSION, 1, clock.now())
    keys = rewrap(keyring.keys, (new_master(), *keyring.masters), keyring.identity)
    keyring.path.unlink()
    read_keys(keyring, clock, keys)
    assert keyring.find_opening_key(KeyKind.SESSION, 1, clock.now()) == before


def test_unchanged_keys_are_not_unwrapped_again(
    keyring: Keyring, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wrapper, "find_secret", None)
    read_keys(keyring, clock, tuple(keyring.keys))
    read_keys(keyring, clock, keyring.keys[:1])
    assert opens(keyring, clock, 1)


def test_new_keys_come_where_a_link_leads(tmp_path: Path, clock: SteppedClock) -> None:
    link, file = tmp_path / "keyring.json", tmp_path / "safe" / "keyring.json"
    file.parent.mkdir()
    link.symlink_to(file)
    make_keyring(link, clock)
    assert link.is_symlink()
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, clock: SteppedClock
) -> None:
    with pytest.raises(KeyringError, match="a folder that it may write to"):
        begin_keys(tmp_path / "no" / "keyring.json", clock.now(), None, ())


def test_the_second_to_begin_keys_takes_those_there_are(
    keyring: Keyring, clock: SteppedClock
) -> None:
    again = begin_keys(keyring.path, clock.now(), keyring.identity, keyring.keys)
    assert again == (keyring.identity, keyring.keys)
    settle_keyring(keyring.path, keyring.keys)
    assert [entry.name for entry in keyring.path.parent.iterdir()] == ["keyring.json"]
