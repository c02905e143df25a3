"""People and groups of directories, and their tokens, on every database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.model.account import AccountId
from broker.model.entities import SamlProvider
from broker.model.provisioned import ProvisioningCounts, ScimToken
from broker.stores.directory.port.provisioning import ProvisionedQuery
from broker.stores.directory.sql import SqlDirectory
from broker.stores.errors import AlreadyExistsError
from tests.support.provisioned import ACCOUNT, AT, PROVIDER, group, person

OTHER = AccountId("222222222222")
LATER = AT + timedelta(days=1)


def query(**more: Any) -> ProvisionedQuery:
    return ProvisionedQuery(**{"account": ACCOUNT, "provider_id": PROVIDER, **more})


def token(number: int, **more: Any) -> ScimToken:
    given: dict[str, Any] = {
        "account": ACCOUNT,
        "token_id": f"ASCT{number}",
        "provider_id": PROVIDER,
        "provider_arn": "arn:aws:iam::123456789012:saml-provider/Corp",
        "digest": bytes([number]) * 32,
        "created_at": AT + timedelta(seconds=number),
        "expires_at": LATER,
        "addresses": ("10.0.0.0/8",),
    }
    return ScimToken(**{**given, **more})


async def test_people(directory: SqlDirectory) -> None:
    alice = person("SCMU1", "Alice", external_id="7", email="a@b.c", not_before=LATER)
    bob = person("SCMU2", "bob", active=False, created_at=LATER)
    async with directory.change(ACCOUNT) as change:
        await change.insert_provisioned_user(alice)
        await change.insert_provisioned_user(bob)
        with pytest.raises(AlreadyExistsError):
            await change.insert_provisioned_user(person("SCMU3", "ALICE"))
        # Another provider's directory has names of its own.
        await change.insert_provisioned_user(
            person("SCMU4", "Alice", provider_id="OIDCP1")
        )
        with pytest.raises(AlreadyExistsError):
            await change.update_provisioned_user(replace(bob, user_name="aLICE"))
    for wanted, found in (
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
        users, _ = await directory.list_provisioned_users(query(**wanted))
        assert list(users) == found
    assert (await directory.list_provisioned_users(query(limit=1)))[1] == 2
    counts = await directory.provisioning_counts(ACCOUNT, PROVIDER)
    assert counts == ProvisioningCounts(users=2, inactive=1, groups=0)
    find = directory.find_provisioned_user
    assert await find(ACCOUNT, PROVIDER, "SCMU1") == alice
    assert await find(ACCOUNT, PROVIDER, "SCMU4") is None
    assert await find(OTHER, PROVIDER, "SCMU1") is None
    ids = await directory.provisioned_user_ids(
        ACCOUNT, PROVIDER, ["SCMU1", "SCMU4", "SCMU9"]
    )
    assert ids == {"SCMU1"}


async def test_the_departed_are_only_found_as_people(directory: SqlDirectory) -> None:
    gone = person("SCMU1", "alice", external_id="7", departed_at=AT, active=False)
    back = person("SCMU2", "Alice", external_id="8")
    async with directory.change(ACCOUNT) as change:
        await change.insert_provisioned_user(gone)
        await change.insert_provisioned_user(back)
    people = directory.list_provisioned_people
    assert list(await people(ACCOUNT, PROVIDER, "userName", "ALICE")) == [back, gone]
    assert list(await people(ACCOUNT, PROVIDER, "externalId", "7")) == [gone]
    assert list(await people(ACCOUNT, PROVIDER, "emails", "")) == []
    assert await directory.find_provisioned_user(ACCOUNT, PROVIDER, "SCMU1") is None
    assert (await directory.list_provisioned_users(query()))[0] == (back,)
    async with directory.change(ACCOUNT) as change:
        for number in range(3, 6):
            at = AT + timedelta(days=number)
            await change.insert_provisioned_user(
                person(f"SCMU{number}", f"gone{number}", departed_at=at)
            )
        await change.forget_departed_users(ACCOUNT, PROVIDER, keep=2)
    assert not await people(ACCOUNT, PROVIDER, "userName", "gone3")
    assert await people(ACCOUNT, PROVIDER, "userName", "gone4")
    assert list(await people(ACCOUNT, PROVIDER, "userName", "alice")) == [back]


async def test_groups_and_members(directory: SqlDirectory) -> None:
    admins = group("SCMG1", "Admins", external_id="g-1")
    staff = group("SCMG2", "Staff", created_at=LATER)
    async with directory.change(ACCOUNT) as change:
        for number in (1, 2):
            await change.insert_provisioned_user(person(f"SCMU{number}", str(number)))
        await change.insert_provisioned_user(person("SCMU3", "3", departed_at=AT))
        await change.insert_provisioned_group(admins)
        await change.insert_provisioned_group(staff)
        with pytest.raises(AlreadyExistsError):
            await change.insert_provisioned_group(group("SCMG3", "ADMINS"))
        with pytest.raises(AlreadyExistsError):
            await change.update_provisioned_group(replace(staff, name="admins"))
        for _ in range(2):  # who is in it stays
            await change.add_provisioned_members(
                admins, ["SCMU1", "SCMU2", "SCMU3", "SCMU9"]
            )
        await change.add_provisioned_members(staff, ["SCMU1"])
    assert await directory.count_provisioned_members(ACCOUNT, "SCMG1") == 2

    async def pairs(**of: Any) -> list[tuple[str, str]]:
        found = await directory.list_provisioned_memberships(
            ACCOUNT, **{"limit": 10, **of}
        )
        return [(one.group_name, one.user_id) for one in found]

    assert await pairs(group_ids=["SCMG1"]) == [
        ("Admins", "SCMU1"),
        ("Admins", "SCMU2"),
    ]
    assert await pairs(user_ids=["SCMU1"]) == [("Admins", "SCMU1"), ("Staff", "SCMU1")]
    assert await pairs(user_ids=["SCMU1"], group_ids=["SCMG2"]) == [("Staff", "SCMU1")]
    assert await pairs(group_ids=["SCMG1"], limit=1) == [("Admins", "SCMU1")]
    for wanted, found in (
        ({"member_id": "SCMU1"}, [admins, staff]),
        ({"member_id": "SCMU2"}, [admins]),
        ({"name": "STAFF"}, [staff]),
        ({"external_id": "g-1"}, [admins]),
        ({"entity_id": "SCMG2", "member_id": "SCMU2"}, []),
    ):
        groups, total = await directory.list_provisioned_groups(query(**wanted))
        assert (list(groups), total) == (found, len(found))
    async with directory.change(ACCOUNT) as change:
        await change.remove_provisioned_members(admins, ["SCMU2"])
        await change.remove_from_provisioned_groups(person("SCMU1", "1"))
        assert await change.count_provisioned_members(ACCOUNT, "SCMG1") == 0
        await change.add_provisioned_members(admins, ["SCMU1"])
        await change.delete_provisioned_group(admins)
    assert await pairs(user_ids=["SCMU1"]) == []


async def test_tokens(directory: SqlDirectory) -> None:
    async with directory.change(ACCOUNT) as change:
        for number in (2, 1):
            await change.insert_scim_token(token(number))
    assert list(await directory.list_scim_tokens(ACCOUNT)) == [token(1), token(2)]
    assert "digest" not in repr(token(1))
    async with directory.change(ACCOUNT) as change:
        await change.delete_scim_token(token(1))
    assert list(await directory.list_scim_tokens(ACCOUNT)) == [token(2)]
    assert list(await directory.list_scim_tokens(OTHER)) == []
    assert await directory.has_scim_tokens()


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
        await change.insert_saml_provider(provider)
        await change.insert_provisioned_user(person("SCMU1", "alice"))
        await change.insert_provisioned_user(other)
        await change.insert_provisioned_group(group("SCMG1", "Admins"))
        await change.add_provisioned_members(group("SCMG1", "Admins"), ["SCMU1"])
        await change.insert_scim_token(token(1))
        await change.insert_scim_token(token(2, provider_id="OIDCP1"))
        await change.delete_saml_provider(provider)
        memberships = await change.list_provisioned_memberships(
            ACCOUNT, user_ids=["SCMU1"], limit=10
        )
        assert not memberships
    counts = await directory.provisioning_counts(ACCOUNT, PROVIDER)
    assert counts == ProvisioningCounts(users=0, inactive=0, groups=0)
    assert (await directory.provisioning_counts(ACCOUNT, "OIDCP1")).users == 1
    assert [one.token_id for one in await directory.list_scim_tokens(ACCOUNT)] == [
        "ASCT2"
    ]
