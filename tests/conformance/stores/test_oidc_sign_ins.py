"""Sign-ins that a provider is asked about: claimed by one worker, with their doubts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from broker.model.account import AccountId
from broker.stores.database import Database
from broker.stores.directory.accounts import list_accounts
from broker.stores.directory.sql import SqlDirectory
from broker.stores.oidc_sign_ins import (
    BATCH_MAX,
    CLAIM,
    OidcSignIn,
    OidcSignIns,
    WatchedProvider,
)
from broker.stores.urls import DatabaseLocation

ACCOUNT = AccountId("000000000001")
AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
EVERY = timedelta(seconds=30)
PROVIDER = "OIDCP1"
LATER = AT + EVERY


def sign_in(name: str, subject: str = "ann", **changed: Any) -> OidcSignIn:
    usual = OidcSignIn(
        sign_in_id=name,
        account=ACCOUNT,
        provider="issuer.example",
        provider_id=PROVIDER,
        client_id="broker",
        subject=subject,
        access_key_id=f"ASIA{name}",
        sealed=b"sealed",
        began_at=AT,
        until=AT + timedelta(hours=8),
    )
    return replace(usual, **changed)


@pytest.fixture
async def database(
    location: DatabaseLocation, directory: SqlDirectory
) -> AsyncIterator[Database]:
    # The directory has made the tables.
    assert await list_accounts(directory) == ()
    opened = Database(location)
    yield opened
    await opened.close()


@pytest.fixture
def sign_ins(database: Database) -> OidcSignIns:
    return OidcSignIns(database)


async def keep(sign_ins: OidcSignIns, *kept: OidcSignIn) -> None:
    for each in kept:
        await sign_ins.insert(replace(each, access_key_id=""))
        await sign_ins.attach(each, AT + EVERY)


async def claimed(sign_ins: OidcSignIns, at: datetime) -> list[str]:
    return sorted(each.sign_in_id for each in await sign_ins.claim(PROVIDER, at))


async def test_a_sign_in_is_due_once_it_has_opened_something(
    sign_ins: OidcSignIns,
) -> None:
    await sign_ins.insert(sign_in("a", access_key_id="", until=AT + CLAIM * 2))
    assert await sign_ins.list_due(LATER) == ()
    await sign_ins.attach(sign_in("a"), LATER)
    assert await sign_ins.find_next_due(AT) == LATER
    assert await sign_ins.list_due(AT) == ()
    assert await sign_ins.list_due(LATER) == (
        WatchedProvider(
            account=ACCOUNT, provider="issuer.example", provider_id=PROVIDER
        ),
    )
    assert await sign_ins.find_by_session("ASIAa") == sign_in("a")


async def test_what_opens_nothing_is_due_when_its_time_is_over(
    sign_ins: OidcSignIns,
) -> None:
    until = AT + timedelta(minutes=30)
    await sign_ins.insert(sign_in("a", access_key_id="", until=until))
    assert await claimed(sign_ins, until - CLAIM) == []
    assert await claimed(sign_ins, until) == ["a"]


async def test_all_of_a_person_are_claimed_with_the_one_that_is_due(
    sign_ins: OidcSignIns,
) -> None:
    await keep(sign_ins, sign_in("a"), sign_in("b"), sign_in("c", "bob"))
    for later in ("b", "c"):
        await sign_ins.attach(sign_in(later, "ann"), LATER + EVERY)
    await keep(sign_ins, sign_in("bare", sealed=b""))
    await sign_ins.insert(sign_in("coming", access_key_id=""))
    assert await claimed(sign_ins, LATER) == ["a", "b"]
    assert await claimed(sign_ins, LATER) == []


async def test_no_two_workers_claim_the_same(
    database: Database, sign_ins: OidcSignIns
) -> None:
    names = {f"s{number:03d}" for number in range(60)}
    await keep(sign_ins, *(sign_in(name, name) for name in names))
    other = OidcSignIns(database)
    batches = await asyncio.gather(
        *(each.claim(PROVIDER, LATER) for each in (sign_ins, other) * 5)
    )
    taken = [each.sign_in_id for batch in batches for each in batch]
    assert len(taken) == len(set(taken))
    assert all(len(batch) <= BATCH_MAX for batch in batches)


async def test_a_claim_that_was_never_told_of_casts_a_doubt(
    sign_ins: OidcSignIns,
) -> None:
    await keep(sign_ins, sign_in("a"))
    (first,) = await sign_ins.claim(PROVIDER, LATER)
    assert not first.is_doubtful
    assert await claimed(sign_ins, LATER + CLAIM - EVERY / 30) == []
    (second,) = await sign_ins.claim(PROVIDER, LATER + CLAIM)
    assert second.is_doubtful
    # The first worker comes too late with what it was told.
    assert not await sign_ins.keep(first, b"old", LATER + EVERY)
    await sign_ins.forget([first])
    assert await sign_ins.keep(second, b"new", LATER + CLAIM)
    (third,) = await sign_ins.claim(PROVIDER, LATER + CLAIM)
    assert not third.is_doubtful
    assert third.sealed == b"new"
    await sign_ins.forget([third])
    assert await sign_ins.find("a") is None


async def test_a_sign_in_without_its_token_is_counted_until_it_is_over(
    sign_ins: OidcSignIns,
) -> None:
    await keep(sign_ins, sign_in("a"))
    (old,) = await sign_ins.claim(PROVIDER, LATER)
    (taken,) = await sign_ins.claim(PROVIDER, LATER + CLAIM)
    assert not await sign_ins.keep_unasked(old)
    assert await sign_ins.keep_unasked(taken)
    state = await sign_ins.state_of(PROVIDER, LATER)
    assert (state.asked, state.unasked) == (0, 1)
    over = sign_in("a").until
    assert await claimed(sign_ins, over - EVERY) == []
    (last,) = await sign_ins.claim(PROVIDER, over)
    assert (last.sealed, last.is_doubtful) == (b"", False)


@pytest.mark.parametrize("was_lost", [True, False])
async def test_an_answer_that_was_lost_casts_a_doubt(
    sign_ins: OidcSignIns, was_lost: bool
) -> None:
    await keep(sign_ins, sign_in("a"))
    (first,) = await sign_ins.claim(PROVIDER, LATER)
    assert await sign_ins.restore(first, LATER, was_lost=was_lost)
    (second,) = await sign_ins.claim(PROVIDER, LATER)
    assert second.is_doubtful == was_lost
    # A doubt stays until there is an answer with a token.
    assert await sign_ins.restore(second, LATER, was_lost=False)
    (third,) = await sign_ins.claim(PROVIDER, LATER)
    assert third.is_doubtful == was_lost


async def test_who_signs_out_while_claimed_is_due_at_once(
    sign_ins: OidcSignIns,
) -> None:
    await keep(sign_ins, sign_in("a"))
    (claim,) = await sign_ins.claim(PROVIDER, LATER)
    await sign_ins.leave(LATER, sign_in_id="a")
    assert await sign_ins.keep(claim, b"new", LATER + EVERY)
    (left,) = await sign_ins.claim(PROVIDER, LATER)
    assert left.until == LATER
    assert await sign_ins.end(left, LATER, LATER + EVERY)
    assert await claimed(sign_ins, LATER) == []
    assert await claimed(sign_ins, LATER + EVERY) == ["a"]


async def test_who_signs_out_is_known_by_the_session_too(
    sign_ins: OidcSignIns,
) -> None:
    await keep(sign_ins, sign_in("a"), sign_in("b", "bob"))
    await sign_ins.leave(AT, access_key_id="ASIAa")
    assert await claimed(sign_ins, AT) == ["a"]


async def test_roles_are_kept_beside_the_newest_token_only(
    sign_ins: OidcSignIns,
) -> None:
    await keep(sign_ins, sign_in("a"))
    (first,) = await sign_ins.claim(PROVIDER, LATER)
    await sign_ins.keep(first, b"new", LATER)
    (second,) = await sign_ins.claim(PROVIDER, LATER)
    await sign_ins.keep_roles(first, b"older token, other roles")
    await sign_ins.keep_roles(second, b"new, other roles")
    kept = await sign_ins.find("a")
    assert kept is not None
    assert kept.sealed == b"new, other roles"


async def test_one_worker_asks_a_provider(
    database: Database, sign_ins: OidcSignIns
) -> None:
    other = OidcSignIns(database)
    until = AT + CLAIM
    leases = await asyncio.gather(
        *(each.lease(PROVIDER, AT, until) for each in (sign_ins, other) * 4)
    )
    assert leases.count(True) == 1
    assert await other.lease("OIDCP2", AT, until)
    assert await other.lease(PROVIDER, until, until + CLAIM)
    await other.extend_lease(PROVIDER, AT)
    assert await sign_ins.lease(PROVIDER, AT, until)


async def test_a_provider_that_wants_a_pause_has_it(sign_ins: OidcSignIns) -> None:
    await keep(sign_ins, sign_in("a"), sign_in("b", provider_id="OIDCP2"))
    await sign_ins.postpone(PROVIDER, LATER + EVERY)
    assert [due.provider_id for due in await sign_ins.list_due(LATER)] == ["OIDCP2"]
    assert await claimed(sign_ins, LATER) == []
    assert await claimed(sign_ins, LATER + EVERY) == ["a"]


async def test_it_is_known_since_when_a_provider_gives_no_answer(
    sign_ins: OidcSignIns,
) -> None:
    await keep(sign_ins, sign_in("a"), sign_in("bare", "bob", sealed=b""))
    await sign_ins.lease(PROVIDER, AT, AT)
    for minutes in (1, 2):
        await sign_ins.note_state(PROVIDER, AT + timedelta(minutes=minutes), "401")
    state = await sign_ins.state_of(PROVIDER, AT)
    assert (state.asked, state.unasked) == (1, 1)
    assert (state.failing_since, state.problem) == (AT + timedelta(minutes=1), "401")
    assert list(await sign_ins.list_failing()) == [PROVIDER]
    await sign_ins.note_state(PROVIDER, AT + EVERY)
    state = await sign_ins.state_of(PROVIDER, AT + timedelta(hours=9))
    assert (state.asked, state.unasked, state.failing_since) == (0, 0, None)


async def test_whether_a_person_has_others(sign_ins: OidcSignIns) -> None:
    await keep(sign_ins, sign_in("a"), sign_in("b"), sign_in("bare", sealed=b""))
    others = partial(sign_ins.has_others, PROVIDER, "ann", AT)
    assert await others(besides=["a"])
    assert not await others(besides=["a", "b"])
    assert not await sign_ins.has_others("OIDCP2", "ann", AT, besides=[])
    await sign_ins.leave(AT, sign_in_id="b")
    assert not await others(besides=["a"])


async def test_what_a_person_has_may_be_doubted(sign_ins: OidcSignIns) -> None:
    await keep(sign_ins, sign_in("a"), sign_in("b", "bob"))
    await sign_ins.doubt(PROVIDER, "ann")
    results = await sign_ins.claim(PROVIDER, LATER)
    assert {each.subject: each.is_doubtful for each in results} == {
        "ann": True,
        "bob": False,
    }
