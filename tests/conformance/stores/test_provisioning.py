"""People and groups of directories, and their tokens, on every database."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.entities import SamlProvider
from broker.model.provisioned import ProvisioningCounts
from broker.model.registered import ScimToken
from broker.stores.directory.kinds import (
    PROVISIONED_GROUP,
    PROVISIONED_USER,
    SAML_PROVIDER,
    SCIM_TOKEN,
)
from broker.stores.directory.provisioning import (
    ProvisionedQuery,
    add_provisioned_members,
    count_provisioned_members,
    find_provisioned_user,
    forget_departed_users,
    list_provisioned_groups,
    list_provisioned_memberships,
    list_provisioned_people,
    list_provisioned_users,
    provisioned_user_ids,
    provisioning_counts,
    remove_from_provisioned_groups,
    remove_provisioned_members,
    update_provisioned_group,
    update_provisioned_user,
)
from broker.stores.directory.sql import SqlDirectory
from broker.stores.errors import AlreadyExistsError
from tests.support.provisioned import ACCOUNT, AT, PROVIDER, group, person

OTHER = AccountId("222222222222")
LATER = AT + timedelta(days=1)


def query(**more: Any) -> ProvisionedQuery:
    return ProvisionedQuery(**{"account": ACCOUNT, "provider_id": PROVIDER, **more})


def token(number: int, **more: Any) -> ScimToken:
    params: dict[str, Any] = {
        "account": ACCOUNT,
        "token_id": f"ASCT{number}",
        "owner_id": PROVIDER,
        "provider_arn": "arn:aws:iam::123456789012:saml-provider/Corp",
        "digest": bytes([number]) * 32,
        "created_at": AT + timedelta(seconds=number),
        "expires_at": LATER,
        "addresses": ("10.0.0.0/8",),
    }
    return ScimToken(**{**params, **more})


async def test_people(directory: SqlDirectory) -> None:
    alice = person("SCMU1", "Alice", external_id="7", email="a@b.c", not_before=LATER)
    bob = person("SCMU2", "bob", active=False, created_at=LATER)
    async with directory.change(ACCOUNT) as change:
        await change.insert(PROVISIONED_USER, alice)
        await change.insert(PROVISIONED_USER, bob)
        with pytest.raises(AlreadyExistsError):
            await change.insert(PROVISIONED_USER, person("SCMU3", "ALICE"))
        # Another provider's directory has names of its own.
        await change.insert(
            PROVISIONED_USER, person("SCMU4", "Alice", provider_id="OIDCP1")
        )
        with pytest.raises(AlreadyExistsError):
            await update_provisioned_user(change, replace(bob, user_name="aLICE"))
    for wanted, provisioned_users in (
        ({}, [alice, bob]),
        ({"offset": 1}, [bob]),
        ({"limit": 1}, [alice]),
        ({"limit": 0}, []),
        ({"name": "ALICE"}, [alice]),
        ({"external_id": "7"}, [alice]),
        ({"email": "A@B.C"}, [alice]),
        ({"active": False}, [bob]),
        ({"active": True, "name": "bob"}, []),
        ({"entity_id": "SCMU2"}, [bob]),
        ({"entity_id": "SCMU4"}, []),
    ):
        users, _ = await list_provisioned_users(directory, query(**wanted))
        assert list(users) == provisioned_users
    assert (await list_provisioned_users(directory, query(limit=1)))[1] == 2
    counts = await provisioning_counts(directory, ACCOUNT, PROVIDER)
    assert counts == ProvisioningCounts(users=2, inactive=1, groups=0)
    assert await find_provisioned_user(directory, ACCOUNT, PROVIDER, "SCMU1") == alice
    assert await find_provisioned_user(directory, ACCOUNT, PROVIDER, "SCMU4") is None
    assert await find_provisioned_user(directory, OTHER, PROVIDER, "SCMU1") is None
    ids = await provisioned_user_ids(
        directory, ACCOUNT, PROVIDER, ["SCMU1", "SCMU4", "SCMU9"]
    )
    assert ids == {"SCMU1"}


async def test_the_departed_are_only_found_as_people(directory: SqlDirectory) -> None:
    gone = person("SCMU1", "alice", external_id="7", departed_at=AT, active=False)
    back = person("SCMU2", "Alice", external_id="8")
    async with directory.change(ACCOUNT) as change:
        await change.insert(PROVISIONED_USER, gone)
        await change.insert(PROVISIONED_USER, back)
    people = partial(list_provisioned_people, directory)
    assert list(await people(ACCOUNT, PROVIDER, "userName", "ALICE")) == [back, gone]
    assert list(await people(ACCOUNT, PROVIDER, "externalId", "7")) == [gone]
    assert list(await people(ACCOUNT, PROVIDER, "emails", "")) == []
    assert await find_provisioned_user(directory, ACCOUNT, PROVIDER, "SCMU1") is None
    assert (await list_provisioned_users(directory, query()))[0] == (back,)
    async with directory.change(ACCOUNT) as change:
        for number in range(3, 6):
            at = AT + timedelta(days=number)
            await change.insert(
                PROVISIONED_USER,
                person(f"SCMU{number}", f"gone{number}", departed_at=at),
            )
        await forget_departed_users(change, ACCOUNT, PROVIDER, keep=2)
    assert not await people(ACCOUNT, PROVIDER, "userName", "gone3")
    assert await people(ACCOUNT, PROVIDER, "userName", "gone4")
    assert list(await people(ACCOUNT, PROVIDER, "userName", "alice")) == [back]


async def test_groups_and_members(directory: SqlDirectory) -> None:
    admins = group("SCMG1", "Admins", external_id="g-1")
    staff = group("SCMG2", "Staff", created_at=LATER)
    async with directory.change(ACCOUNT) as change:
        for number in (1, 2):
            await change.insert(PROVISIONED_USER, person(f"SCMU{number}", str(number)))
        await change.insert(PROVISIONED_USER, person("SCMU3", "3", departed_at=AT))
        await change.insert(PROVISIONED_GROUP, admins)
        await change.insert(PROVISIONED_GROUP, staff)
        with pytest.raises(AlreadyExistsError):
            await change.insert(PROVISIONED_GROUP, group("SCMG3", "ADMINS"))
        with pytest.raises(AlreadyExistsError):
            await update_provisioned_group(change, replace(staff, name="admins"))
        for _ in range(2):  # who is in it stays
            await add_provisioned_members(
                change, admins, ["SCMU1", "SCMU2", "SCMU3", "SCMU9"]
            )
        await add_provisioned_members(change, staff, ["SCMU1"])
    assert await count_provisioned_members(directory, ACCOUNT, "SCMG1") == 2

    async def pairs(**of: Any) -> list[tuple[str, str]]:
        memberships = await list_provisioned_memberships(
            directory, ACCOUNT, **{"limit": 10, **of}
        )
        return [
            (membership.group_name, membership.user_id) for membership in memberships
        ]

    assert await pairs(group_ids=["SCMG1"]) == [
        ("Admins", "SCMU1"),
        ("Admins", "SCMU2"),
    ]
    assert await pairs(user_ids=["SCMU1"]) == [("Admins", "SCMU1"), ("Staff", "SCMU1")]
    assert await pairs(user_ids=["SCMU1"], group_ids=["SCMG2"]) == [("Staff", "SCMU1")]
    assert await pairs(group_ids=["SCMG1"], limit=1) == [("Admins", "SCMU1")]
    for wanted, provisioned_groups in (
        ({"member_id": "SCMU1"}, [admins, staff]),
        ({"member_id": "SCMU2"}, [admins]),
        ({"name": "STAFF"}, [staff]),
        ({"external_id": "g-1"}, [admins]),
        ({"entity_id": "SCMG2", "member_id": "SCMU2"}, []),
    ):
        groups, total = await list_provisioned_groups(directory, query(**wanted))
        assert (list(groups), total) == (provisioned_groups, len(provisioned_groups))
    async with directory.change(ACCOUNT) as change:
        await remove_provisioned_members(change, admins, ["SCMU2"])
        await remove_from_provisioned_groups(change, person("SCMU1", "1"))
        assert await count_provisioned_members(change, ACCOUNT, "SCMG1") == 0
        await add_provisioned_members(change, admins, ["SCMU1"])
        await change.remove(PROVISIONED_GROUP, admins)
    assert await pairs(user_ids=["SCMU1"]) == []


async def test_a_deleted_provider_takes_all_of_it_along(
    directory: SqlDirectory,
) -> None:
    provider = SamlProvider(
        account=ACCOUNT,
        uuid=PROVIDER,
        name="Corp",
        metadata="<m/>",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        valid_until=datetime(2027, 1, 1, tzinfo=UTC),
    )
    other = person("SCMU2", "bob", provider_id="OIDCP1")
    async with directory.change(ACCOUNT) as change:
        await change.insert(SAML_PROVIDER, provider)
        await change.insert(PROVISIONED_USER, person("SCMU1", "alice"))
        await change.insert(PROVISIONED_USER, other)
        await change.insert(PROVISIONED_GROUP, group("SCMG1", "Admins"))
        await add_provisioned_members(change, group("SCMG1", "Admins"), ["SCMU1"])
        await change.insert(SCIM_TOKEN, token(1))
        await change.insert(SCIM_TOKEN, token(2, owner_id="OIDCP1"))
        await change.remove(SAML_PROVIDER, provider)
        memberships = await list_provisioned_memberships(
            change, ACCOUNT, user_ids=["SCMU1"], limit=10
        )
        assert not memberships
    counts = await provisioning_counts(directory, ACCOUNT, PROVIDER)
    assert counts == ProvisioningCounts(users=0, inactive=0, groups=0)
    assert (await provisioning_counts(directory, ACCOUNT, "OIDCP1")).users == 1
    assert [
        scim_token.token_id
        for scim_token in await directory.all_of(SCIM_TOKEN, ACCOUNT)
    ] == ["ASCT2"]
