"""Machines, join tokens, and what ends machines, on every database."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from broker.model.account import AccountId
from broker.model.entities import Role, User
from broker.model.lineage import (
    Ancestor,
    FoldedAncestors,
    Lineage,
    Origin,
    lineage_row,
    subject_digest,
)
from broker.model.machines import Instance
from broker.model.page import PageRequest
from broker.model.revocation import Revocation, session_target
from broker.sessions.lineage import (
    lineage_of_admission,
    list_origins,
    subject_target,
    trace_machine,
)
from broker.sessions.revoke import revoke_issued_before, revoke_lost_role
from broker.stores.directory.kinds import INSTANCE, ROLE, USER
from broker.stores.directory.port import DirectoryChange
from broker.stores.directory.sql import SqlDirectory
from broker.stores.directory.stored import Kind
from broker.stores.schema import INSTANCE_ORIGINS

FIRST = AccountId("111111111111")
SECOND = AccountId("222222222222")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
PROVIDER = f"arn:aws:iam::{FIRST}:oidc-provider/issuer.example"
ALL = PageRequest(None, 100)


def instance(number: int, **changed: object) -> Instance:
    params = {
        "account": FIRST,
        "instance_id": f"i-{number:017x}",
        "region": "eu-west-3",
        "public_key": bytes([number]) * 32,
        "registered_at": NOW + timedelta(seconds=number),
        "registered_by": "someone",
        "profile_id": "AIPA1",
    }
    return Instance(**{**params, **changed})  # type: ignore[arg-type]


def admitted(
    number: int,
    *targets: str,
    ancestors: tuple[Ancestor, ...] = (),
    folded: tuple[FoldedAncestors, ...] = (),
    at: datetime = NOW,
    **more: object,
) -> Instance:
    """By a join token, or a proof, that came from this."""
    origin = Origin(account=FIRST, principal_id="AIDA1", targets=targets)
    made_from = Lineage(
        origin=origin,
        ancestors=ancestors,
        folded=folded,
        folded_until_ms=max((each.first_ms + 60_000 for each in folded), default=0),
    )
    at_ms = milliseconds(at)
    row = lineage_row(lineage_of_admission(made_from, FIRST, at_ms))
    return instance(number, lineage=tuple(row), registered_at=at, **more)


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def session(mint_id: str, role_id: str, at: datetime = NOW) -> Ancestor:
    return Ancestor(
        account=FIRST,
        mint_id=mint_id,
        access_key_id=f"ASIA-{mint_id}",
        principal_id=role_id,
        issued_at_ms=milliseconds(at),
    )


async def register(change: DirectoryChange, *instances: Instance) -> None:
    for each in instances:
        await change.insert(INSTANCE, each)
        origins = list_origins(each)
        await change.write_origins(each.account, each.instance_id, origins)


async def ids(directory: SqlDirectory, account: AccountId = FIRST) -> list[int]:
    page = await directory.page_of(INSTANCE, account, ALL)
    return [int(item.instance_id.removeprefix("i-"), 16) for item in page.items]


@pytest.mark.parametrize(
    ("target", "left"),
    [
        (PROVIDER, [4, 5]),
        ("OIDCP1", [4, 5]),
        ("subject/a", [2, 4, 5]),
        ("subject/b", [1, 4, 5]),
        ("person/p", [1, 4, 5]),
        ("AIDA1", [4, 5]),
        (FIRST, [4, 5]),
        ("person/", [1, 2, 4, 5]),
        ("%", [1, 2, 4, 5]),
        ("subject/c", [1, 2, 4, 5]),
        ("someone", [1, 2, 4, 5]),
        ("", [1, 2, 4, 5]),
    ],
)
async def test_a_mark_ends_the_machines_that_came_from_it_before(
    directory: SqlDirectory, target: str, left: list[int]
) -> None:
    vouched = (PROVIDER, "OIDCP1")
    async with directory.change(FIRST) as change:
        await register(
            change,
            admitted(1, *vouched, "subject/a"),
            admitted(2, *vouched, "subject/b", "person/p"),
            instance(4),
            admitted(5, *vouched, "subject/a", at=NOW + timedelta(hours=2)),
        )
    async with directory.change(FIRST) as change:
        ended = await revoke_issued_before(
            change, account=FIRST, target=target, now=NOW + timedelta(hours=1)
        )
    assert await ids(directory) == left
    assert ended == 4 - len(left)


async def test_a_mark_ends_machines_of_other_accounts(directory: SqlDirectory) -> None:
    async with directory.change(SECOND) as change:
        await register(change, admitted(1, account=SECOND))
    for account, left in ((SECOND, [1]), (FIRST, [])):
        async with directory.change(account) as change:
            await revoke_issued_before(
                change, account=account, target="AIDA1", now=LATER
            )
        assert await ids(directory, SECOND) == left


async def test_another_accounts_change_that_runs_is_waited_for(
    directory: SqlDirectory,
) -> None:
    """Else a machine could be admitted while what it comes from is being revoked."""
    has_revoked = asyncio.Event()
    async with directory.change(FIRST):
        pass  # as every account was changed when it was made: only then it can be held

    async def revoke() -> None:
        async with directory.change(FIRST) as change:
            await revoke_issued_before(
                change, account=FIRST, target="AIDA1", now=datetime.now(UTC)
            )
            has_revoked.set()
            await asyncio.sleep(0.2)  # the other begins

    async def find_marks() -> Mapping[str, int]:
        await has_revoked.wait()
        async with directory.change(SECOND, FIRST) as change:
            return (await change.revocations(FIRST)).not_before_ms

    _, marks = await asyncio.gather(revoke(), find_marks())
    assert "AIDA1" in marks


async def test_changes_that_hold_each_others_accounts_all_take_place(
    directory: SqlDirectory,
) -> None:
    """Others run between them, whose transactions they might join."""
    done = []

    async def change(own: AccountId, *held: AccountId) -> None:
        async with directory.change(own, *held):
            await asyncio.sleep(0)
        done.append(own)

    await asyncio.gather(
        *(
            change(*accounts)
            for _ in range(20)
            for accounts in ((FIRST,), (SECOND,), (FIRST, SECOND), (SECOND, FIRST))
        )
    )
    assert len(done) == 80


@pytest.mark.parametrize(
    ("revoked", "left"),
    [
        (session("mint-a", "AROA1"), [2]),
        (session("mint-b", "AROA1"), [1]),
        (session("mint-c", "AROA1"), [1, 2]),
        (session("folded", "AROA3", NOW + timedelta(seconds=30)), [1]),
        (session("folded", "AROA3", NOW + timedelta(seconds=90)), [1, 2]),
    ],
)
async def test_a_revoked_session_ends_the_machines_that_came_from_it(
    directory: SqlDirectory, revoked: Ancestor, left: list[int]
) -> None:
    first = session("first", "AROA2")
    folded = FoldedAncestors(
        account=FIRST, principal_id="AROA3", first_ms=milliseconds(NOW)
    )
    async with directory.change(FIRST) as change:
        await register(
            change,
            admitted(1, ancestors=(session("mint-a", "AROA1"),)),
            admitted(
                2, ancestors=(first, session("mint-b", "AROA1")), folded=(folded,)
            ),
        )
    before = (first,) if revoked.mint_id == "folded" else ()
    target = session_target(revoked, Lineage(origin=Origin(), ancestors=before))
    async with directory.change(FIRST) as change:
        await change.revoke(
            Revocation(
                account=FIRST,
                target=target,
                not_before_ms=None,
                expires_at=LATER + timedelta(days=1),
            )
        )
    assert await ids(directory) == left


async def test_a_lost_role_ends_the_machines_that_its_subject_admitted(
    directory: SqlDirectory,
) -> None:
    issuer = "https://idp.example.com"
    ann, bob = (subject_target(subject_digest(issuer, name)) for name in ("ann", "bob"))
    of_role = {"ancestors": (session("mint", "AROA1"),)}
    async with directory.change(FIRST) as change:
        await register(
            change,
            admitted(1, ann, **of_role),
            admitted(2, bob, **of_role),
            admitted(3, ann, ancestors=(session("other", "AROA2"),)),
        )
    async with directory.change(FIRST) as change:
        await revoke_lost_role(
            change,
            account=FIRST,
            issuer=issuer,
            subject="ann",
            role_id="AROA1",
            now=LATER,
        )
    assert await ids(directory) == [2, 3]


@pytest.mark.parametrize("kind", [USER, ROLE])
async def test_a_deleted_user_or_role_ends_the_machines_that_it_admitted(
    directory: SqlDirectory, kind: Kind[Any]
) -> None:
    user = User(account=FIRST, user_id="AIDA9", name="ann", path="/", created_at=NOW)
    role = Role(
        account=FIRST,
        role_id="AROA9",
        name="Admitting",
        path="/",
        trust_policy="{}",
        created_at=NOW,
    )
    deleted = user if kind is USER else role
    chain = (session("mint", role.role_id),)
    made_from = Lineage(
        origin=Origin(account=FIRST, principal_id=user.user_id), ancestors=chain
    )
    row = lineage_row(lineage_of_admission(made_from, FIRST, milliseconds(NOW)))
    async with directory.change(FIRST) as change:
        await change.insert(USER, user)
        await change.insert(ROLE, role)
        await register(change, instance(1, lineage=tuple(row)), admitted(2))
    async with directory.change(FIRST) as change:
        await change.remove(kind, deleted)
    assert await ids(directory) == [2]
    # And so do its sessions, which carry the same.
    revoked = await directory.revocations(FIRST)
    assert all(
        revoked.cover(entry) is (number == 1)
        for number, of in ((1, instance(1, lineage=tuple(row))), (2, admitted(2)))
        for entry in trace_machine(of)
    )


async def test_an_ended_machine_leaves_nothing(directory: SqlDirectory) -> None:
    async with directory.change(FIRST) as change:
        await register(change, admitted(1, "subject/a"))
        await change.remove(INSTANCE, admitted(1))
        assert await change.rows(select(INSTANCE_ORIGINS)) == []
