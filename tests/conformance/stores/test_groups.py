"""What the directory's port promises of groups and login profiles."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from broker.model.account import Account, AccountId
from broker.model.entities import Group, LoginProfile, User
from broker.model.page import PageRequest
from broker.stores.directory import kinds
from broker.stores.directory.accounts import insert_account, update_account
from broker.stores.directory.groups import (
    add_member,
    list_group_users,
    list_memberships,
    list_user_groups,
    remove_member,
)
from broker.stores.directory.kinds import GROUP, LOGIN_PROFILE, USER
from broker.stores.directory.policies import find_owners
from broker.stores.directory.sql import SqlDirectory
from broker.stores.errors import AlreadyExistsError
from tests.conformance.stores.test_directory import make_account

ACCOUNT = AccountId("000000000001")
AT = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)


def make_group(name: str, path: str = "/") -> Group:
    return Group(
        account=ACCOUNT,
        group_id=f"AGPA{name.upper()}",
        name=name,
        path=path,
        created_at=AT,
    )


def make_user(name: str) -> User:
    return User(
        account=ACCOUNT,
        user_id=f"AIDA{name.upper()}",
        name=name,
        path="/",
        created_at=AT,
    )


async def fill(directory: SqlDirectory) -> None:
    async with directory.change(ACCOUNT) as change:
        await insert_account(
            change,
            Account(
                account_id=ACCOUNT, alias=None, session_salt=bytes(32), created_at=AT
            ),
        )
        for user in ("ann", "Bob", "cleo"):
            await change.insert(USER, make_user(user))
        for group in ("Zebra", "admins"):
            await change.insert(GROUP, make_group(group))
            for user in ("ann", "Bob"):
                added = await add_member(
                    change, ACCOUNT, f"AGPA{group.upper()}", f"AIDA{user.upper()}"
                )
                assert added


async def test_groups_are_found_by_name_in_any_case_and_listed_by_path(
    directory: SqlDirectory,
) -> None:
    await fill(directory)
    async with directory.change(ACCOUNT) as change:
        await change.insert(GROUP, make_group("deep", "/a/b/"))
        with pytest.raises(AlreadyExistsError):
            await change.insert(GROUP, replace(make_group("DEEP"), group_id="AGPAX"))
        with pytest.raises(AlreadyExistsError):
            await change.update(GROUP, replace(make_group("Zebra"), name="ADMINS"))
        await change.update(GROUP, replace(make_group("Zebra"), name="zebra"))
    assert await directory.named(GROUP, ACCOUNT, "ZEBRA") == replace(
        make_group("Zebra"), name="zebra"
    )
    first = await directory.page_of(GROUP, ACCOUNT, PageRequest(None, 2))
    assert [group.name for group in first.items] == ["admins", "deep"]
    rest = await directory.page_of(GROUP, ACCOUNT, PageRequest(first.marker, 2))
    assert [group.name for group in rest.items] == ["zebra"]
    below = await directory.page_of(GROUP, ACCOUNT, PageRequest(None, 9), under="/a/")
    assert below.items == (make_group("deep", "/a/b/"),)
    assert await directory.count(GROUP, ACCOUNT) == 3


async def test_membership_is_once_and_read_from_both_sides(
    directory: SqlDirectory,
) -> None:
    await fill(directory)
    async with directory.change(ACCOUNT) as change:
        assert not await add_member(change, ACCOUNT, "AGPAADMINS", "AIDAANN")
        assert await remove_member(change, ACCOUNT, "AGPAZEBRA", "AIDABOB")
        assert not await remove_member(change, ACCOUNT, "AGPAZEBRA", "AIDABOB")
    page = await list_group_users(
        directory, ACCOUNT, "AGPAADMINS", PageRequest(None, 1)
    )
    assert [user.name for user in page.items] == ["ann"]
    page = await list_group_users(
        directory, ACCOUNT, "AGPAADMINS", PageRequest(page.marker, 1)
    )
    assert [user.name for user in page.items] == ["Bob"]
    assert page.marker is None
    memberships = await list_memberships(
        directory, ACCOUNT, ["AIDAANN", "AIDABOB", "AIDACLEO"]
    )
    assert memberships == {
        "AIDAANN": (make_group("admins"), make_group("Zebra")),
        "AIDABOB": (make_group("admins"),),
    }
    assert await list_user_groups(directory, ACCOUNT, "AIDACLEO") == ()


async def test_a_login_profile_reads_back_and_there_is_one_a_user(
    directory: SqlDirectory,
) -> None:
    await fill(directory)
    profile = LoginProfile(
        account=ACCOUNT,
        user_id="AIDAANN",
        sealed=b"\x00sealed\xff",
        created_at=AT,
        changed_at=AT,
        reset_required=True,
    )
    async with directory.change(ACCOUNT) as change:
        await change.insert(LOGIN_PROFILE, profile)
        with pytest.raises(AlreadyExistsError):
            await change.insert(LOGIN_PROFILE, profile)
    assert await directory.find(LOGIN_PROFILE, ACCOUNT, "AIDAANN") == profile
    changed = replace(profile, sealed=b"new", reset_required=False)
    async with directory.change(ACCOUNT) as change:
        await change.update(LOGIN_PROFILE, changed)
    assert await directory.find(LOGIN_PROFILE, ACCOUNT, "AIDAANN") == changed
    async with directory.change(ACCOUNT) as change:
        await change.remove(LOGIN_PROFILE, changed)
    assert await directory.find(LOGIN_PROFILE, ACCOUNT, "AIDAANN") is None


async def test_a_password_policy_is_kept_with_its_account(
    directory: SqlDirectory,
) -> None:
    await fill(directory)
    account = await directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    assert account.password_policy is None
    policy = {"MinimumPasswordLength": 12, "RequireSymbols": True}
    async with directory.change(ACCOUNT) as change:
        await update_account(change, replace(account, password_policy=policy))
    account = await directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    assert account.password_policy == policy


async def test_an_account_goes_with_its_groups_and_profiles(
    directory: SqlDirectory,
) -> None:
    await fill(directory)
    async with directory.change(ACCOUNT) as change:
        await change.remove(kinds.ACCOUNT, make_account(ACCOUNT))
    assert await directory.named(GROUP, ACCOUNT, "admins") is None
    assert await list_user_groups(directory, ACCOUNT, "AIDAANN") == ()


async def test_owners_of_any_kind_are_found_together_by_their_ids(
    directory: SqlDirectory,
) -> None:
    await fill(directory)
    found = await find_owners(directory, ACCOUNT, ["AGPAZEBRA", "AIDABOB", "AIDANONE"])
    assert set(map(repr, found)) == {repr(make_user("Bob")), repr(make_group("Zebra"))}
    assert await find_owners(directory, AccountId("000000000002"), ["AIDABOB"]) == ()
