"""What the directory's port promises of groups and login profiles."""

from datetime import UTC, datetime

from broker.model.account import Account, AccountId
from broker.model.entities import Group, User
from broker.model.page import PageRequest
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.identities import (
    add_member,
    list_group_users,
    list_memberships,
    list_user_groups,
    remove_member,
)
from broker.stores.directory.kinds import GROUP, USER
from broker.stores.directory.policies import find_owners
from broker.stores.directory.sql import SqlDirectory

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


async def test_owners_of_any_kind_are_found_together_by_their_ids(
    directory: SqlDirectory,
) -> None:
    await fill(directory)
    owners = await find_owners(directory, ACCOUNT, ["AGPAZEBRA", "AIDABOB", "AIDANONE"])
    assert set(map(repr, owners)) == {repr(make_user("Bob")), repr(make_group("Zebra"))}
    assert await find_owners(directory, AccountId("000000000002"), ["AIDABOB"]) == ()
