"""What ends with a session: everything that came from it."""

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from msgspec.structs import replace

from broker.errors import ExpiredToken
from broker.model.account import Account, AccountId, format_access_key_id
from broker.model.federated import FederatedIdentity
from broker.model.lineage import (
    Ancestor,
    FoldedAncestors,
    Lineage,
    Origin,
    Trace,
    admitted_target,
    lineage_row,
    subject_digest,
)
from broker.model.machines import Instance
from broker.model.principal import Principal, PrincipalType
from broker.model.revocation import Revocations
from broker.model.session import Caller, Session, SessionKind
from broker.sessions import contents, lineage, seal
from broker.sessions.issue import MintResult
from broker.sessions.lineage import (
    KEPT,
    LineageSnapshot,
    descend,
    descend_as,
    ending_with,
    find_proof_end,
    has_shown_mfa,
    lineage_from,
    lineage_of_admission,
    lineage_of_machine,
    lineage_of_old_token,
    lineage_of_proof,
    lineage_of_token,
    list_origins,
    person_target,
    provider_session_target,
    source_identity_target,
    subject_target,
    trace,
    trace_token,
)
from broker.sessions.record import describe_session
from broker.sessions.revoke import revoke_issued_before, revoke_key_id, revoke_session
from broker.stores.directory import kinds
from broker.stores.directory.accounts import insert_account
from tests.support.deleted_meanwhile import delete_account
from tests.unit.sessions.conftest import ACCOUNT, KEY, ROLE, SALT, USER, World

OTHER = AccountId("210987654321")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROVIDER = f"arn:aws:iam::{OTHER}:saml-provider/Corp"
OTHER_ROLE = replace(ROLE, account=OTHER, role_id="AROAOTHEROTHEROTHEROT")
IN_OTHER = {"account": OTHER, "principal_id": OTHER_ROLE.role_id}


