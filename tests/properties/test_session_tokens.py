"""Whatever a session holds, its token gives it back; any other text gives nothing."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given
from hypothesis import strategies as st

from broker.errors import InvalidClientTokenId, PackedPolicyTooLarge
from broker.model.account import AccountId, format_access_key_id
from broker.model.lineage import Ancestor, FoldedAncestors, Lineage, Origin
from broker.model.session import Session, SessionKind, SessionPolicies
from broker.sessions.contents import decode_session, encode_session
from broker.sessions.seal import SessionSealer
from tests.support.clocks import SteppedClock
from tests.support.iam import make_keyring

NOW = datetime(2026, 9, 11, 12, tzinfo=UTC)
SALT = bytes(32)
KEY_ID = format_access_key_id("ASIA", AccountId("123456789012"), 7)


with TemporaryDirectory() as folder:
    SEALER = SessionSealer(make_keyring(Path(folder) / "keys", SteppedClock(NOW)))

texts = st.text(st.characters(), max_size=20)
arns = st.text(st.characters(exclude_characters=" "), max_size=20)
"""An ARN has no space; in a token one separates it from the policy's ID."""

names = st.text(min_size=1, max_size=20)
mappings = st.dictionaries(texts, texts, max_size=5)
accounts = st.just(AccountId("123456789012"))
lineages = st.builds(
    Lineage,
    origin=st.builds(
        Origin,
        account=st.none() | accounts,
        access_key_id=texts,
        principal_id=texts,
        subject=texts,
        began_ms=st.integers(0, 2**53),
        mfa_shown=st.booleans(),
        named_ms=st.integers(0, 2**53),
    ),
    ancestors=st.lists(
        st.builds(
            Ancestor,
            account=accounts,
            mint_id=texts,
            access_key_id=texts,
            principal_id=texts,
            issued_at_ms=st.integers(0, 2**53),
        ),
        max_size=3,
    ).map(tuple),
    folded=st.lists(
        st.builds(
            FoldedAncestors,
            account=accounts,
            principal_id=texts,
            first_ms=st.integers(0, 2**53),
        ),
        max_size=3,
    ).map(tuple),
    folded_until_ms=st.integers(0, 2**53),
)
sessions = st.builds(
    Session,
    access_key_id=st.integers(0, 2**39 - 1).map(
        lambda bits: format_access_key_id("ASIA", AccountId("123456789012"), bits)
    ),
    account=st.just(AccountId("123456789012")),
    kind=st.sampled_from(SessionKind),
    principal_id=texts,
    name=texts,
    parent_key_id=texts,
    issued_at_ms=st.integers(0, 2**53),
    expires_at=st.integers(0, 2**53),
    policies=st.lists(
        st.builds(
            SessionPolicies, st.none() | texts, st.lists(arns, max_size=3).map(tuple)
        ),
        max_size=3,
    ).map(tuple),
    tags=mappings,
    transitive_keys=st.frozensets(texts, max_size=5),
    source_identity=st.none() | names,
    provider_arn=st.none() | names,
    provider_id=texts,
    identity_context=st.dictionaries(
        texts, st.lists(texts, max_size=3).map(tuple), max_size=5
    ),
    mfa_at=st.none() | st.integers(1, 2**53),
    chain_depth=st.integers(0, 100),
    mint_id=names,
    lineage=lineages,
)


def open_token(session: Session, token: str) -> Session:
    return SEALER.open(
        session.access_key_id,
        token,
        account=session.account,
        account_salt=SALT,
        now=NOW,
    ).session


@given(sessions)
def test_a_token_gives_its_session_back(session: Session) -> None:
    try:
        token, secret = SEALER.seal(session, account_salt=SALT, now=NOW)
    except PackedPolicyTooLarge:
        return
    assert open_token(session, token.reveal()) == session
    assert len(token.reveal()) <= 4096
    assert len(base64.b64decode(secret.reveal())) == 30


@given(sessions)
def test_contents_read_back(session: Session) -> None:
    read = decode_session(
        encode_session(session),
        access_key_id=session.access_key_id,
        account=session.account,
    )
    assert read == session


@given(st.text() | st.binary(max_size=200).map(lambda b: base64.b64encode(b).decode()))
@example(base64.b64encode(b"\x01\0\0\0\x01" + bytes(24 + 17)).decode())
def test_no_other_text_is_a_token(text: str) -> None:
    try:
        SEALER.open(
            KEY_ID, text, account=AccountId("123456789012"), account_salt=SALT, now=NOW
        )
    except InvalidClientTokenId:
        return
    raise AssertionError("a text that nobody sealed was opened")
