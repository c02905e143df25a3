"""What the directory's port promises."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from broker.errors import ValidationError
from broker.model.account import Account, AccountId, format_access_key_id
from broker.model.audit import AuditRecord
from broker.model.document import UNREAD
from broker.model.entities import (
    AccessKey,
    EncryptionMode,
    InlinePolicy,
    KeyStatus,
    ManagedPolicy,
    OidcProvider,
    PolicyVersion,
    Role,
    SamlPrivateKey,
    SamlProvider,
    User,
)
from broker.model.page import PageRequest
from broker.model.revocation import REVOCATION_LIFE, Revocation
from broker.stores.directory import kinds
from broker.stores.directory.accounts import (
    find_account_by_alias,
    find_saml_provider_by_uuid,
    insert_account,
    list_accounts,
    list_published_saml_providers,
    remove_account,
    update_account,
)
from broker.stores.directory.identities import (
    find_access_key,
    insert_access_key,
    list_roles_naming,
    list_roles_with,
)
from broker.stores.directory.kinds import (
    ACCESS_KEY,
    MANAGED_POLICY,
    OIDC_PROVIDER,
    ROLE,
    SAML_PROVIDER,
    USER,
)
from broker.stores.directory.policies import (
    attach_policy,
    count_attached_owners,
    count_bounded_owners,
    count_used_policies,
    delete_inline_policy,
    delete_policy_version,
    detach_policy,
    insert_policy_version,
    list_attached_owners,
    list_attached_policies,
    list_attachments,
    list_inline_policies,
    list_policy_versions,
    list_used_policy_arns,
    put_inline_policy,
)
from broker.stores.directory.sql import SqlDirectory
from broker.stores.directory.timeline import NEVER, ChangeId
from broker.stores.errors import (
    AlreadyExistsError,
    StoreUnavailableError,
    UnstorableTextError,
    refusal_of,
)
from broker.stores.ledger.port import Ledger
from broker.stores.urls import DatabaseLocation, SqliteLocation
from tests.support.policies import insert_policy

ACCOUNT = AccountId("000000000001")
OTHER = AccountId("000000000002")
AT = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)
TRUST = '{"Version":"2012-10-17","Statement":[]}'


def make_account(account_id: AccountId = ACCOUNT, alias: str | None = None) -> Account:
    return Account(
        account_id=account_id,
        alias=alias,
        session_salt=b"\x00salt" * 6,
        created_at=AT,
        quotas={"roles": 5},
        options={"a": ["b", {"c": None}]},
    )


def make_user(name: str, user_id: str = "", path: str = "/") -> User:
    return User(
        account=ACCOUNT,
        user_id=user_id or f"AIDA{name.upper()}",
        name=name,
        path=path,
        created_at=AT,
        tags={"Zoo": "1", "apple": "ä\u2028"},
        boundary_arn=None,
    )


def make_role(name: str, role_id: str = "", path: str = "/") -> Role:
    return Role(
        account=ACCOUNT,
        role_id=role_id or f"AROA{name.upper()}",
        name=name,
        path=path,
        trust_policy=TRUST,
        created_at=AT,
        description="x",
        max_session_duration_seconds=7200,
        tags={"b": "2", "a": "1"},
    )


def make_policy(name: str, path: str = "/") -> ManagedPolicy:
    return ManagedPolicy(
        account=ACCOUNT,
        policy_id=f"ANPA{name.upper()}",
        name=name,
        path=path,
        description=None,
        default_version=PolicyVersion(version_id="v1", document="{1}", created_at=AT),
        next_version=2,
        created_at=AT,
        updated_at=AT,
        tags={"k": "v"},
    )


def key_id(number: int) -> str:
    return format_access_key_id("AKIA", ACCOUNT, number)


def make_key(
    access_key_id: str, user_id: str | None, created_at: datetime = AT
) -> AccessKey:
    return AccessKey(
        account=ACCOUNT,
        access_key_id=access_key_id,
        user_id=user_id,
        status=KeyStatus.ACTIVE,
        sealed_secret=b"\x00\xffsealed",
        created_at=created_at,
    )


def make_saml(name: str, uuid: str = "SAMLSP1") -> SamlProvider:
    return SamlProvider(
        account=ACCOUNT,
        uuid=uuid,
        name=name,
        metadata="<xml/>",
        created_at=AT,
        valid_until=AT + timedelta(days=9),
        encryption_mode=EncryptionMode.REQUIRED,
        private_keys=(
            SamlPrivateKey(key_id="SAMLPK1", created_at=AT, sealed_pem=b"\x00\xfe"),
        ),
        tags={"a": "b"},
        options={"profile": "aws"},
    )


def make_oidc(url: str, unique_id: str = "OIDCP1") -> OidcProvider:
    return OidcProvider(
        account=ACCOUNT,
        unique_id=unique_id,
        url=url,
        client_ids=("b", "a"),
        thumbprints=("f" * 40,),
        created_at=AT,
        options={"one_time": True},
    )


def make_record(event_id: str) -> AuditRecord:
    return AuditRecord(
        event_id=event_id, at=AT, account=ACCOUNT, door="api", action="iam:CreateRole"
    )


class ExpectedError(Exception):
    """Raised inside a change to roll it back."""


async def test_providers_with_a_metadata_url_are_found_in_every_account(
    directory: SqlDirectory,
) -> None:
    watched = [
        replace(
            make_saml("okta", f"SAMLSP{number}"),
            account=account,
            options={"MetadataUrl": "https://idp.example/m"},
        )
        for number, account in enumerate((ACCOUNT, OTHER))
    ]
    for provider in watched:
        async with directory.change(provider.account) as change:
            await insert_account(change, make_account(provider.account))
            await change.insert(SAML_PROVIDER, provider)
            plain = make_saml("plain", f"SAMLSPX{provider.account}")
            await change.insert(SAML_PROVIDER, replace(plain, account=provider.account))
    listed = await list_published_saml_providers(directory)
    assert listed == tuple(replace(provider, metadata=UNREAD) for provider in watched)


async def test_roles_are_found_by_a_text_of_their_trust_policy(
    directory: SqlDirectory,
) -> None:
    async with directory.change(ACCOUNT) as change:
        await insert_account(change, make_account())
        for name in ("Zed", "amy", "Bob"):
            trust = '{"Principal":"100%_of"}' if name != "Bob" else '{"100_":"%of"}'
            await change.insert(ROLE, replace(make_role(name), trust_policy=trust))
    async with directory.change(OTHER) as change:
        await insert_account(change, make_account(OTHER))
        other = replace(make_role("other"), account=OTHER, trust_policy="100%_of")
        await change.insert(ROLE, other)
    naming = await list_roles_naming(directory, ACCOUNT, "100%_of", 9)
    assert [role.name for role in naming] == ["amy", "Zed"]
    assert len(await list_roles_naming(directory, ACCOUNT, "100%_of", 1)) == 1


async def test_a_nul_is_no_outage(
    directory: SqlDirectory, location: DatabaseLocation
) -> None:
    search = list_roles_with(directory, ACCOUNT, "a\0", PageRequest())
    if isinstance(location, SqliteLocation):
        assert (await search).items == ()
        return
    with pytest.raises(UnstorableTextError) as failed:
        await search
    assert refusal_of(failed.value).status == 400


async def test_an_alias_belongs_to_one_account(directory: SqlDirectory) -> None:
    async with directory.change(ACCOUNT) as change:
        await insert_account(change, make_account(alias="acme"))
        with pytest.raises(AlreadyExistsError, match="account"):
            await insert_account(change, make_account())
    async with directory.change(OTHER) as change:
        with pytest.raises(AlreadyExistsError, match="alias"):
            await insert_account(change, make_account(OTHER, "acme"))
        await insert_account(change, make_account(OTHER))
        with pytest.raises(AlreadyExistsError, match="alias"):
            await update_account(change, make_account(OTHER, "acme"))
        await update_account(change, make_account(OTHER, "umbrella"))
    other = make_account(OTHER, "umbrella")
    assert await find_account_by_alias(directory, "umbrella") == other
    assert await list_accounts(directory) == (make_account(alias="acme"), other)


async def test_an_access_key_id_is_never_used_again(directory: SqlDirectory) -> None:
    key = make_key(key_id(1), None)
    async with directory.change(ACCOUNT) as change:
        await insert_access_key(change, key)
        await change.remove(ACCESS_KEY, key)
    for gone in (key_id(1), "no id", "Ann\0"):
        assert await find_access_key(directory, gone) is None
    async with directory.change(OTHER) as change:
        with pytest.raises(AlreadyExistsError, match="access key"):
            await insert_access_key(change, replace(key, account=OTHER))


async def test_keys_are_listed_by_owner_oldest_first(directory: SqlDirectory) -> None:
    later = AT + timedelta(microseconds=1)
    async with directory.change(ACCOUNT) as change:
        await insert_access_key(change, make_key(key_id(2), "AIDA1", later))
        await insert_access_key(change, make_key(key_id(3), "AIDA1"))
        await insert_access_key(change, make_key(key_id(4), None))
        inactive = replace(make_key(key_id(4), None), status=KeyStatus.INACTIVE)
        await change.update(ACCESS_KEY, inactive)
    owned = await directory.all_of(ACCESS_KEY, ACCOUNT, user_id="AIDA1")
    assert [key.access_key_id for key in owned] == [key_id(3), key_id(2)]
    assert await directory.all_of(ACCESS_KEY, ACCOUNT, user_id=None) == (inactive,)


async def test_pages_go_by_name_and_list_what_stays_exactly_once(
    directory: SqlDirectory,
) -> None:
    names = [f"user{n:02d}" for n in range(10)] + ["_x", "Zed", "USER05a"]
    async with directory.change(ACCOUNT) as change:
        for name in names:
            await change.insert(USER, make_user(name))
    seen: list[str] = []
    marker = None
    for turn in range(20):
        page = await directory.page_of(USER, ACCOUNT, PageRequest(marker, 3))
        seen += [user.name for user in page.items]
        marker = page.marker
        if marker is None:
            break
        async with directory.change(ACCOUNT) as change:
            await change.insert(USER, make_user(f"user00{turn}"))
            await change.remove(USER, make_user("_x"))
    assert marker is None
    assert [name for name in seen if name in names] == sorted(names, key=str.lower)


async def test_a_marker_of_another_list_is_refused(directory: SqlDirectory) -> None:
    for marker in ("%%%", "é", "A", "/wA="):
        with pytest.raises(ValidationError, match="Invalid Marker"):
            await directory.page_of(ROLE, ACCOUNT, PageRequest(marker))


async def test_a_path_prefix_is_taken_literally(directory: SqlDirectory) -> None:
    async with directory.change(ACCOUNT) as change:
        await change.insert(ROLE, make_role("a", path="/Team/"))
        await change.insert(ROLE, make_role("b", path="/team/x/"))
        await change.insert(ROLE, make_role("c", path="/t%am/"))
    for prefix, expected in [("/team/", ["b"]), ("/t%", ["c"]), ("/", ["a", "b", "c"])]:
        page = await directory.page_of(ROLE, ACCOUNT, PageRequest(), under=prefix)
        assert [role.name for role in page.items] == expected


async def test_roles_are_found_by_a_part_of_name_or_description(
    directory: SqlDirectory,
) -> None:
    async with directory.change(ACCOUNT) as change:
        await change.insert(ROLE, make_role("Reader"))
        for name, about in (("b_b", "Reads 100 %"), ("Über", "Ärzte"), ("cx", "a_b")):
            await change.insert(ROLE, replace(make_role(name), description=about))

    async def names(part: str, limit: int = 10) -> list[str]:
        page = await list_roles_with(directory, ACCOUNT, part, PageRequest(None, limit))
        return [role.name for role in page.items]

    assert await names("READ") == ["b_b", "Reader"]
    assert await names("READ", 1) == ["b_b"]
    assert await names("%") == ["b_b"]
    assert await names("_b") == ["b_b", "cx"]
    assert await names("Ärzte") == ["Über"]
    assert await names("nothing") == []
    assert len(await names("")) == 4


async def test_managed_policies_count_their_uses(directory: SqlDirectory) -> None:
    policy = make_policy("Read", path="/x/")
    boundary = replace(make_user("Ann"), boundary_arn=policy.arn)
    async with directory.change(ACCOUNT) as change:
        await insert_policy(change, policy)
        await insert_policy(change, make_policy("Idle"))
        await change.insert(USER, boundary)
        assert await attach_policy(change, ACCOUNT, "AROA1", policy.arn)
        assert not await attach_policy(change, ACCOUNT, "AROA1", policy.arn)
        assert await attach_policy(change, ACCOUNT, "AIDA1", policy.arn)
        aws = "arn:aws:iam::aws:policy/ReadOnlyAccess"
        assert await attach_policy(change, ACCOUNT, "AIDA1", aws)
    managed_policy = await directory.named(MANAGED_POLICY, ACCOUNT, "read")
    assert managed_policy == replace(policy, attachment_count=2, boundary_count=1)
    counts = await count_attached_owners(directory, ACCOUNT, [policy.arn, "arn:none"])
    owners = await list_attached_owners(directory, ACCOUNT, policy.arn)
    assert counts == {policy.arn: len(owners)}
    bounds = await count_bounded_owners(directory, ACCOUNT, [policy.arn, aws])
    assert bounds == {policy.arn: 1}
    assert await count_used_policies(directory, ACCOUNT) == 2
    everything = await list_used_policy_arns(directory, ACCOUNT, "arn:")
    assert everything == tuple(sorted((policy.arn, aws)))
    assert await list_used_policy_arns(directory, ACCOUNT, aws[:-1]) == (aws,)
    assert await list_used_policy_arns(directory, ACCOUNT, aws[:-1] + "%") == ()
    assert await list_used_policy_arns(directory, "000000000000", "arn:") == ()
    assert owners == ("AIDA1", "AROA1")
    assert await list_attachments(directory, ACCOUNT, "AIDA1") == (policy.arn, aws)
    attached = await list_attached_policies(directory, ACCOUNT, "/", PageRequest())
    assert [p.name for p in attached.items] == ["Read"]
    async with directory.change(ACCOUNT) as change:
        assert await detach_policy(change, ACCOUNT, "AIDA1", policy.arn)
        assert not await detach_policy(change, ACCOUNT, "AIDA1", policy.arn)


async def test_a_policy_shows_the_version_in_force(directory: SqlDirectory) -> None:
    policy = make_policy("Read")
    versions = [
        PolicyVersion(version_id=f"v{n}", document=f"{{{n}}}", created_at=AT)
        for n in (2, 10)
    ]
    async with directory.change(ACCOUNT) as change:
        await insert_policy(change, policy)
        for version in versions:
            await insert_policy_version(change, policy, version)
        await change.update(
            MANAGED_POLICY, replace(policy, default_version=versions[1])
        )
        await delete_policy_version(change, policy, "v1")
    managed_policy = await directory.named(MANAGED_POLICY, ACCOUNT, "Read")
    assert managed_policy is not None
    assert managed_policy.default_version == versions[1]
    listed = await list_policy_versions(directory, ACCOUNT, policy.policy_id)
    assert listed == (versions[1], versions[0])
    async with directory.change(ACCOUNT) as change:
        await change.remove(MANAGED_POLICY, managed_policy)
    assert await list_policy_versions(directory, ACCOUNT, policy.policy_id) == ()


async def test_inline_policies_are_replaced_and_removed(
    directory: SqlDirectory,
) -> None:
    def make(name: str, document: str) -> InlinePolicy:
        return InlinePolicy(
            account=ACCOUNT, owner_id="AROA1", name=name, document=document
        )

    async with directory.change(ACCOUNT) as change:
        await put_inline_policy(change, make("b", "1"))
        await put_inline_policy(change, make("A", "2"))
        await put_inline_policy(change, make("b", "3"))
        assert not await delete_inline_policy(change, ACCOUNT, "AROA1", "c")
    listed = await list_inline_policies(directory, ACCOUNT, "AROA1")
    assert listed == (make("A", "2"), make("b", "3"))
    async with directory.change(ACCOUNT) as change:
        assert await delete_inline_policy(change, ACCOUNT, "AROA1", "b")


async def test_a_change_that_raises_leaves_nothing(directory: SqlDirectory) -> None:
    before = await directory.last_changes()

    async def fail() -> None:
        async with directory.change(ACCOUNT) as change:
            await change.insert(USER, make_user("Ann"))
            assert await change.named(USER, ACCOUNT, "Ann") is not None
            raise ExpectedError

    with pytest.raises(ExpectedError):
        await fail()
    assert await directory.named(USER, ACCOUNT, "Ann") is None
    assert await directory.last_changes() == before


async def test_a_commit_raises_the_generation_and_tells_who_asked(
    directory: SqlDirectory, other_directory: SqlDirectory
) -> None:
    told: list[tuple[str, int]] = []
    directory.on_commit(
        lambda account, generation, _: told.append((account, generation))
    )
    for _ in range(2):
        async with directory.change(ACCOUNT):
            pass
    assert [(account, change.generation) for account, change in told] == [
        (ACCOUNT, 1),
        (ACCOUNT, 2),
    ]
    last = {ACCOUNT: told[-1][1]}
    assert await other_directory.last_changes() == last
    assert await other_directory.last_changes((ACCOUNT, OTHER)) == last
    assert await other_directory.last_changes(()) == {}


async def test_changes_that_are_not_known_are_new_and_lost_ones_too(
    directory: SqlDirectory, other_directory: SqlDirectory
) -> None:
    for account in (ACCOUNT, OTHER):
        async with directory.change(account):
            pass
    known = await directory.last_changes()
    other = known[OTHER]
    assert await other_directory.new_changes(known) == {}
    assert await other_directory.new_changes({}) == {}
    assert await other_directory.new_changes({OTHER: NEVER}) == {OTHER: other}
    for wrong in (
        ChangeId(other.generation, other.mark + 1),
        ChangeId(other.generation + 1, other.mark),
    ):
        changed = await other_directory.new_changes({**known, OTHER: wrong})
        assert changed == {OTHER: other}
    gone = AccountId("000000000003")
    assert await directory.new_changes({**known, gone: other}) == {gone: NEVER}
    assert await directory.new_changes({**known, gone: NEVER}) == {}


async def test_an_account_made_again_goes_on_counting_and_owns_nothing(
    directory: SqlDirectory,
) -> None:
    async with directory.change(ACCOUNT) as change:
        await insert_account(change, make_account())
        await change.insert(USER, make_user("Ann"))
        await insert_policy(change, make_policy("Read"))
        await insert_access_key(change, make_key(key_id(1), "AIDAANN"))
    async with directory.change(ACCOUNT) as change:
        await remove_account(change, make_account(ACCOUNT))
    assert await directory.find(kinds.ACCOUNT, ACCOUNT) is None
    for gone in (key_id(1), "no id", "Ann\0"):
        assert await find_access_key(directory, gone) is None
    assert await directory.count(MANAGED_POLICY, ACCOUNT) == 0
    async with directory.change(ACCOUNT) as change:
        await insert_account(change, make_account())
    assert (await directory.last_changes())[ACCOUNT].generation == 3
    assert await directory.named(USER, ACCOUNT, "Ann") is None


async def test_nothing_is_written_where_a_known_change_is_missing(
    directory: SqlDirectory,
) -> None:
    seen: list[ChangeId] = []
    directory.on_commit(lambda _, change, __: seen.append(change))

    async def change(known: ChangeId) -> None:
        directory.require(lambda _: known)
        async with directory.change(ACCOUNT) as opened:
            await opened.insert(USER, make_user(f"user{len(seen)}"))

    await change(NEVER)
    await change(seen[0])
    for known in (
        ChangeId(1, seen[0].mark + 1),
        ChangeId(2, seen[0].mark),
        ChangeId(3, seen[1].mark),
        ChangeId(9, seen[1].mark),
    ):
        with pytest.raises(StoreUnavailableError):
            await change(known)
    assert await directory.count(USER, ACCOUNT) == 2
    assert await directory.last_changes() == {ACCOUNT: seen[1]}
    for known in seen[:2]:
        await change(known)


async def test_changes_of_one_account_run_one_after_the_other(
    directory: SqlDirectory, other_directory: SqlDirectory
) -> None:
    async def add(where: SqlDirectory) -> None:
        async with where.change(ACCOUNT) as change:
            number = await change.count(USER, ACCOUNT)
            await asyncio.sleep(0.01)
            await change.insert(USER, make_user(f"user{number}"))

    await asyncio.gather(*(add(d) for d in (directory, other_directory) * 4))
    assert await directory.count(USER, ACCOUNT) == 8
    assert (await directory.last_changes())[ACCOUNT].generation == 8


async def test_the_audit_record_commits_with_the_change(
    directory: SqlDirectory, ledger: Ledger
) -> None:
    async def fail() -> None:
        async with directory.change(ACCOUNT) as change:
            await change.record(make_record("lost"))
            raise ExpectedError

    with pytest.raises(ExpectedError):
        await fail()
    async with directory.change(ACCOUNT) as change:
        await change.record(make_record("kept"))
    assert await ledger.find("lost") is None
    assert await ledger.find("kept") == make_record("kept")


async def test_revocations_last_until_their_expiry_and_only_widen(
    directory: SqlDirectory, clock: object
) -> None:
    now = directory._clock.now()

    def make(target: str, not_before_ms: int | None, seconds: int) -> Revocation:
        return Revocation(
            account=ACCOUNT,
            target=target,
            not_before_ms=not_before_ms,
            expires_at=now + timedelta(seconds=seconds),
        )

    async with directory.change(ACCOUNT) as change:
        await change.revoke(make("ASIA1", None, 60))
        await change.revoke(make("ASIA2", None, 10))
        await change.revoke(make("AROA1", 500, 60))
        await change.revoke(make("AROA1", 400, 10))
    revocations = await directory.revocations(ACCOUNT)
    assert revocations.access_key_ids == {"ASIA1", "ASIA2"}
    assert revocations.not_before_ms == {"AROA1": 500}
    assert (await directory.revocations(OTHER)).access_key_ids == frozenset()
    clock.move(20)  # type: ignore[attr-defined] # the stepping clock
    revocations = await directory.revocations(ACCOUNT)
    assert revocations.access_key_ids == {"ASIA1"}
    assert revocations.not_before_ms == {"AROA1": 500}


async def test_a_deleted_provider_leaves_a_mark_that_ends_what_it_vouched_for(
    directory: SqlDirectory,
) -> None:
    saml, oidc = make_saml("idp"), make_oidc("https://idp.example.com/x")
    async with directory.change(ACCOUNT) as change:
        await change.insert(SAML_PROVIDER, saml)
        await change.insert(OIDC_PROVIDER, oidc)
    assert not await directory.revocations(ACCOUNT)
    listed = await find_saml_provider_by_uuid(directory, saml.uuid)
    assert listed == replace(saml, metadata=UNREAD)
    async with directory.change(ACCOUNT) as change:
        await change.remove(SAML_PROVIDER, saml)
        await change.remove(OIDC_PROVIDER, oidc)
    now_ms = int(directory._clock.now().timestamp() * 1000)
    revocations = await directory.revocations(ACCOUNT)
    life_ms = int(REVOCATION_LIFE.total_seconds() * 1000)
    assert revocations.not_before_ms == {
        # Another may get the ARN; the id has no bounds, also for workers' clocks.
        **dict.fromkeys((saml.arn, oidc.arn), now_ms + 1),
        **dict.fromkeys((saml.uuid, oidc.unique_id), now_ms + life_ms),
    }
