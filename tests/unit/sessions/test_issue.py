import hashlib
import json
import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import InvalidIdentityToken, PackedPolicyTooLarge, ServiceUnavailable
from broker.model.account import find_account_of_key_id
from broker.model.audit import AuditRecord
from broker.model.page import PageRequest
from broker.model.session import SessionKind, SessionPolicies
from broker.sessions.issue import SessionIssuer, replay_key
from broker.stores.audit_rows import ReplayMark
from broker.stores.errors import ReplayedError, StoreUnavailableError
from broker.stores.ledger.port import Ledger
from tests.support.iam import read_keys, revoke_key
from tests.support.mints import mint_order
from tests.unit.sessions.conftest import ACCOUNT, START, World

ISSUED_MS = int(START.timestamp() * 1000)


def mark_of(world: World, mint_id: str) -> ReplayMark:
    return ReplayMark(
        replay_key(("SAMLSPX", "issuer", "_a1", "AROAX")),
        mint_id,
        world.clock.now() + timedelta(minutes=10),
    )


async def test_a_mint_gives_credentials_that_end_on_a_whole_second(
    world: World,
) -> None:
    minted = await world.mint(duration_seconds=900)
    credentials = minted.credentials
    assert credentials.expiration == START.replace(microsecond=0) + timedelta(
        seconds=900
    )
    assert find_account_of_key_id(credentials.access_key_id) == ACCOUNT
    assert credentials.access_key_id.startswith("ASIA")
    assert len(credentials.secret_access_key.reveal()) == 40
    assert minted.session.issued_at_ms == ISSUED_MS
    token = credentials.session_token.reveal()
    assert minted.packed_policy_size == math.ceil(100 * len(token) / 4096)


async def test_key_ids_are_drawn_at_random(world: World) -> None:
    ids = {(await world.mint()).credentials.access_key_id for _ in range(20)}
    assert len(ids) == 20


async def test_everything_that_was_ordered_is_in_the_session(world: World) -> None:
    order = world.order(
        kind=SessionKind.SAML,
        parent_key_id="AKIARZPUZDIKAAAACAQD",
        policies=(SessionPolicies("{}", ("arn:aws:iam::123456789012:policy/p",)),),
        tags={"Team": "blue"},
        transitive_keys=frozenset({"Team"}),
        source_identity="alice",
        provider_arn="arn:aws:iam::123456789012:saml-provider/p",
        provider_id="SAMLSPABCDEFGHIJKLMNOP",
        identity_context={"saml:sub": ("x",)},
        mfa_at=1_789_000_000,
        chain_depth=1,
    )
    minted = await world.issuer.issue(order, world.record())
    assert minted.session is order.session
    assert (await world.resolve(minted)).session == minted.session


async def test_a_continued_session_keeps_its_first_issue_time(world: World) -> None:
    minted = await world.mint(first_issued_at_ms=ISSUED_MS - 5000)
    assert minted.session.issued_at_ms == ISSUED_MS - 5000


async def test_the_durable_record_describes_the_session_and_no_secret(
    world: World,
) -> None:
    minted = await world.mint(tags={"Team": "blue"}, source_identity="alice")
    record = await world.stores.ledger.find("event-1")
    assert record is not None
    assert record.session is not None
    assert record.session["access_key_id"] == minted.credentials.access_key_id
    assert record.session["expires_at"] == minted.session.expires_at
    assert record.session["tags"] == {"Team": "blue"}
    assert record.session["source_identity"] == "alice"
    text = json.dumps(record.session)
    assert minted.credentials.session_token.reveal() not in text
    assert minted.credentials.secret_access_key.reveal() not in text


async def test_a_mint_is_listed(world: World) -> None:
    minted = await world.mint()
    page = await world.stores.cache.list_sessions(ACCOUNT, PageRequest())
    listed = [record.access_key_id for record in page.items]
    assert listed == [minted.credentials.access_key_id]


async def test_a_proof_is_spent_once(world: World) -> None:
    await world.issuer.issue(world.order(), world.record(), mark_of(world, "event-1"))
    with pytest.raises(InvalidIdentityToken, match="has been used before"):
        await world.issuer.issue(
            world.order(), world.record(), mark_of(world, "event-2")
        )
    assert await world.stores.ledger.find("event-2") is None


async def test_what_does_not_fit_spends_nothing(world: World) -> None:
    noise = "".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(120))
    too_big = world.order(policies=(SessionPolicies(noise, ()),))
    with pytest.raises(PackedPolicyTooLarge):
        await world.issuer.issue(too_big, world.record(), mark_of(world, "event-1"))
    assert await world.stores.ledger.find("event-1") is None
    await world.issuer.issue(world.order(), world.record(), mark_of(world, "event-2"))


async def test_without_a_sealing_key_nothing_is_minted(world: World) -> None:
    read_keys(world.keyring, world.clock, world.keyring.keys[1:])
    with pytest.raises(ServiceUnavailable):
        await world.mint()
    assert await world.stores.ledger.find("event-1") is None


async def test_mints_go_on_with_a_new_key_after_a_revocation(world: World) -> None:
    revoke_key(world.keyring, world.clock, 1)
    assert await world.resolve(await world.mint())


class FailingLedger:
    """A ledger that answers every mint with one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def mint(self, _record: AuditRecord, _mark: ReplayMark | None) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (StoreUnavailableError("away"), ServiceUnavailable),
        (ReplayedError("another"), InvalidIdentityToken),
    ],
)
async def test_without_the_durable_write_there_is_no_session(
    world: World, error: Exception, answer: type[Exception]
) -> None:
    ledger: Ledger = FailingLedger(error)  # type: ignore[assignment]  # mint only
    issuer = SessionIssuer(world.sealer, ledger, world.index)
    record = world.record()
    with pytest.raises(answer):
        await issuer.issue(world.order(), record)
    page = await world.stores.cache.list_sessions(ACCOUNT, PageRequest())
    assert (page.items, record.session) == ((), None)


def test_an_order_shows_no_salt() -> None:
    assert "account_salt" not in repr(
        mint_order(
            account=ACCOUNT,
            account_salt=b"salt",
            kind=SessionKind.ASSUME_ROLE,
            principal_id="",
            principal_arn="",
            name="",
            now=START,
            duration_seconds=1,
        )
    )


texts = st.lists(st.text(max_size=4), max_size=4).map(tuple)


@given(texts, texts)
def test_replay_keys_agree_only_for_the_same_parts(
    one: tuple[str, ...], two: tuple[str, ...]
) -> None:
    assert (replay_key(one) == replay_key(two)) == (one == two)


def test_replay_keys_cannot_be_mixed_up_by_shifting_a_border() -> None:
    parts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ()]
    assert len({replay_key(p) for p in parts}) == len(parts)
    assert all(len(replay_key(p)) == 32 for p in parts)
