import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import structs

from broker.errors import InvalidClientTokenId, PackedPolicyTooLarge, ServiceUnavailable
from broker.model.account import AccountId
from broker.model.sealing import KeyKind
from broker.model.session import Session
from broker.sessions.contents import decode_session
from broker.sessions.keyring import Keyring
from broker.sessions.seal import OpenedSession, SessionSealer
from tests.support.clocks import SteppedClock
from tests.support.iam import revoke_key, rotate_keys

OTHER_KEY_ID = "ASIARZPUZDIKAAAACAQE"


@pytest.fixture
def sealer(keyring: Keyring) -> SessionSealer:
    return SessionSealer(keyring)


class Seals:
    """One sealer, one clock, one salt: what the tests vary is named in each."""

    def __init__(self, sealer: SessionSealer, clock: SteppedClock, salt: bytes) -> None:
        self.sealer = sealer
        self.clock = clock
        self.salt = salt

    def seal(self, session: Session) -> tuple[str, str]:
        token, secret = self.sealer.seal(
            session, account_salt=self.salt, now=self.clock.now()
        )
        return token.reveal(), secret.reveal()

    def open(
        self,
        session: Session,
        token: str,
        *,
        key_id: str | None = None,
        account: AccountId | None = None,
        salt: bytes | None = None,
    ) -> OpenedSession:
        return self.sealer.open(
            key_id or session.access_key_id,
            token,
            account=account or session.account,
            account_salt=salt or self.salt,
            now=self.clock.now(),
        )


@pytest.fixture
def seals(sealer: SessionSealer, clock: SteppedClock, salt: bytes) -> Seals:
    return Seals(sealer, clock, salt)


def test_a_token_opens_to_the_session_and_the_secret(
    seals: Seals, session: Session
) -> None:
    token, secret = seals.seal(session)
    opened = seals.open(session, token)
    assert opened.session == session
    assert opened.secret.reveal() == secret
    assert len(secret) == 40
    assert opened.key_number == 1


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, 2.3, by hand."""
    out = block = b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([counter]), "sha256")
        out += block
    return out[:length]


def test_the_construction_is_the_one_that_is_written_down(
    seals: Seals, session: Session, keyring: Keyring, salt: bytes, clock: SteppedClock
) -> None:
    """An independent opening, from the standard library's HMAC and the design."""
    token, secret = seals.seal(session)
    raw = base64.b64decode(token)
    version, number, token_salt, sealed = raw[:1], raw[1:5], raw[5:29], raw[29:]
    assert version == b"\x02"
    key = keyring.find_opening_key(
        KeyKind.SESSION, int.from_bytes(number, "big"), clock.now()
    )
    assert key is not None
    key_id = session.access_key_id.encode()
    extracted = hmac.digest(salt, key, hashlib.sha256)
    account_info = b"broker/1/session/account" + session.account.encode()
    account_key = hkdf_expand(extracted, account_info, 32)
    token_info = b"broker/1/session/token" + key_id + token_salt
    derived = hkdf_expand(account_key, token_info, 74)
    content = AESGCM(derived[:32]).decrypt(
        derived[32:44], sealed, version + number + token_salt + key_id
    )
    assert base64.b64encode(derived[44:]).decode() == secret
    assert (
        decode_session(
            content, access_key_id=session.access_key_id, account=session.account
        )
        == session
    )


def test_no_two_tokens_of_a_session_are_alike(seals: Seals, session: Session) -> None:
    (text, one_secret), (two, two_secret) = seals.seal(session), seals.seal(session)
    assert text != two
    assert one_secret != two_secret


def test_any_changed_byte_breaks_the_seal(seals: Seals, session: Session) -> None:
    raw = bytearray(base64.b64decode(seals.seal(session)[0]))
    for place in range(len(raw)):
        raw[place] ^= 1
        with pytest.raises(InvalidClientTokenId):
            seals.open(session, base64.b64encode(raw).decode())
        raw[place] ^= 1


def test_a_token_belongs_to_its_access_key_id(seals: Seals, session: Session) -> None:
    token, _ = seals.seal(session)
    with pytest.raises(InvalidClientTokenId):
        seals.open(session, token, key_id=OTHER_KEY_ID)


@pytest.mark.parametrize("key_id", ["", "ключ", "\ud800", "A" * 5000])
def test_a_strange_access_key_id_is_refused(
    seals: Seals, session: Session, key_id: str
) -> None:
    token, _ = seals.seal(session)
    with pytest.raises(InvalidClientTokenId):
        seals.sealer.open(
            key_id,
            token,
            account=session.account,
            account_salt=seals.salt,
            now=seals.clock.now(),
        )


def test_a_token_belongs_to_its_account(seals: Seals, session: Session) -> None:
    token, _ = seals.seal(session)
    with pytest.raises(InvalidClientTokenId):
        seals.open(session, token, account=AccountId("123456789013"))


def test_a_new_salt_ends_all_sessions_of_an_account(
    seals: Seals, session: Session
) -> None:
    token, _ = seals.seal(session)
    with pytest.raises(InvalidClientTokenId):
        seals.open(session, token, salt=bytes(32))


def test_the_salt_takes_part_in_the_secret_too(seals: Seals, session: Session) -> None:
    """Somebody with the keyring alone can neither open nor sign."""
    token, _ = seals.seal(session)
    seals.salt = bytes(32)
    other, _ = seals.seal(session)
    keys, account = seals.sealer._account_keys, session.account
    derived = {keys.get(account, key) for key in keys.keys(account)}
    assert len(derived) == len(keys.keys(account)) == 2
    assert token != other


