import itertools

import pytest

from broker.errors import ServiceUnavailable
from broker.model.sealing import KeyKind
from broker.sessions.keyring import Keyring
from broker.sessions.vault import SealBrokenError, Vault, key_number
from tests.support.clocks import SteppedClock
from tests.support.iam import revoke_key, rotate_keys

PLACE = ("totp-seed", "123456789012", "AIDAABCDEFGHIJKLMNOPQ", "seed")


@pytest.fixture
def vault(keyring: Keyring, clock: SteppedClock) -> Vault:
    return Vault(keyring, clock)


@pytest.mark.parametrize("value", [b"", b"secret", bytes(10_000)])
def test_what_was_sealed_opens_in_its_place(vault: Vault, value: bytes) -> None:
    assert vault.open_sealed(*PLACE, vault.seal(*PLACE, value)) == value


def test_the_same_value_never_looks_the_same(vault: Vault) -> None:
    assert vault.seal(*PLACE, b"x") != vault.seal(*PLACE, b"x")


@pytest.mark.parametrize("moved", range(4))
def test_a_value_moved_to_another_place_does_not_open(vault: Vault, moved: int) -> None:
    sealed = vault.seal(*PLACE, b"secret")
    elsewhere = list(PLACE)
    elsewhere[moved] += "x"
    with pytest.raises(SealBrokenError, match="belongs elsewhere"):
        vault.open_sealed(*elsewhere, sealed)  # type: ignore[arg-type]  # four texts


def test_places_cannot_be_mixed_up_by_shifting_a_border(vault: Vault) -> None:
    for parts in itertools.permutations(["a", "ab", "b", ""], 4):
        sealed = vault.seal(*parts, b"secret")
        for others in itertools.permutations(["a", "ab", "b", ""], 4):
            if others != parts:
                with pytest.raises(SealBrokenError):
                    vault.open_sealed(*others, sealed)


def test_any_changed_byte_breaks_the_seal(vault: Vault) -> None:
    sealed = bytearray(vault.seal(*PLACE, b"secret"))
    for place in range(len(sealed)):
        sealed[place] ^= 0x80
        with pytest.raises(SealBrokenError) as caught:
            vault.open_sealed(*PLACE, bytes(sealed))
        assert "secret" not in str(caught.value)
        sealed[place] ^= 0x80


@pytest.mark.parametrize("length", range(0, 45, 4))
def test_a_cut_value_is_refused(vault: Vault, length: int) -> None:
    with pytest.raises(SealBrokenError):
        vault.open_sealed(*PLACE, vault.seal(*PLACE, b"")[:length])


def test_a_key_that_is_gone_is_named(vault: Vault) -> None:
    sealed = vault.seal(*PLACE, b"secret")
    with pytest.raises(SealBrokenError, match="storage key 999, which was revoked"):
        vault.open_sealed(*PLACE, sealed[:1] + b"\0\0\x03\xe7" + sealed[5:])


def test_a_key_that_is_not_known_here_yet_is_no_broken_seal(vault: Vault) -> None:
    sealed = vault.seal(*PLACE, b"secret")
    with pytest.raises(ServiceUnavailable):
        vault.open_sealed(*PLACE, sealed[:1] + b"\0\0\0\x03" + sealed[5:])


@pytest.mark.parametrize("sealed", [b"", b"\x02" + bytes(60)])
def test_another_versions_value_is_named_as_such(vault: Vault, sealed: bytes) -> None:
    with pytest.raises(SealBrokenError, match="another version"):
        vault.open_sealed(*PLACE, sealed)


def test_values_need_resealing_once_a_newer_key_seals(
    vault: Vault, keyring: Keyring, clock: SteppedClock
) -> None:
    sealed = vault.seal(*PLACE, b"secret")
    assert not vault.needs_resealing(sealed)
    added = rotate_keys(keyring, clock, KeyKind.STORAGE)
    clock.move(4)
    assert not vault.needs_resealing(sealed)
    clock.move(1)
    assert vault.needs_resealing(sealed)
    again = vault.seal(*PLACE, vault.open_sealed(*PLACE, sealed))
    assert key_number(again) == added.number
    assert not vault.needs_resealing(again)


def test_storage_values_outlive_the_end_of_session_keys(
    vault: Vault, keyring: Keyring, clock: SteppedClock
) -> None:
    sealed = vault.seal(*PLACE, b"secret")
    rotate_keys(keyring, clock, KeyKind.STORAGE)
    clock.move(90 * 86_400)
    assert vault.open_sealed(*PLACE, sealed) == b"secret"


def test_a_revoked_storage_key_opens_nothing(
    vault: Vault, keyring: Keyring, clock: SteppedClock
) -> None:
    sealed = vault.seal(*PLACE, b"secret")
    revoke_key(keyring, clock, 2)
    with pytest.raises(SealBrokenError):
        vault.open_sealed(*PLACE, sealed)
