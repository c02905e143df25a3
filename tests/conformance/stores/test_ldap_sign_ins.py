"""People whom directories authenticated: checked in turn, by one worker at a time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.entities import LdapProvider
from broker.stores.database import Database
from broker.stores.directory.accounts import list_accounts
from broker.stores.directory.kinds import LDAP_PROVIDER
from broker.stores.directory.sql import SqlDirectory
from broker.stores.ldap_sign_ins import KEPT, LdapSignIn, LdapSignIns
from broker.stores.urls import DatabaseLocation

ACCOUNT = AccountId("000000000001")
AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
PAUSE = timedelta(seconds=40)


def person(subject: str, provider_id: str = "LDAPP1") -> LdapSignIn:
    return LdapSignIn(
        account=ACCOUNT, provider="corp", provider_id=provider_id, subject=subject
    )


@pytest.fixture
async def database(
    location: DatabaseLocation, directory: SqlDirectory
) -> AsyncIterator[Database]:
    # The directory has made the tables.
    assert await list_accounts(directory) == ()
    opened = Database(location)
    yield opened
    await opened.close()


async def due(sign_ins: LdapSignIns, now: datetime, most: int = 100) -> set[str]:
    ldap_sign_ins = await sign_ins.take_due(now, before=now - PAUSE, most=most)
    return {ldap_sign_in.subject for ldap_sign_in in ldap_sign_ins}


async def test_each_is_asked_about_in_turn(
    database: Database, directory: SqlDirectory
) -> None:
    sign_ins = LdapSignIns(database)
    for subject in ("a", "b"):
        await sign_ins.note(person(subject), AT)
    assert await due(sign_ins, AT) == set()
    later = AT + PAUSE + timedelta(seconds=1)
    assert await due(sign_ins, later, most=1) <= {"a", "b"}
    assert len(await due(sign_ins, later)) == 1
    assert await due(sign_ins, later) == set()
    assert await due(sign_ins, later + PAUSE + timedelta(seconds=1)) == {"a", "b"}
    # What is noted decides nothing: no worker forgets its memo because of it.
    assert await directory.last_changes() == {}


async def test_no_two_workers_ask_about_the_same(database: Database) -> None:
    ldap_sign_ins, other = LdapSignIns(database), LdapSignIns(database)
    names = {f"s{number:03d}" for number in range(60)}
    for name in names:
        await ldap_sign_ins.note(person(name), AT)
    later = AT + timedelta(minutes=1)
    results = await asyncio.gather(
        *(due(each, later, 20) for each in (ldap_sign_ins, other) * 4)
    )
    assert sum(map(len, results)) == len(names)
    assert set().union(*results) == names


async def test_a_new_sign_in_is_kept_for_longer_and_asked_about_as_before(
    database: Database,
) -> None:
    sign_ins = LdapSignIns(database)
    await sign_ins.note(person("a"), AT)
    again = AT + timedelta(hours=2)
    await sign_ins.note(person("a"), again)
    assert await due(sign_ins, again) == {"a"}
    end = again + KEPT
    assert await due(sign_ins, end) == {"a"}
    assert await due(sign_ins, end + timedelta(hours=2)) == set()


async def test_who_may_have_left_comes_first(database: Database) -> None:
    sign_ins = LdapSignIns(database)
    await sign_ins.note(person("a"), AT)
    await sign_ins.note(person("a", "LDAPP2"), AT)
    await sign_ins.ask_soon("LDAPP2", "a")
    (ldap_sign_in,) = await sign_ins.take_due(AT, before=AT - PAUSE, most=9)
    assert ldap_sign_in == person("a", "LDAPP2")


async def test_who_left_is_forgotten_and_noted_again(database: Database) -> None:
    sign_ins = LdapSignIns(database)
    for subject in ("a", "b"):
        await sign_ins.note(person(subject), AT)
    await sign_ins.forget([person("a")], AT)
    later = AT + timedelta(minutes=1)
    assert await due(sign_ins, later) == {"b"}
    await sign_ins.note(person("a"), later)
    assert await due(sign_ins, later + timedelta(minutes=1)) == {"a", "b"}


async def test_whom_another_worker_forgot_is_noted_again(database: Database) -> None:
    """It found them to be gone, and a moment later they are back."""
    ldap_sign_ins, other = LdapSignIns(database), LdapSignIns(database)
    await ldap_sign_ins.note(person("a"), AT)
    await other.forget([person("a")], AT)
    await ldap_sign_ins.note(person("a"), AT)
    assert await due(other, AT + timedelta(minutes=1)) == {"a"}


async def test_providers_are_kept_and_their_end_is_marked(
    directory: SqlDirectory,
) -> None:
    provider = LdapProvider(
        account=ACCOUNT,
        unique_id="LDAPP1",
        name="corp",
        directory="corp",
        created_at=AT,
        options={"SignIn": True},
    )
    async with directory.change(ACCOUNT) as change:
        await change.insert(LDAP_PROVIDER, provider)
        assert await change.count(LDAP_PROVIDER, ACCOUNT) == 1
    assert await directory.named(LDAP_PROVIDER, ACCOUNT, "corp") == provider
    assert await directory.named(LDAP_PROVIDER, ACCOUNT, "Corp") is None
    changed = replace(provider, options={})
    async with directory.change(ACCOUNT) as change:
        await change.update(LDAP_PROVIDER, changed)
    assert await directory.all_of(LDAP_PROVIDER, ACCOUNT) == (changed,)
    async with directory.change(ACCOUNT) as change:
        await change.remove(LDAP_PROVIDER, changed)
    assert await directory.all_of(LDAP_PROVIDER, ACCOUNT) == ()
    revocations = await directory.revocations(ACCOUNT)
    assert provider.arn in revocations.not_before_ms