def test_every_failure_looks_the_same_on_the_wire(
    seals: Seals, session: Session
) -> None:
    token, _ = seals.seal(session)
    raw = base64.b64decode(token)
    bad = [
        "",
        "x",
        "====",
        "A" * 5000,
        "ключ",
        "\ud800",
        token + "\n",
        " " + token,
        token[:-4],
        base64.b64encode(b"\x01" + raw[1:]).decode(),
        base64.b64encode(raw[:1] + b"\0\0\0\x99" + raw[5:]).decode(),
        base64.b64encode(raw[:45]).decode(),
        base64.b64encode(raw[:29]).decode(),
        base64.urlsafe_b64encode(b"\x01" + b"\xfb\xff" * 40).decode(),
        token.rstrip("=") if token.endswith("=") else token + "=",
    ]
    messages = set()
    for text in bad:
        with pytest.raises(InvalidClientTokenId) as caught:
            seals.open(session, text)
        messages.add(caught.value.message)
    assert messages == {"The security token included in the request is invalid."}


def test_only_canonical_base64_is_a_token(seals: Seals, session: Session) -> None:
    """Bits that decoding ignores would give one token many texts."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for extra in range(3):
        longer = structs.replace(session, name="app-session" + "x" * extra)
        token, _ = seals.seal(longer)
        if not token.endswith("="):
            continue
        body = token.rstrip("=")
        other = alphabet[alphabet.index(body[-1]) + 1]
        twin = body[:-1] + other + token[len(body) :]
        assert base64.b64decode(twin) == base64.b64decode(token)
        with pytest.raises(InvalidClientTokenId) as caught:
            seals.open(session, twin)
        assert "canonical" in caught.value.detail


def test_a_storage_key_never_opens_a_token(seals: Seals, session: Session) -> None:
    token, _ = seals.seal(session)
    raw = base64.b64decode(token)
    forged = base64.b64encode(raw[:1] + b"\0\0\0\x02" + raw[5:]).decode()
    with pytest.raises(InvalidClientTokenId) as caught:
        seals.open(session, forged)
    assert "key 2 is not in use" in caught.value.detail


def test_a_revoked_key_opens_nothing_at_once(
    seals: Seals, session: Session, keyring: Keyring, clock: SteppedClock
) -> None:
    token, _ = seals.seal(session)
    assert seals.open(session, token)
    revoke_key(keyring, clock, 1)
    with pytest.raises(InvalidClientTokenId):
        seals.open(session, token)
    with pytest.raises(InvalidClientTokenId):
        seals.sealer.require_key(1, clock.now())


def test_old_tokens_open_after_a_rotation_and_new_ones_use_the_new_key(
    seals: Seals, session: Session, keyring: Keyring, clock: SteppedClock
) -> None:
    old, _ = seals.seal(session)
    added = rotate_keys(keyring, clock, KeyKind.SESSION)
    clock.move(6)
    new, _ = seals.seal(session)
    assert seals.open(session, old).key_number == 1
    assert seals.open(session, new).key_number == added.number


def test_what_a_key_sealed_that_is_not_known_here_yet_is_not_called_invalid(
    seals: Seals, session: Session
) -> None:
    raw = base64.b64decode(seals.seal(session)[0])
    token = base64.b64encode(raw[:1] + (3).to_bytes(4, "big") + raw[5:]).decode()
    with pytest.raises(ServiceUnavailable):
        seals.open(session, token)


def test_a_token_longer_than_clients_carry_is_not_made(
    seals: Seals, session: Session
) -> None:
    noise = {
        hashlib.sha256(bytes([n])).hexdigest(): hashlib.sha512(bytes([n])).hexdigest()
        for n in range(50)
    }
    with pytest.raises(
        PackedPolicyTooLarge,
        match=r"^Session token size of \d{4} bytes exceeds the maximum allowed size of 4096 bytes\.$",
    ):
        seals.seal(structs.replace(session, tags=noise))


def test_the_longest_token_has_4096_characters(seals: Seals, session: Session) -> None:
    def noise(count: int) -> Session:
        text = "".join(hashlib.sha256(b"%d" % n).hexdigest() for n in range(count))
        return structs.replace(session, identity_context={"i:sub": (text,)})

    longest = ""
    for count in range(200):
        try:
            longest, _ = seals.seal(noise(count))
        except PackedPolicyTooLarge:
            break
        assert len(longest) <= 4096
    assert len(longest) > 4000
    assert seals.open(session, longest)


def test_neither_token_nor_secret_shows_in_a_repr(
    seals: Seals, session: Session
) -> None:
    token, secret = seals.seal(session)
    text = repr(seals.open(session, token))
    assert secret not in text
    assert token not in text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A" * 4100, "longer than any token"),
        (base64.b64encode(b"\x01" + bytes(44)).decode(), "too short"),
        (base64.b64encode(b"\x03" + bytes(80)).decode(), "another version"),
    ],
)
def test_the_operator_reads_what_was_wrong(
    seals: Seals, session: Session, text: str, why: str
) -> None:
    with pytest.raises(InvalidClientTokenId) as caught:
        seals.open(session, text)
    assert why in caught.value.detail


def test_a_newer_versions_contents_are_refused(
    seals: Seals, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.sessions.seal.encode_session", lambda *_: b"\x09[]")
    token, _ = seals.seal(session)
    with pytest.raises(InvalidClientTokenId) as caught:
        seals.open(session, token)
    assert "unknown form" in caught.value.detail
