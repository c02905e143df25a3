"""What the hot path remembers is never older than a change of the same worker.

Nor, after a poll, than a change of another; and what did not change is not read again.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy.sql import Executable

from broker.model.account import AccountId, format_access_key_id
from broker.model.entities import (
    InlinePolicy,
    KeyStatus,
    LdapProvider,
    LoginProfile,
    PolicyVersion,
)
from broker.model.machines import InstanceProfile
from broker.model.revocation import Revocation
from broker.model.roles_anywhere import CertificateProfile, TrustAnchor
from broker.model.upstream import Upstream
from broker.runtime.bounded import CacheMemory
from broker.stores.directory import changed_rows, kinds, readings, sql
from broker.stores.directory.accounts import (
    insert_account,
    remove_account,
    update_account,
)
from broker.stores.directory.changed_rows import ChangedRows
from broker.stores.directory.freshness import Freshness
from broker.stores.directory.identities import (
    add_member,
    find_access_key,
    insert_access_key,
)
from broker.stores.directory.kinds import (
    ACCESS_KEY,
    CERTIFICATE_LIST,
    CERTIFICATE_PROFILE,
    INSTANCE,
    INSTANCE_PROFILE,
    LDAP_PROVIDER,
    LOGIN_PROFILE,
    MANAGED_POLICY,
    OIDC_PROVIDER,
    PROVISIONED_GROUP,
    PROVISIONED_USER,
    RESOURCE_POLICY,
    SAML_PROVIDER,
    SERVICE_TOKEN,
    TRUST_ANCHOR,
)
from broker.stores.directory.policies import (
    attach_policy,
    insert_policy_version,
    put_inline_policy,
)
from broker.stores.directory.port import DirectoryChange
from broker.stores.directory.provisioning import (
    add_provisioned_members,
    delay_provisioned_users,
    update_provisioned_group,
    update_provisioned_user,
)
from broker.stores.directory.readings import (
    GROUP_IDS,
    POLICIES_OF,
    TOKENS,
    FreshDirectory,
    any_rows,
)
from broker.stores.directory.sql import SqlDirectory
from broker.stores.schema import ACCESS_KEYS
from tests.conformance.stores import test_instances, test_provisioning
from tests.conformance.stores.test_directory import (
    ACCOUNT,
    AT,
    make_account,
    make_key,
    make_oidc,
    make_policy,
    make_role,
    make_saml,
    make_user,
)
from tests.conformance.stores.test_groups import make_group
from tests.conformance.stores.test_kinds import of
from tests.support.policies import insert_policy
from tests.support.provisioned import group, person

USER = make_user("ann")
ROLE = make_role("reader")
KEY = make_key(format_access_key_id("AKIA", ACCOUNT, 1), USER.user_id)
SAML = make_saml("idp")
OIDC = make_oidc("https://idp.example.com/x")
LDAP = LdapProvider(
    account=ACCOUNT, unique_id="LDAPP1", name="corp", directory="d", created_at=AT
)
PROFILE = LoginProfile(
    account=ACCOUNT, user_id=USER.user_id, sealed=b"1", created_at=AT, changed_at=AT
)
GROUP, POLICY = make_group("team"), make_policy("Shared")
POLICY_ARN = f"arn:aws:iam::{ACCOUNT}:policy/Shared"
ANCHOR = TrustAnchor(
    account=ACCOUNT,
    anchor_id="a",
    region="eu-west-3",
    name="anchor",
    certificates="",
    enabled=True,
    created_at=AT,
    updated_at=AT,
)
CERTIFICATES = CertificateProfile(
    account=ACCOUNT,
    profile_id="p",
    region="eu-west-3",
    name="profile",
    role_arns=(),
    managed_policy_arns=(),
    session_policy=None,
    duration_seconds=3600,
    accepts_session_name=True,
    attribute_mappings={},
    enabled=True,
    created_by="",
    created_at=AT,
    updated_at=AT,
)
LIST = replace(of(kinds.CERTIFICATE_LIST, 1), account=ACCOUNT, anchor_id="a")
SERVICE = replace(of(kinds.SERVICE, 1), account=ACCOUNT)
TOKEN, SECOND_TOKEN = (
    replace(of(SERVICE_TOKEN, number), account=ACCOUNT, owner_id=SERVICE.service_id)
    for number in (1, 2)
)
RESOURCE = replace(of(RESOURCE_POLICY, 1), account=ACCOUNT)
MACHINE = test_instances.instance(1, account=ACCOUNT)
MACHINES = InstanceProfile(
    account=ACCOUNT, profile_id="AIPA1", name="m", path="/", created_at=AT
)
UPSTREAM = Upstream(
    account=ACCOUNT, name="up", definition="{}", created_at=AT, updated_at=AT
)
SCIM_TOKEN = test_provisioning.token(1, account=ACCOUNT)
PERSON = person("SCMU1", "Alice", account=ACCOUNT, email="a@b.c", external_id="7")
PEOPLE = group("SCMG1", "Admins", account=ACCOUNT)

Change = Callable[[DirectoryChange], Awaitable[object]]
SETTING_UP: tuple[Change, ...] = (
    lambda to: insert_account(to, make_account()),
    lambda to: to.insert(kinds.USER, USER),
    lambda to: to.insert(kinds.ROLE, ROLE),
    lambda to: insert_access_key(to, KEY),
    lambda to: to.insert(LOGIN_PROFILE, PROFILE),
    lambda to: to.insert(SAML_PROVIDER, SAML),
    lambda to: to.insert(OIDC_PROVIDER, OIDC),
    lambda to: to.insert(LDAP_PROVIDER, LDAP),
    lambda to: to.insert(kinds.GROUP, GROUP),
    lambda to: insert_policy(to, POLICY),
    lambda to: to.insert(TRUST_ANCHOR, ANCHOR),
    lambda to: to.insert(CERTIFICATE_PROFILE, CERTIFICATES),
    lambda to: to.insert(CERTIFICATE_LIST, LIST),
    lambda to: to.insert(kinds.SERVICE, SERVICE),
    lambda to: to.insert(SERVICE_TOKEN, TOKEN),
    lambda to: to.put(RESOURCE_POLICY, RESOURCE),
    lambda to: to.insert(INSTANCE, MACHINE),
    lambda to: to.insert(INSTANCE_PROFILE, MACHINES),
    lambda to: to.put(kinds.UPSTREAM, UPSTREAM),
    lambda to: to.insert(kinds.SCIM_TOKEN, SCIM_TOKEN),
    lambda to: to.insert(PROVISIONED_USER, PERSON),
    lambda to: to.insert(PROVISIONED_GROUP, PEOPLE),
    lambda to: add_provisioned_members(to, PEOPLE, [PERSON.user_id]),
)


def inline(owner_id: str) -> InlinePolicy:
    return InlinePolicy(account=ACCOUNT, owner_id=owner_id, name="x", document="{}")


async def set_version(change: DirectoryChange) -> None:
    version = PolicyVersion(version_id="v2", document="{ }", created_at=AT)
    await insert_policy_version(change, POLICY, version)
    await change.update(MANAGED_POLICY, replace(POLICY, default_version=version))


CHANGES: dict[str, Change] = {
    "account": lambda to: update_account(to, make_account(alias="other")),
    "user": lambda to: to.update(kinds.USER, replace(USER, path="/new/")),
    "renamed": lambda to: to.update(kinds.USER, replace(USER, name="bob")),
    "role": lambda to: to.update(kinds.ROLE, replace(ROLE, path="/new/")),
    "key": lambda to: to.update(ACCESS_KEY, replace(KEY, status=KeyStatus.INACTIVE)),
    "profile": lambda to: to.update(LOGIN_PROFILE, replace(PROFILE, sealed=b"2")),
    "saml": lambda to: to.update(SAML_PROVIDER, replace(SAML, metadata="<new/>")),
    "oidc": lambda to: to.update(OIDC_PROVIDER, replace(OIDC, client_ids=("c",))),
    "ldap": lambda to: to.update(LDAP_PROVIDER, replace(LDAP, directory="e")),
    "revocation": lambda to: to.revoke(
        Revocation(
            account=ACCOUNT,
            target=ROLE.role_id,
            not_before_ms=1,
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )
    ),
    "member": lambda to: add_member(to, ACCOUNT, GROUP.group_id, USER.user_id),
    "inline": lambda to: put_inline_policy(to, inline(USER.user_id)),
    "inline of a group": lambda to: put_inline_policy(to, inline(GROUP.group_id)),
    "attached": lambda to: attach_policy(to, ACCOUNT, USER.user_id, POLICY_ARN),
    "policy": set_version,
    "anchor": lambda to: to.update(TRUST_ANCHOR, replace(ANCHOR, enabled=False)),
    "certificates": lambda to: to.update(
        CERTIFICATE_PROFILE, replace(CERTIFICATES, enabled=False)
    ),
    "list": lambda to: to.update(CERTIFICATE_LIST, replace(LIST, data=b"another")),
    "service": lambda to: to.update(kinds.SERVICE, replace(SERVICE, definition="{ }")),
    "token": lambda to: to.insert(SERVICE_TOKEN, SECOND_TOKEN),
    "resource": lambda to: to.put(RESOURCE_POLICY, replace(RESOURCE, document="{ }")),
    "machine": lambda to: to.update(INSTANCE, replace(MACHINE, profile_id=None)),
    "machines": lambda to: to.update(INSTANCE_PROFILE, replace(MACHINES, role_id="r")),
    "upstream": lambda to: to.put(kinds.UPSTREAM, replace(UPSTREAM, definition="{ }")),
    "person": lambda to: update_provisioned_user(to, replace(PERSON, active=False)),
    "people": lambda to: delay_provisioned_users(to, ACCOUNT, [PERSON.user_id], AT),
    "email": lambda to: update_provisioned_user(to, replace(PERSON, email="x@b.c")),
    "group": lambda to: update_provisioned_group(to, replace(PEOPLE, name="Staff")),
    "no user": lambda to: to.remove(kinds.USER, USER),
    "no role": lambda to: to.remove(kinds.ROLE, ROLE),
    "no key": lambda to: to.remove(ACCESS_KEY, KEY),
    "no profile": lambda to: to.remove(LOGIN_PROFILE, PROFILE),
    "no saml": lambda to: to.remove(SAML_PROVIDER, SAML),
    "no oidc": lambda to: to.remove(OIDC_PROVIDER, OIDC),
    "no ldap": lambda to: to.remove(LDAP_PROVIDER, LDAP),
    "no policy": lambda to: to.remove(MANAGED_POLICY, POLICY),
    "no list": lambda to: to.remove(CERTIFICATE_LIST, LIST),
    "no anchor": lambda to: to.remove(TRUST_ANCHOR, ANCHOR),
    "no certificates": lambda to: to.remove(CERTIFICATE_PROFILE, CERTIFICATES),
    "no token": lambda to: to.remove(SERVICE_TOKEN, TOKEN),
    "no service": lambda to: to.remove(kinds.SERVICE, SERVICE),
    "no resource": lambda to: to.remove(RESOURCE_POLICY, RESOURCE),
    "no machine": lambda to: to.remove(INSTANCE, MACHINE),
    "no machines": lambda to: to.remove(INSTANCE_PROFILE, MACHINES),
    "no upstream": lambda to: to.remove(kinds.UPSTREAM, UPSTREAM),
    "no scim": lambda to: to.remove(kinds.SCIM_TOKEN, SCIM_TOKEN),
    "no group": lambda to: to.remove(PROVISIONED_GROUP, PEOPLE),
    "no directory": lambda to: to.remove(
        kinds.SAML_PROVIDER, replace(SAML, uuid=PERSON.provider_id)
    ),
    "no account": lambda to: remove_account(to, make_account(ACCOUNT)),
}


async def look(directory: FreshDirectory) -> list[object]:
    """All that is remembered."""
    people = [
        await directory.provisioned_person(ACCOUNT, PERSON.provider_id, *by)
        for by in (("userName", "ALICE"), ("emails", "A@b.c"), ("externalId", "7"))
    ]
    return [
        await directory.find(kinds.ACCOUNT, ACCOUNT),
        await directory.named(kinds.ROLE, ACCOUNT, "READER"),
        await directory.find(kinds.ROLE, ACCOUNT, ROLE.role_id),
        await directory.named(kinds.USER, ACCOUNT, "ANN"),
        await directory.named(kinds.USER, ACCOUNT, "bob"),
        await directory.find(kinds.USER, ACCOUNT, USER.user_id),
        await directory.find(LOGIN_PROFILE, ACCOUNT, USER.user_id),
        await find_access_key(directory, KEY.access_key_id),
        await directory.named(SAML_PROVIDER, ACCOUNT, SAML.name),
        await directory.named(OIDC_PROVIDER, ACCOUNT, "idp.example.com/x"),
        await directory.named(LDAP_PROVIDER, ACCOUNT, LDAP.name),
        await directory.revocations(ACCOUNT),
        await directory.read(ACCOUNT, POLICIES_OF, USER.user_id),
        await directory.read(ACCOUNT, POLICIES_OF, GROUP.group_id),
        await directory.read(ACCOUNT, GROUP_IDS, USER.user_id),
        await directory.policy_in_force(ACCOUNT, "SHARED"),
        await directory.find(TRUST_ANCHOR, ACCOUNT, ANCHOR.anchor_id),
        await directory.find(CERTIFICATE_PROFILE, ACCOUNT, CERTIFICATES.profile_id),
        await directory.read(ACCOUNT, readings.LISTS_OF_ANCHOR, ANCHOR.anchor_id),
        await directory.named(kinds.SERVICE, ACCOUNT, SERVICE.name),
        await directory.read(ACCOUNT, TOKENS[SERVICE_TOKEN]),
        await directory.read(ACCOUNT, readings.RESOURCE_POLICY_ARNS),
        await directory.find(RESOURCE_POLICY, ACCOUNT, RESOURCE.arn),
        await directory.find(INSTANCE, ACCOUNT, MACHINE.instance_id),
        await directory.count(INSTANCE, ACCOUNT),
        await directory.find(INSTANCE_PROFILE, ACCOUNT, MACHINES.profile_id),
        await directory.all_of(kinds.UPSTREAM, ACCOUNT),
        await directory.find(kinds.UPSTREAM, ACCOUNT, UPSTREAM.name),
        await directory.read(ACCOUNT, TOKENS[kinds.SCIM_TOKEN]),
        *people,
    ]


class Memories:
    """Of a worker, of another, and of one that has just started."""

    def __init__(
        self, directory: SqlDirectory, elsewhere: SqlDirectory, clock: Any
    ) -> None:
        self.directory, self.clock = directory, clock
        self.mine = Freshness(directory, clock, memory=CacheMemory())
        directory.on_commit(self.mine.observed)
        self.other = Freshness(elsewhere, clock, memory=CacheMemory())
        self.fresh = FreshDirectory(self.mine)
        self.others = FreshDirectory(self.other)

    async def truth(self) -> list[object]:
        return await look(FreshDirectory(Freshness(self.directory, self.clock)))

    async def change(self, *changes: Change) -> None:
        async with self.directory.change(ACCOUNT) as opened:
            for change in changes:
                await change(opened)


@pytest.fixture
async def memories(
    directory: SqlDirectory, other_directory: SqlDirectory, clock: Any
) -> AsyncIterator[Memories]:
    """Everything is there, and remembered."""
    made = Memories(directory, other_directory, clock)
    await made.change(*SETTING_UP)
    assert await look(made.fresh) == await look(made.others) == await made.truth()
    yield made
    await made.mine.close()
    await made.other.close()


async def test_each_change_is_seen_at_once_where_it_was_made_and_elsewhere_by_a_poll(
    memories: Memories,
) -> None:
    before = await look(memories.fresh)
    for name, change in CHANGES.items():
        await memories.change(change)
        truth = await memories.truth()
        assert await look(memories.fresh) == truth != before, name
        await memories.other.check()
        assert await look(memories.others) == truth, name
        before = truth


async def noted(memories: Memories, since: int = 1) -> Mapping[int, ChangedRows]:
    changes = (await memories.directory.changes({ACCOUNT: since}))[ACCOUNT]
    return {change.generation: rows for change, rows in changes.items()}


async def test_many_accounts_that_change_at_once_are_polled_together(
    memories: Memories, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [AccountId(f"{number:012d}") for number in range(100, 130)]
    for account in accounts:
        await memories.others.find(kinds.ACCOUNT, account)
        async with memories.directory.change(account) as change:
            await insert_account(change, make_account(account))
    monkeypatch.setattr(sql, "_CHANGED_A_QUERY", 20)
    asked = 0
    watched_rows = SqlDirectory.watched_rows

    async def count(directory: SqlDirectory, statement: Executable) -> Any:
        nonlocal asked
        asked += 1
        return await watched_rows(directory, statement)

    monkeypatch.setattr(SqlDirectory, "watched_rows", count)
    await memories.other.check()
    assert asked == 1 + 2
    for account in accounts:
        assert await memories.others.find(kinds.ACCOUNT, account) == make_account(
            account
        )


async def test_a_change_of_more_rows_than_are_named_counts_for_all(
    memories: Memories, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (changed_rows, sql):
        monkeypatch.setattr(module, "ROWS_MAX", 2)
    for number in range(3):
        key = make_key(format_access_key_id("AKIA", ACCOUNT, number + 2), USER.user_id)
        await memories.change(lambda to, key=key: insert_access_key(to, key))
    deleted = ACCESS_KEYS.delete().where(ACCESS_KEYS.c.account == ACCOUNT)
    await memories.change(lambda to: to.run(deleted))  # type: ignore[attr-defined]
    (rows,) = (await noted(memories, since=5)).values()
    assert json.loads(rows.dump()) == {"access_keys": None}
    await memories.other.check()
    for fresh in (memories.fresh, memories.others):
        assert await find_access_key(fresh, KEY.access_key_id) is None


async def test_only_the_latest_changes_are_on_record(
    memories: Memories, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in (("CHANGES_KEPT", 4), ("CHANGES_A_DELETE", 3)):
        monkeypatch.setattr(sql, name, number)
    for _ in range(11):
        await memories.change()
    assert [*await noted(memories)] == [*range(9, 13)]
    await memories.change(CHANGES["no account"])
    left = await noted(memories)
    assert [*left] == [*range(9, 14)]
    assert {rows.dump() for rows in [*left.values()][:-1]} == {any_rows().dump()}


async def test_what_another_change_left_alone_is_not_read_again(
    memories: Memories, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = replace(USER, name="bob", user_id="AIDABOB")
    await memories.change(lambda to: to.insert(kinds.USER, bob))
    await memories.other.check()

    async def read(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(SqlDirectory, "find", read)
    for fresh in (memories.fresh, memories.others):
        assert await find_access_key(fresh, KEY.access_key_id) == KEY
        assert await fresh.find(kinds.ACCOUNT, ACCOUNT) == make_account()
        assert await fresh.find(kinds.USER, ACCOUNT, USER.user_id) == USER