FIRST = Session(
    access_key_id="ASIARZPUZDIKAAAACAQE",
    account=ACCOUNT,
    kind=SessionKind.SAML,
    principal_id="AROAABCDEFGHIJKLMNOPQ",
    name="alice",
    issued_at_ms=2_000,
    expires_at=10,
    mint_id="m",
)
FIRST_ORIGINS: dict[str, tuple[object, ...]] = {
    "account": (None, ACCOUNT),
    "access_key_id": ("", KEY.access_key_id),
    "principal_id": ("", USER.user_id),
    "subject": ("", "digest"),
    "targets": ((), ("person/SCMU1", "source-identity/alice")),
    "began_ms": (0, 1_000, 2_000),
    "named_ms": (0, 1_500),
}
FIRST_SESSIONS: dict[str, tuple[object, ...]] = {
    "mint_id": ("m", ""),
    "principal_id": (FIRST.principal_id, ACCOUNT),
    "source_identity": (None, "alice"),
    "provider_arn": (None, f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"),
    "provider_id": ("", "SAMLSP1"),
}


def every(values: Mapping[str, tuple[object, ...]]) -> Iterator[dict[str, Any]]:
    """Each combination."""
    for combination in product(*values.values()):
        yield dict(zip(values, combination, strict=True))


def compared(trace: Trace) -> dict[str, Any]:
    """What a trace says; of a target's marks the earliest decides."""
    marks: dict[str, int] = {}
    for target, at_ms in trace.marks:
        marks[target] = min(marks.get(target, at_ms), at_ms)
    named = {name: getattr(trace, name) for name in trace.__struct_fields__}
    return named | {"marks": marks}


def test_the_fast_way_of_a_first_session_says_what_the_general_one_says() -> None:
    for of_origin in every(FIRST_ORIGINS):
        origin = Origin(**of_origin)
        for of_session in every(FIRST_SESSIONS):
            session = replace(FIRST, lineage=Lineage(origin=origin), **of_session)
            (fast,) = trace(session)
            (general,) = lineage._trace_of_any(session, origin)
            assert compared(fast) == compared(general), (of_origin, of_session)


@pytest.fixture
async def two(world: World) -> World:
    """A world with a second account."""
    async with world.stores.directory.change(OTHER) as change:
        await insert_account(
            change,
            Account(
                account_id=OTHER,
                alias=None,
                session_salt=SALT,
                created_at=world.clock.now(),
            ),
        )
        await change.insert(kinds.ROLE, OTHER_ROLE)
    return world


async def child_of(world: World, parent: MintResult, **order: Any) -> MintResult:
    return await world.mint(lineage=descend(parent.session), **order)


async def revoke(world: World, minted: MintResult) -> None:
    """As the command line does: by what was recorded of it."""
    record = describe_session(minted.session, "arn")
    async with world.stores.directory.change(record.account) as change:
        await revoke_session(change, record, now=world.clock.now())


async def is_live(world: World, minted: MintResult) -> bool:
    try:
        await world.resolve(minted)
    except ExpiredToken:
        return False
    return True


def by_key() -> Lineage:
    owner = Principal.user(ACCOUNT, user_id=USER.user_id, path="/", name="alice")
    return lineage_from(Caller(principal=owner, access_key_id=KEY.access_key_id))


def by_provider(
    subject: str = "alice",
    issuer: str = "https://idp/",
    *,
    now: datetime = NOW,
    **more: Any,
) -> Lineage:
    return lineage_of_proof(
        FederatedIdentity(
            principal=Principal.from_provider(
                PrincipalType.SAML, OTHER, provider=PROVIDER, subject=subject
            ),
            account=OTHER,
            provider_arn=PROVIDER,
            provider_id="SAMLSPX",
            issuer=issuer,
            subject=subject,
            **more,
        ),
        now,
    )


async def test_what_came_from_a_revoked_session_ends_and_nothing_else(
    two: World,
) -> None:
    a = await two.mint(lineage=by_key())
    sibling = await two.mint(lineage=by_key())
    b = await child_of(two, a, **IN_OTHER)
    c = await child_of(two, b)
    family = [a, b, c]
    for minted in (*family, sibling):
        assert await is_live(two, minted)
    await revoke(two, b)
    assert [await is_live(two, result) for result in family] == [True, False, False]
    await revoke(two, a)
    assert not await is_live(two, a)
    assert await is_live(two, sibling)


async def test_an_expired_session_can_still_be_revoked(two: World) -> None:
    a = await two.mint(duration_seconds=900)
    b = await child_of(two, a, duration_seconds=3600)
    two.clock.move(1800)
    assert await is_live(two, b)
    await revoke(two, a)
    assert not await is_live(two, b)


async def chain(world: World, length: int) -> list[MintResult]:
    made = [await world.mint(lineage=by_key())]
    while len(made) < length:
        world.clock.move(1)
        made.append(await child_of(world, made[-1], duration_seconds=43_200))
    return made


@pytest.mark.parametrize("revoked", [0, 1, 5, 12, 29])
async def test_in_a_long_chain_every_session_ends_what_came_from_it(
    world: World, revoked: int
) -> None:
    made = await chain(world, 30)
    branch = await chain(world, 30)
    await revoke(world, made[revoked])
    lives = [await is_live(world, result) for result in made]
    assert lives == [number < revoked for number in range(30)]
    assert all([await is_live(world, result) for result in branch])


async def test_a_chain_that_never_ends_keeps_its_size(world: World) -> None:
    sizes, parent = [], await world.mint(lineage=by_key())
    for _ in range(60):
        world.clock.move(1)
        parent = await child_of(world, parent, duration_seconds=3600)
        sizes.append(len(parent.credentials.session_token.reveal()))
    assert len(parent.session.lineage.ancestors) == KEPT + 1
    assert max(sizes[KEPT + 2 :]) - min(sizes[KEPT + 2 :]) < 40
    assert max(sizes) < 1200


async def test_a_mark_on_a_role_reaches_what_came_from_its_folded_sessions(
    two: World,
) -> None:
    first = await two.mint(lineage=by_key())
    folded = await child_of(two, first, **IN_OTHER)
    last = folded
    for _ in range(KEPT + 3):
        two.clock.move(1)
        last = await child_of(two, last)
    assert [ancestors.principal_id for ancestors in last.session.lineage.folded] == [
        OTHER_ROLE.role_id,
        ROLE.role_id,
    ]
    async with two.stores.directory.change(OTHER) as change:
        await revoke_issued_before(
            change, account=OTHER, target=OTHER_ROLE.role_id, now=two.clock.now()
        )
    assert not await is_live(two, last)
    assert await is_live(two, first)


@pytest.mark.parametrize(
    ("account", "target", "order"),
    [
        (ACCOUNT, USER.user_id, {"lineage": by_key()}),
        (ACCOUNT, ACCOUNT, {"lineage": by_key()}),
        (OTHER, PROVIDER, {"lineage": by_provider(), "provider_arn": PROVIDER}),
        (OTHER, "SAMLSPX", {"lineage": by_provider(), "provider_id": "SAMLSPX"}),
        (
            OTHER,
            subject_target(subject_digest("https://idp/", "alice")),
            {"lineage": by_provider()},
        ),
        (OTHER, source_identity_target("ana"), {"source_identity": "ana", **IN_OTHER}),
    ],
)
async def test_a_mark_reaches_what_came_from_its_target_in_any_account(
    two: World, account: AccountId, target: str, order: Mapping[str, Any]
) -> None:
    first = await two.mint(**order)
    kept = {n: order[n] for n in order if n in {"source_identity", "provider_arn"}}
    kept |= {n: order[n] for n in order if n == "provider_id"}
    made = await child_of(two, await child_of(two, first, **kept), **kept)
    stranger = await two.mint(
        lineage=by_provider("bob"), source_identity="ben", **IN_OTHER
    )
    async with two.stores.directory.change(account) as change:
        await revoke_issued_before(
            change, account=account, target=target, now=two.clock.now()
        )
    assert not await is_live(two, made)
    assert await is_live(two, stranger)
    two.clock.move(0.01)
    assert await is_live(two, await child_of(two, await two.mint(**order), **kept))


SUBJECT = subject_target(subject_digest("https://idp/", "alice"))


@pytest.mark.parametrize(
    ("target", "more", "order"),
    [
        (SUBJECT, {}, {}),
        (person_target("SCMU1"), {"person": "SCMU1"}, {}),
        (
            provider_session_target("https://idp/", "s-1"),
            {"provider_session": "s-1"},
            {},
        ),
        (
            source_identity_target("ana"),
            {"source_identity": "ana"},
            {"source_identity": "ana"},
        ),
    ],
)
async def test_what_an_older_proof_opens_after_the_revocation_is_over(
    two: World, target: str, more: dict[str, str], order: dict[str, str]
) -> None:
    """By a worker that had not heard of it."""
    proved_at = two.clock.now()
    two.clock.move(5)
    async with two.stores.directory.change(OTHER) as change:
        await revoke_issued_before(
            change, account=OTHER, target=target, now=two.clock.now()
        )
    two.clock.move(1)
    for issued_at, lives in ((proved_at, False), (two.clock.now(), True)):
        lineage = by_provider(now=two.clock.now(), issued_at=issued_at, **more)
        made = await two.mint(**IN_OTHER, lineage=lineage, **order)
        derived = await child_of(two, made, **order)
        assert (await is_live(two, made), await is_live(two, derived)) == (lives, lives)


async def test_a_proof_may_be_older_than_what_it_opens(two: World) -> None:
    """An account made since, or a provider registered anew, is not left out."""
    issued_at = two.clock.now() - timedelta(days=1)
    async with two.stores.directory.change(OTHER) as change:
        await revoke_issued_before(
            change, account=OTHER, target=PROVIDER, now=two.clock.now()
        )
    two.clock.move(1)
    lineage = by_provider(now=two.clock.now(), issued_at=issued_at)
    made = await two.mint(**IN_OTHER, lineage=lineage, provider_arn=PROVIDER)
    assert await is_live(two, made)
    assert await is_live(two, await child_of(two, made))


async def test_no_proof_was_issued_later_than_it_came(two: World) -> None:
    """A provider's clock may be ahead, and its sessions are revoked all the same."""
    ahead = two.clock.now() + timedelta(seconds=30)
    lineage = by_provider(now=two.clock.now(), issued_at=ahead)
    made = await two.mint(**IN_OTHER, lineage=lineage)
    two.clock.move(10)
    async with two.stores.directory.change(OTHER) as change:
        await revoke_issued_before(
            change, account=OTHER, target=SUBJECT, now=two.clock.now()
        )
    assert not await is_live(two, made)


async def test_a_source_identity_counts_from_where_it_was_set(two: World) -> None:
    before = await two.mint()
    two.clock.move(1)
    async with two.stores.directory.change(ACCOUNT) as change:
        await revoke_issued_before(
            change,
            account=ACCOUNT,
            target=source_identity_target("ana"),
            now=two.clock.now(),
        )
    two.clock.move(1)
    named = await child_of(two, before, source_identity="ana")
    assert await is_live(two, await child_of(two, named, source_identity="ana"))


async def test_a_revoked_key_ends_the_roles_too(two: World) -> None:
    made = await child_of(two, await two.mint(lineage=by_key()), **IN_OTHER)
    async with two.stores.directory.change(ACCOUNT) as change:
        await revoke_issued_before(
            change, account=ACCOUNT, target=KEY.access_key_id, now=two.clock.now()
        )
    assert not await is_live(two, made)
    two.clock.move(0.01)
    assert await is_live(two, await two.mint(lineage=by_key()))


async def test_an_account_that_is_gone_counts_as_revoked(two: World) -> None:
    began = await two.mint(**IN_OTHER)
    made = await child_of(two, await child_of(two, began))
    two.clock.move(1)
    assert await is_live(two, made)
    async with two.stores.directory.change(OTHER) as change:
        await delete_account(change, OTHER)
    assert not await is_live(two, made)
    async with two.stores.directory.change(OTHER) as change:
        await insert_account(
            change,
            Account(
                account_id=OTHER,
                alias=None,
                session_salt=SALT,
                created_at=two.clock.now(),
            ),
        )
    assert not await is_live(two, made)


async def test_key_ids_that_collide_are_revoked_apart(world: World) -> None:
    """Key ids hold 39 random bits: nothing may follow from the id alone."""
    result, two = await world.mint(), await world.mint()
    clash = replace(two.session, access_key_id=result.session.access_key_id)
    token, _ = world.sealer.seal(clash, account_salt=SALT, now=world.clock.now())
    await revoke(world, result)
    assert not await is_live(world, result)
    assert await world.resolver.resolve(
        clash.access_key_id, token.reveal(), world.clock.now()
    )


def test_subjects_are_told_apart_by_issuer_and_subject() -> None:
    pairs = [("a", "bc"), ("ab", "c"), ("a", "b"), ("a", "b "), ("", "abc")]
    assert len({subject_digest(*pair) for pair in pairs}) == len(pairs)
    assert subject_digest("\ud800", "\ud800")


def test_a_factor_counts_for_anyone_who_the_lineage_goes_back_to(
    session: Session,
) -> None:
    view = replace(session, mfa_at=1, lineage=by_key())
    assert has_shown_mfa(view, USER.user_id) is True
    unshown = replace(session, lineage=by_key())
    assert has_shown_mfa(unshown, USER.user_id) is False
    for made, answer in ((view, True), (unshown, False)):
        after = replace(session, lineage=descend(made))
        assert has_shown_mfa(after, USER.user_id) is answer
    assert has_shown_mfa(view, "AIDASOMEBODYELSE") is None
    own = replace(session, kind=SessionKind.FEDERATION_TOKEN, principal_id=USER.user_id)
    assert has_shown_mfa(own, USER.user_id) is False
    task = replace(own, kind=SessionKind.ROOT_TASK)
    assert has_shown_mfa(task, USER.user_id) is None
    assert has_shown_mfa(session, session.principal_id) is None


def test_what_a_caller_makes_goes_back_to_its_session_or_to_its_key(
    session: Session,
) -> None:
    owner = Principal.user(ACCOUNT, user_id=USER.user_id, path="/", name="alice")
    by_session = Caller(principal=owner, session=session, access_key_id="ASIAX")
    assert lineage_from(by_session) == descend(session)
    key = KEY.access_key_id
    origin = Origin(account=ACCOUNT, access_key_id=key, principal_id=USER.user_id)
    assert by_key() == Lineage(origin=origin)
    role = Caller(principal=session_principal(), access_key_id=key)
    assert lineage_from(role).origin == replace(origin, principal_id="")


def session_principal() -> Principal:
    return Principal.from_provider(
        PrincipalType.SAML, ACCOUNT, provider=PROVIDER, subject="alice"
    )


def test_a_token_has_what_its_session_carries_beside_its_lineage(
    session: Session,
) -> None:
    owner = Principal.user(ACCOUNT, user_id=USER.user_id, path="/", name="alice")
    key = Caller(principal=owner, access_key_id=KEY.access_key_id)
    assert lineage_of_token(key) == by_key()

    def targets(**more: Any) -> tuple[str, ...]:
        made = replace(session, **more)
        caller = Caller(principal=owner, session=made, access_key_id="ASIAX")
        return lineage_of_token(caller).origin.targets

    named = {"provider_arn": None, "provider_id": "", "source_identity": None}
    assert targets(**named) == ()
    assert targets(**{**named, "provider_arn": PROVIDER}) == (PROVIDER,)
    assert targets(**{**named, "provider_id": "SAMLSP1"}) == ("SAMLSP1",)
    known = (source_identity_target("ana"),)
    assert targets(**{**named, "source_identity": "ana"}) == known


def test_a_proof_is_known_by_what_it_says_and_by_nothing_else() -> None:
    assert by_provider().origin.targets == ()
    assert (by_provider().origin.began_ms, by_provider().origin.named_ms) == (0, 0)
    for more, target in (
        ({"person": "SCMU1"}, person_target("SCMU1")),
        (
            {"provider_session": "s-1"},
            provider_session_target("https://idp/", "s-1"),
        ),
        ({"certificate": "certificate/a/p/1/d"}, "certificate/a/p/1/d"),
    ):
        assert by_provider(**more).origin.targets == (target,)
    at_ms = int(NOW.timestamp() * 1000)
    named = by_provider(issued_at=NOW, source_identity="ana").origin
    assert (named.began_ms, named.named_ms) == (at_ms, at_ms)
    assert by_provider(issued_at=NOW).origin.named_ms == 0


def test_several_providers_that_vouch_may_each_end_it(session: Session) -> None:
    first = replace(session, account=OTHER, lineage=by_provider())
    own, other = (
        FederatedIdentity(
            principal=session_principal(),
            account=account,
            provider_arn=PROVIDER,
            provider_id="SAMLSPX",
            issuer="https://idp/",
            subject="bob",
            person=person,
        )
        for account, person in ((OTHER, ""), (ACCOUNT, "SCMU1"))
    )
    assert descend_as(first, own) == descend(first)
    bob = subject_target(subject_digest("https://idp/", "bob"))
    targets = descend_as(first, other).origin.targets
    assert targets == (bob, person_target("SCMU1"))


def test_a_source_identity_is_dated_by_the_session_that_set_it(
    session: Session,
) -> None:
    first = replace(session, issued_at_ms=1_000, source_identity=None)
    second = replace(
        first, issued_at_ms=2_000, source_identity="ana", lineage=descend(first)
    )
    third = replace(second, issued_at_ms=3_000, lineage=descend(second))
    named = [descend(each).origin.named_ms for each in (first, second, third)]
    assert named == [0, 2_000, 2_000]


def test_an_end_mark_is_one_more_target() -> None:
    made_from = by_provider(person="SCMU1")
    assert ending_with(made_from, ()) == made_from
    targets = (person_target("SCMU1"), "console-end/1")
    assert ending_with(made_from, ("console-end/1",)).origin.targets == targets
    (other,) = trace_token(ending_with(made_from, ("console-end/1",)), OTHER, 1)
    assert "console-end/1" in other.key_ids


MACHINE = Instance(
    account=ACCOUNT,
    instance_id="i-1",
    region="eu-central-1",
    public_key=b"",
    registered_at=NOW,
    registered_by="",
)


def test_a_machine_is_what_its_sessions_begin_with_or_an_ancestor_of_them(
    session: Session,
) -> None:
    assert list_origins(MACHINE) == []
    own = lineage_of_machine(MACHINE)
    assert own == Lineage(origin=Origin(account=ACCOUNT, access_key_id="i-1"))
    machine = Ancestor(
        account=ACCOUNT,
        mint_id="",
        access_key_id="i-1",
        principal_id="i-1",
        issued_at_ms=int(NOW.timestamp() * 1000),
    )
    by_user = Lineage(origin=Origin(account=OTHER, principal_id="AIDAX"))
    for made_from in (by_key(), by_user, descend(session)):
        row = tuple(lineage_row(made_from))
        made = lineage_of_machine(replace(MACHINE, lineage=row))
        assert made.origin == made_from.origin
        assert made.ancestors == (*made_from.ancestors, machine)
    proved = lineage_of_machine(
        replace(MACHINE, lineage=tuple(lineage_row(by_provider())))
    )
    assert (proved.origin.account, proved.origin.access_key_id) == (OTHER, "i-1")


def test_a_machine_ends_with_the_users_and_roles_that_it_came_from() -> None:
    made_from = replace(
        by_key(),
        ancestors=(ancestor("AROAX", 1_000), ancestor("", 2_000)),
        folded=(FoldedAncestors(account=OTHER, principal_id="AROAY", first_ms=1),),
    )
    admission = lineage_of_admission(made_from, ACCOUNT, 5_000)
    principals = (USER.user_id, "AROAX", "AROAY")
    assert admission.origin.targets == tuple(map(admitted_target, principals))
    assert admission.origin.began_ms == 5_000


def ancestor(
    principal_id: str, at_ms: int, account: AccountId = ACCOUNT, mint_id: str = "m"
) -> Ancestor:
    return Ancestor(
        account=account,
        mint_id=mint_id,
        access_key_id=f"ASIA{at_ms}",
        principal_id=principal_id,
        issued_at_ms=at_ms,
    )


def test_the_oldest_counts_of_what_lies_in_an_account() -> None:
    chain = (ancestor("AROAX", 2_000), ancestor("AROAX", 1_000))
    chain += (ancestor("AROAX", 3_000), ancestor("AROAZ", 4_000, OTHER))
    of_key = replace(by_key(), ancestors=chain)
    own, other = trace_token(of_key, ACCOUNT, 9_000)
    assert (own.account, own.since_ms) == (ACCOUNT, 1_000)
    assert (other.account, other.since_ms) == (OTHER, 4_000)
    assert dict(own.marks)["AROAX"] == 1_000


def test_what_began_with_a_proof_begins_with_its_first_session() -> None:
    of_proof = by_provider(issued_at=NOW)
    marks = dict(trace_token(of_proof, OTHER, 9_000, providers=(PROVIDER,))[0].marks)
    assert marks[PROVIDER] == 9_000
    later = replace(of_proof, ancestors=(ancestor("AROAX", 5_000, OTHER),))
    marks = dict(trace_token(later, OTHER, 9_000, providers=(PROVIDER,))[0].marks)
    assert marks[PROVIDER] == 5_000


def test_what_is_of_another_account_is_looked_up_there(session: Session) -> None:
    elsewhere = replace(session, lineage=by_provider())
    assert {entry.account for entry in trace(elsewhere)} == {ACCOUNT, OTHER}
    entries = trace_token(by_key(), ACCOUNT, 9_000, providers=(PROVIDER, "SAMLSPX"))
    marks = {entry.account: dict(entry.marks) for entry in entries}
    assert PROVIDER in marks[OTHER]
    assert PROVIDER not in marks[ACCOUNT]
    assert "SAMLSPX" in marks[ACCOUNT]


def test_ancestors_are_folded_by_account_and_principal(session: Session) -> None:
    kinds_of = [(ACCOUNT, "AROAX"), (OTHER, "AROAX"), (ACCOUNT, "AROAZ")] * 2
    made = Lineage(origin=Origin(account=ACCOUNT), ancestors=(ancestor("AROAX", 1),))
    for number, (account, who) in enumerate((*kinds_of, *kinds_of, *kinds_of)):
        at_ms = 10_000 + number
        parent = replace(
            session,
            account=account,
            principal_id=who,
            issued_at_ms=at_ms,
            lineage=made,
        )
        made = descend(parent)
    assert len(made.ancestors) == KEPT + 1
    folded = {(each.account, each.principal_id) for each in made.folded}
    assert folded == set(kinds_of)
    assert {each.first_ms for each in made.folded} == {10_000, 10_001, 10_002}
    assert made.folded_until_ms == made.ancestors[1].issued_at_ms - 1
    # A session may have been issued by a clock that went back.
    earlier = replace(session, issued_at_ms=5, lineage=made)
    for _ in range(KEPT + 1):
        earlier = replace(earlier, lineage=descend(earlier))
    assert earlier.lineage.folded_until_ms == 10_017


async def test_a_password_is_as_new_as_its_use() -> None:
    """It has no time of its own; no other proof is named by what it does not say."""
    password = FederatedIdentity(
        principal=session_principal(),
        account=OTHER,
        provider_arn=PROVIDER,
        provider_id="LDAPX",
        issuer=PROVIDER,
        subject="alice",
    )
    subject = subject_target(subject_digest(PROVIDER, "alice"))
    now_ms = int(NOW.timestamp() * 1000)
    none_named = source_identity_target("None")
    for marks, end in (
        ({}, None),
        ({subject: now_ms}, None),
        ({subject: now_ms + 1}, (subject, now_ms + 1)),
        ({none_named: now_ms + 1}, None),
    ):

        class Directory:
            async def revocations(self, _account: AccountId, by: Any = marks) -> Any:
                return Revocations(not_before_ms=by)

        assert await find_proof_end(password, NOW, Directory()) == end  # type: ignore[arg-type]


async def test_a_list_reads_each_account_once() -> None:
    asked: list[object] = []

    class Directory:
        async def find(self, kind: Any, account: AccountId, key: str = "") -> object:
            asked.append((kind, account, key))
            return None

        async def revocations(self, account: AccountId) -> object:
            asked.append(account)
            return len(asked)

    snapshot = LineageSnapshot(Directory())  # type: ignore[arg-type]
    for _ in range(2):
        for account in (ACCOUNT, OTHER):
            assert await snapshot.find(kinds.ACCOUNT, account) is None
            await snapshot.revocations(account)
    assert len(asked) == 4


# Tokens of version 1.

PARENT = format_access_key_id("ASIA", ACCOUNT, 7)
NARROWED = format_access_key_id("ASIA", ACCOUNT, 8)


@pytest.fixture
def old_token(
    world: World, session: Session, monkeypatch: pytest.MonkeyPatch
) -> tuple[Session, str]:
    """A token as the version before sealed it."""
    row: list[Any] = [
        *(1, ROLE.role_id, "job", session.issued_at_ms, session.expires_at, PARENT),
        *(0, "", {}, 0, 0, 0, {}, [], [], 0, [NARROWED], 1),
    ]
    monkeypatch.setattr(seal, "_VERSION", b"\x01")
    monkeypatch.setattr(
        seal, "encode_session", lambda *_: b"\x01" + json.dumps(row).encode()
    )
    token, _ = world.sealer.seal(session, account_salt=SALT, now=world.clock.now())
    monkeypatch.undo()
    assert base64.b64decode(token.reveal())[:1] == b"\x01"
    return session, token.reveal()


@pytest.mark.parametrize("revoked", [PARENT, NARROWED, None])
async def test_a_token_of_the_version_before_ends_with_what_it_knows_of(
    world: World, old_token: tuple[Session, str], revoked: str | None
) -> None:
    session, token = old_token
    now = world.clock.now()
    resolved_session = await world.resolver.resolve(session.access_key_id, token, now)
    assert (resolved_session.session.mint_id, resolved_session.session.name) == (
        "",
        "job",
    )
    made = await world.mint(lineage=descend(resolved_session.session))
    assert await is_live(world, made)
    record = describe_session(resolved_session.session, "arn")
    async with world.stores.directory.change(ACCOUNT) as change:
        if revoked is None:
            await revoke_session(change, record, now=now)
        else:
            await revoke_key_id(change, account=ACCOUNT, access_key_id=revoked, now=now)
    with pytest.raises(ExpiredToken):
        await world.resolver.resolve(session.access_key_id, token, now)
    assert not await is_live(world, made)


async def test_an_old_token_ends_with_a_parent_that_has_a_mint_id(
    world: World, old_token: tuple[Session, str]
) -> None:
    session, token = old_token
    parent = replace(
        describe_session(session, "arn"), access_key_id=PARENT, mint_id="m" * 22
    )
    async with world.stores.directory.change(ACCOUNT) as change:
        await revoke_session(change, parent, now=world.clock.now())
    with pytest.raises(ExpiredToken):
        await world.resolver.resolve(session.access_key_id, token, world.clock.now())


def test_an_old_token_goes_back_to_the_key_that_it_was_made_with() -> None:
    temporary = lineage_of_old_token(ACCOUNT, PARENT, (NARROWED,), 7)
    assert temporary.origin == Origin()
    keys = [each.access_key_id for each in temporary.ancestors]
    assert keys == [NARROWED, PARENT]
    long_term = lineage_of_old_token(ACCOUNT, KEY.access_key_id, (), 7)
    assert long_term.origin.access_key_id == KEY.access_key_id
    assert long_term.ancestors == ()
    unknown = lineage_of_old_token(ACCOUNT, "", (), 7)
    assert (unknown.origin, unknown.ancestors) == (Origin(), ())


def test_the_version_before_is_told_by_its_missing_mint_id() -> None:
    assert (
        contents.decode_session(
            b"\x01" + json.dumps([1, "AROAX", "job", 1, 2, "AKIA"]).encode(),
            access_key_id=PARENT,
            account=ACCOUNT,
        ).lineage.origin.access_key_id
        == "AKIA"
    )
