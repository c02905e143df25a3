"""Machines, join tokens, and what ends machines, on every database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.model.account import AccountId
from broker.model.machines import Instance, InstanceProfile, JoinToken
from broker.model.page import PageRequest
from broker.sessions.revoke import revoke_issued_before
from broker.stores.directory import kinds
from broker.stores.directory.kinds import INSTANCE, INSTANCE_PROFILE, JOIN_TOKEN
from broker.stores.directory.machines import (
    delete_join_tokens_before,
    find_instance_by_key,
    find_join_token,
)
from broker.stores.directory.sql import SqlDirectory
from broker.stores.errors import AlreadyExistsError
from tests.conformance.stores.test_directory import make_account

FIRST = AccountId("111111111111")
SECOND = AccountId("222222222222")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROVIDER = f"arn:aws:iam::{FIRST}:oidc-provider/issuer.example"
ALL = PageRequest(None, 100)


def instance(number: int, **changed: object) -> Instance:
    given = {
        "account": FIRST,
        "instance_id": f"i-{number:017x}",
        "region": "eu-west-3",
        "public_key": bytes([number]) * 32,
        "registered_at": NOW + timedelta(seconds=number),
        "registered_by": "someone",
        "profile_id": "AIPA1",
    }
    return Instance(**{**given, **changed})  # type: ignore[arg-type]


def vouched_for(number: int, subject: str = "subject/a", **more: object) -> Instance:
    return instance(
        number, registered_by=PROVIDER, provider_id="OIDCP1", subject=subject, **more
    )


def token(number: int, **changed: object) -> JoinToken:
    given = {
        "account": FIRST,
        "token_id": f"AJTK{number}",
        "profile_id": "AIPA1",
        "digest": bytes([number]) * 32,
        "created_at": NOW,
        "expires_at": NOW + timedelta(hours=number),
        "created_by": "operator",
        "addresses": ("10.0.0.0/8",),
        "lineage": ("111111111111", 0, "AIDA1", 0, 7, 0, 0, [["m", "k", "p", 1]]),
    }
    return JoinToken(**{**given, **changed})  # type: ignore[arg-type]


async def ids(directory: SqlDirectory, account: AccountId = FIRST) -> list[int]:
    page = await directory.page_of(INSTANCE, account, ALL)
    return [int(one.instance_id.removeprefix("i-"), 16) for one in page.items]


async def test_instances(directory: SqlDirectory) -> None:
    first, second = instance(1), instance(2, profile_id=None)
    async with directory.change(FIRST) as change:
        await change.insert(INSTANCE, second)
        await change.insert(INSTANCE, first)
        for taken in (
            instance(1, public_key=bytes(32)),
            instance(3, public_key=first.public_key),
        ):
            with pytest.raises(AlreadyExistsError):
                await change.insert(INSTANCE, taken)
        assert await change.count(INSTANCE, FIRST) == 2
    async with directory.change(SECOND) as change:
        await change.insert(INSTANCE, instance(1, account=SECOND))
    assert await directory.find(INSTANCE, FIRST, first.instance_id) == first
    assert await directory.find(INSTANCE, SECOND, second.instance_id) is None
    assert await find_instance_by_key(directory, FIRST, second.public_key) == second
    page = await directory.page_of(INSTANCE, FIRST, PageRequest(None, 1))
    assert page.items == (first,)
    rest = await directory.page_of(INSTANCE, FIRST, PageRequest(page.marker, 1))
    assert rest.items == (second,)
    of_profile = await directory.page_of(INSTANCE, FIRST, ALL, profile_id="AIPA1")
    assert of_profile.items == (first,)
    changed = replace(second, profile_id="AIPA2")
    async with directory.change(FIRST) as change:
        await change.update(INSTANCE, changed)
        await change.remove(INSTANCE, first)
    assert await directory.find(INSTANCE, FIRST, second.instance_id) == changed
    assert await ids(directory) == [2]
    assert await ids(directory, SECOND) == [1]


async def test_profiles_by_their_ids(directory: SqlDirectory) -> None:
    profile = InstanceProfile(
        account=FIRST, profile_id="AIPA1", name="Web", path="/a/", created_at=NOW
    )
    async with directory.change(FIRST) as change:
        await change.insert(INSTANCE_PROFILE, profile)
    assert await directory.find(INSTANCE_PROFILE, FIRST, "AIPA1") == profile
    assert await directory.find(INSTANCE_PROFILE, SECOND, "AIPA1") is None


async def test_join_tokens(directory: SqlDirectory) -> None:
    async with directory.change(FIRST) as change:
        for number in (2, 1, 3):
            await change.insert(JOIN_TOKEN, token(number))
        with pytest.raises(AlreadyExistsError):
            await change.insert(JOIN_TOKEN, token(4, digest=token(1).digest))
    assert await find_join_token(directory, FIRST, token(2).digest) == token(2)
    assert await find_join_token(directory, SECOND, token(2).digest) is None
    used = replace(token(2), instance_id="i-1")
    async with directory.change(FIRST) as change:
        await change.update(JOIN_TOKEN, used)
        await delete_join_tokens_before(change, FIRST, NOW + timedelta(minutes=90))
        await change.remove(JOIN_TOKEN, token(3))
        assert await change.count(JOIN_TOKEN, FIRST) == 1
    assert (await directory.page_of(JOIN_TOKEN, FIRST, ALL)).items == (used,)


@pytest.mark.parametrize(
    ("target", "left"),
    [
        (PROVIDER, [4, 5]),
        ("OIDCP1", [4, 5]),
        ("subject/a", [2, 4, 5]),
        ("subject/c", [1, 2, 4, 5]),
        ("someone", [1, 2, 4, 5]),
        ("", [1, 2, 4, 5]),
    ],
)
async def test_a_mark_ends_the_machines_that_it_admitted_before(
    directory: SqlDirectory, target: str, left: list[int]
) -> None:
    async with directory.change(FIRST) as change:
        await change.insert(INSTANCE, vouched_for(1))
        await change.insert(INSTANCE, vouched_for(2, "subject/b"))
        await change.insert(INSTANCE, instance(4))
        late = NOW + timedelta(hours=2)
        await change.insert(INSTANCE, vouched_for(5, registered_at=late))
    async with directory.change(SECOND) as change:
        await change.insert(INSTANCE, vouched_for(1, account=SECOND))
    async with directory.change(FIRST) as change:
        await revoke_issued_before(
            change, account=FIRST, target=target, now=NOW + timedelta(hours=1)
        )
    assert await ids(directory) == left
    assert await ids(directory, SECOND) == [1]


async def test_an_accounts_machines_go_with_it(directory: SqlDirectory) -> None:
    async with directory.change(FIRST) as change:
        await change.insert(INSTANCE, instance(1))
        await change.insert(JOIN_TOKEN, token(1))
        await change.remove(kinds.ACCOUNT, make_account(FIRST))
    assert await ids(directory) == []
    assert (await directory.page_of(JOIN_TOKEN, FIRST, ALL)).items == ()
