"""A page of users shows all that is theirs, and nothing of anybody else's."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from broker.model.account import Account, AccountId
from broker.model.credentials import MfaDevice, Passkey
from broker.model.entities import AccessKey, Group, KeyStatus, LoginProfile, User
from broker.model.overview import KeyOverview, UserOverview
from broker.model.page import PageRequest
from broker.model.upstream import Upstream
from broker.stores.database import Database
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.identities import add_member, insert_access_key
from broker.stores.directory.kinds import (
    ACCESS_KEY,
    GROUP,
    LOGIN_PROFILE,
    MFA_DEVICE,
    PASSKEY,
    UPSTREAM,
    USER,
)
from broker.stores.directory.overviews import list_user_overviews
from broker.stores.directory.reports import SEALED, count_sealed, list_login_profiles
from broker.stores.directory.sql import SqlDirectory
from broker.stores.schema import METADATA
from broker.stores.urls import DatabaseLocation
from broker.stores.uses import UseBuffer

ACCOUNT = AccountId("000000000001")
OTHER = AccountId("000000000002")
AT = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)


def user(name: str, path: str = "/", account: AccountId = ACCOUNT) -> User:
    return User(
        account=account,
        user_id=f"AIDA{name.upper()}{account}",
        name=name,
        path=path,
        created_at=AT,
    )


def key(number: int, owner: User, status: KeyStatus) -> AccessKey:
    return AccessKey(
        access_key_id=f"AKIA{number}",
        account=owner.account,
        user_id=owner.user_id,
        status=status,
        sealed_secret=b"s",
        created_at=AT + timedelta(seconds=number),
    )


async def fill(directory: SqlDirectory) -> None:
    for account, names in ((ACCOUNT, ("ann", "Bob", "b_b", "cleo")), (OTHER, ("ann",))):
        async with directory.change(account) as change:
            await insert_account(
                change,
                Account(
                    account_id=account,
                    alias=None,
                    session_salt=bytes(32),
                    created_at=AT,
                ),
            )
            for name in names:
                path = "/dev/" if name == "cleo" else "/"
                await change.insert(USER, user(name, path, account))
    ann, stranger = user("ann"), user("ann", account=OTHER)
    async with directory.change(OTHER) as change:
        await insert_access_key(change, key(9, stranger, KeyStatus.ACTIVE))
    async with directory.change(ACCOUNT) as change:
        for name in ("Zebra", "admins"):
            group = Group(
                account=ACCOUNT,
                group_id=f"AGPA{name}",
                name=name,
                path="/",
                created_at=AT,
            )
            await change.insert(GROUP, group)
            await add_member(change, ACCOUNT, group.group_id, ann.user_id)
        await insert_access_key(change, key(2, ann, KeyStatus.INACTIVE))
        await insert_access_key(change, key(1, ann, KeyStatus.ACTIVE))
        await change.insert(
            LOGIN_PROFILE,
            LoginProfile(
                account=ACCOUNT,
                user_id=ann.user_id,
                sealed=b"s",
                created_at=AT,
                changed_at=AT + timedelta(days=1),
                reset_required=False,
            ),
        )
        await change.insert(
            MFA_DEVICE,
            MfaDevice(
                account=ACCOUNT,
                serial="T1",
                virtual=False,
                sealed_seed=b"s",
                created_at=AT,
                user_id=ann.user_id,
                enabled_at=AT,
            ),
        )
        await change.insert(
            PASSKEY,
            Passkey(
                account=ACCOUNT,
                serial="P1",
                user_id=user("Bob").user_id,
                credential_id=b"c",
                public_key=b"p",
                enabled_at=AT,
            ),
        )


async def test_a_user_comes_with_all_that_is_theirs(
    location: DatabaseLocation, directory: SqlDirectory
) -> None:
    await fill(directory)
    database = Database(location)
    uses = UseBuffer(database)
    ann = user("ann")
    later = AT + timedelta(hours=2)
    uses.note(ACCOUNT, ann.user_id, "iam", "GetUser", AT, "us-east-1")
    uses.note(ACCOUNT, "AKIA1", "iam", "", later, "us-east-1")
    uses.note(OTHER, "AKIA9", "iam", "", later + timedelta(days=9), "us-east-1")
    await uses.flush()
    await database.close()
    page = await list_user_overviews(directory, ACCOUNT, "/", "", PageRequest(None, 2))
    overview = UserOverview(
        user=ann,
        groups=("admins", "Zebra"),
        keys=(
            KeyOverview("AKIA1", KeyStatus.ACTIVE, AT + timedelta(seconds=1)),
            KeyOverview("AKIA2", KeyStatus.INACTIVE, AT + timedelta(seconds=2)),
        ),
        password_changed_at=AT + timedelta(days=1),
        has_mfa=True,
        last_active_at=later.replace(microsecond=0),
    )
    assert page.items[0] == overview
    assert page.items[1].user.name == "b_b"
    assert not page.items[1].has_mfa
    rest = await list_user_overviews(
        directory, ACCOUNT, "/", "", PageRequest(page.marker, 2)
    )
    assert [
        (user_overview.user.name, user_overview.has_mfa) for user_overview in rest.items
    ] == [
        ("Bob", True),
        ("cleo", False),
    ]
    assert rest.items[1].last_active_at is None
    assert rest.marker is None


async def test_users_are_found_by_a_part_of_their_name_and_a_path(
    directory: SqlDirectory,
) -> None:
    await fill(directory)

    async def names(part: str, path: str = "/") -> list[str]:
        page = await list_user_overviews(directory, ACCOUNT, path, part, PageRequest())
        return [overview.user.name for overview in page.items]

    assert await names("B") == ["b_b", "Bob"]
    assert await names("_") == ["b_b"]
    assert await names("%") == []
    assert await names("", "/dev/") == ["cleo"]
    assert await names("ann", "/dev/") == []


async def test_secrets_are_counted_by_how_they_begin(directory: SqlDirectory) -> None:
    await fill(directory)
    upstream = Upstream(
        account=ACCOUNT, name="aws", definition="{}", created_at=AT, updated_at=AT
    )
    async with directory.change(ACCOUNT) as change:
        await change.put(UPSTREAM, upstream)
        again = replace(key(1, user("ann"), KeyStatus.ACTIVE), sealed_secret=b"\0\xff!")
        await change.update(ACCESS_KEY, again)
    (profile,) = await directory.all_of(LOGIN_PROFILE, ACCOUNT)
    several = (profile.user_id, "AIDAX")
    assert await list_login_profiles(directory, ACCOUNT, several) == (profile,)
    assert await list_login_profiles(directory, OTHER, several) == ()
    assert await list_login_profiles(directory, ACCOUNT, several[1:]) == ()
    assert await count_sealed(directory, 2) == {b"s": 4, b"\0\xff": 1}
    columns = {c for table in METADATA.sorted_tables for c in table.c}
    assert {c for c in columns if c.name.startswith("sealed")} == set(SEALED)
