import gc
from collections.abc import Awaitable, Callable
from datetime import timedelta
from weakref import ref

import pytest
from msgspec import structs
from msgspec.structs import replace

from broker.errors import ExpiredToken, InvalidClientTokenId, ServiceUnavailable
from broker.model.account import AccountId, format_access_key_id
from broker.model.entities import KeyStatus, LoginProfile
from broker.model.lineage import Lineage, Origin
from broker.model.page import PageRequest
from broker.model.session import Session, SessionKind
from broker.runtime.bounded import measure
from broker.sessions.issue import MintResult
from broker.sessions.lineage import descend
from broker.sessions.record import describe_session
from broker.sessions.resolve import Resolver, find_token_end
from broker.sessions.revoke import (
    revoke_issued_before,
    revoke_key_id,
    revoke_session,
)
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from broker.stores.directory.kinds import ACCESS_KEY, LOGIN_PROFILE
from broker.stores.directory.port import DirectoryChange, Finder
from broker.stores.errors import StoreUnavailableError
from tests.support.deleted_meanwhile import delete_account
from tests.support.iam import revoke_key
from tests.support.rows import cases
from tests.unit.sessions.conftest import ACCOUNT, KEY, ROLE, SALT, USER, World

OF_A_USER = {
    "kind": SessionKind.SESSION_TOKEN,
    "principal_id": USER.user_id,
    "name": "alice",
    "parent_key_id": KEY.access_key_id,
}
FEDERATED = {**OF_A_USER, "kind": SessionKind.FEDERATION_TOKEN, "name": "bob"}
OF_ROOT = {**OF_A_USER, "principal_id": ACCOUNT, "parent_key_id": ""}
ROOT_TASK = {"kind": SessionKind.ROOT_TASK, "principal_id": ACCOUNT}
BY_PROVIDER = {"kind": SessionKind.SAML, "provider_id": "SAMLSPABCDEFGHIJKLMNOP"}

Change = Callable[[DirectoryChange], Awaitable[None]]


async def change(world: World, make: Change) -> None:
    async with world.stores.directory.change(ACCOUNT) as opened:
        await make(opened)


async def revoke(world: World, minted: MintResult) -> None:
    record = describe_session(minted.session, "arn")
    await change(world, lambda c: revoke_session(c, record, now=world.clock.now()))


async def assert_refused(world: World, minted: MintResult, why: str) -> None:
    with pytest.raises(InvalidClientTokenId) as caught:
        await world.resolve(minted)
    assert why in caught.value.detail


@cases("order, arn, userid")
async def test_a_session_acts_as_what_it_was_made_for(
    world: World, order: dict[str, object], arn: str, userid: str
) -> None:
    minted = await world.mint(**order)
    session = await world.resolve(minted)
    assert session.caller.principal.arn == arn
    assert session.caller.principal.userid == userid
    assert session.session == minted.session
    secret = minted.credentials.secret_access_key
    assert session.secret.reveal() == secret.reveal()


async def test_a_role_sessions_principal_arn_has_the_roles_path(world: World) -> None:
    session = await world.resolve(await world.mint())
    assert session.caller.principal.principal_arn == ROLE.arn


async def test_session_tags_replace_the_roles_own(world: World) -> None:
    session = await world.resolve(await world.mint(tags={"Team": "blue"}))
    assert session.caller.principal_tags == {"Team": "blue", "Stage": "prod"}
    session = await world.resolve(await world.mint(**OF_A_USER))
    assert session.caller.principal_tags == {"Stage": "test"}


async def test_changed_tags_are_seen_by_sessions_that_are_there(world: World) -> None:
    minted = await world.mint()
    await world.resolve(minted)
    await change(
        world,
        lambda c: c.update(kinds.ROLE, replace(ROLE, tags={"new": "tag"})),
    )
    assert (await world.resolve(minted)).caller.principal_tags == {"new": "tag"}


async def test_a_second_resolve_opens_nothing_again(world: World) -> None:
    minted = await world.mint()
    assert await world.resolve(minted) is await world.resolve(minted)


@pytest.mark.parametrize("token", ["", "x", "ключ", "\ud800", "A" * 600])
async def test_a_key_id_without_its_token_is_refused(world: World, token: str) -> None:
    minted = await world.mint()
    with pytest.raises(InvalidClientTokenId):
        await world.resolver.resolve(
            minted.credentials.access_key_id, token, world.clock.now()
        )


async def test_another_sessions_token_is_refused(world: World) -> None:
    result, two = await world.mint(), await world.mint()
    await world.resolve(result)
    await world.resolve(two)
    with pytest.raises(InvalidClientTokenId):
        await world.resolver.resolve(
            result.credentials.access_key_id,
            two.credentials.session_token.reveal(),
            world.clock.now(),
        )


@pytest.mark.parametrize(
    "key_id",
    ["", "ASIAIOSFODNN7EXAMPLE", format_access_key_id("ASIA", AccountId("0" * 12), 1)],
)
async def test_a_key_id_of_no_account_is_refused(world: World, key_id: str) -> None:
    minted = await world.mint()
    with pytest.raises(InvalidClientTokenId, match="is invalid") as caught:
        await world.resolver.resolve(
            key_id, minted.credentials.session_token.reveal(), world.clock.now()
        )
    assert caught.value.detail == "no account has this access key id"


async def test_sessions_whose_key_ids_collide_stay_apart(world: World) -> None:
    """Key ids hold 39 random bits: nothing may follow from the id alone."""
    first = (await world.mint()).session
    twin = structs.replace(first, **OF_A_USER)  # type: ignore[arg-type]  # members
    tokens = []
    for session in (first, twin):
        token, secret = world.sealer.seal(
            session, account_salt=SALT, now=world.clock.now()
        )
        tokens.append((session, token.reveal(), secret.reveal()))
    for session, token, secret in tokens * 2:
        resolved_session = await world.resolver.resolve(
            session.access_key_id, token, world.clock.now()
        )
        assert resolved_session.session == session
        assert resolved_session.secret.reveal() == secret


async def test_a_session_ends_at_its_expiry(world: World) -> None:
    minted = await world.mint(duration_seconds=900)
    world.clock.move(899.7)
    assert await world.resolve(minted)
    world.clock.move(0.05)
    with pytest.raises(ExpiredToken) as caught:
        await world.resolve(minted)
    assert caught.value.message == (
        "The security token included in the request is expired"
    )


async def test_an_expired_session_is_refused_by_a_worker_that_never_saw_it(
    world: World,
) -> None:
    minted = await world.mint(duration_seconds=900)
    world.clock.move(901)
    with pytest.raises(ExpiredToken):
        await world.resolve(minted)
    assert not world.memory.bytes


async def test_expiry_is_told_before_the_roles_end(world: World) -> None:
    minted = await world.mint(duration_seconds=900)
    await change(world, lambda c: c.remove(kinds.ROLE, ROLE))
    await assert_refused(world, minted, "is deleted")
    world.clock.move(901)
    with pytest.raises(ExpiredToken):
        await world.resolve(minted)


async def test_belonging_is_told_before_expiry(world: World) -> None:
    result = await world.mint(duration_seconds=900)
    two = await world.mint(duration_seconds=900)
    world.clock.move(901)
    with pytest.raises(InvalidClientTokenId):
        await world.resolver.resolve(
            result.credentials.access_key_id,
            two.credentials.session_token.reveal(),
            world.clock.now(),
        )


async def test_a_role_made_again_does_not_take_over_sessions(world: World) -> None:
    minted = await world.mint()
    await world.resolve(minted)
    await change(world, lambda c: c.remove(kinds.ROLE, ROLE))
    again = replace(ROLE, role_id="AROAQPONMLKJIHGFEDCBA")
    await change(world, lambda c: c.insert(kinds.ROLE, again))
    await assert_refused(world, minted, f"{ROLE.role_id}, which issued")


@pytest.mark.parametrize("order", [OF_A_USER, FEDERATED])
async def test_a_deleted_user_ends_its_sessions(
    world: World, order: dict[str, object]
) -> None:
    minted = await world.mint(**{**order, "parent_key_id": ""})
    await world.resolve(minted)
    await change(world, lambda c: c.remove(ACCESS_KEY, KEY))
    await change(world, lambda c: c.remove(kinds.USER, USER))
    await assert_refused(world, minted, f"{USER.user_id}, which issued")


async def deactivate(opened: DirectoryChange) -> None:
    await opened.update(ACCESS_KEY, replace(KEY, status=KeyStatus.INACTIVE))


async def delete(opened: DirectoryChange) -> None:
    await opened.remove(ACCESS_KEY, KEY)


@pytest.mark.parametrize("end", [deactivate, delete])
async def test_a_key_takes_its_session_tokens_along_but_not_its_roles(
    world: World, end: Change
) -> None:
    direct, federated = await world.mint(**OF_A_USER), await world.mint(**FEDERATED)
    of_root = await world.mint(**{**OF_ROOT, "parent_key_id": KEY.access_key_id})
    role = await world.mint(parent_key_id=KEY.access_key_id)
    for minted in (direct, federated, of_root, role):
        await world.resolve(minted)
    await change(world, end)
    for minted in (direct, federated, of_root):
        await assert_refused(world, minted, "deleted or inactive")
    assert await world.resolve(role)


async def test_a_new_salt_ends_all_sessions_that_were_opened_before(
    world: World,
) -> None:
    minted = await world.mint()
    await world.resolve(minted)
    account = await world.stores.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    renewed = replace(account, session_salt=bytes(32))
    await change(world, lambda c: update_account(c, renewed))
    await assert_refused(world, minted, "not sealed for")


async def test_a_deleted_account_takes_its_sessions_along(world: World) -> None:
    minted = await world.mint()
    await world.resolve(minted)
    await change(world, lambda c: delete_account(c, ACCOUNT))
    await assert_refused(world, minted, "no account")


async def test_a_revoked_sealing_key_ends_sessions_that_were_opened_before(
    world: World,
) -> None:
    minted = await world.mint()
    await world.resolve(minted)
    revoke_key(world.keyring, world.clock, 1)
    await assert_refused(world, minted, "sealing key 1 is not in use")


async def test_one_session_can_be_revoked(world: World) -> None:
    result, two = await world.mint(), await world.mint()
    await world.resolve(result)
    await revoke(world, result)
    with pytest.raises(ExpiredToken) as caught:
        await world.resolve(result)
    assert "was revoked" in caught.value.detail
    assert await world.resolve(two)


@cases("order, target")
async def test_a_mark_ends_what_was_issued_before_it_and_nothing_else(
    world: World, order: dict[str, object], target: str
) -> None:
    minted = await world.mint(**order)
    await world.resolve(minted)
    await change(
        world,
        lambda c: revoke_issued_before(
            c, account=ACCOUNT, target="AROASOMETHINGELSE", now=world.clock.now()
        ),
    )
    assert await world.resolve(minted)
    await change(
        world,
        lambda c: revoke_issued_before(
            c, account=ACCOUNT, target=target, now=world.clock.now()
        ),
    )
    with pytest.raises(ExpiredToken):
        await world.resolve(minted)
    world.clock.move(0.01)
    assert await world.resolve(await world.mint(**order))


async def test_an_emptied_cache_revives_nothing(world: World) -> None:
    minted = await world.mint()
    key_id = minted.session.access_key_id
    await change(
        world,
        lambda c: revoke_key_id(
            c, account=ACCOUNT, access_key_id=key_id, now=world.clock.now()
        ),
    )
    await world.stores.cache.drop_session(key_id)
    with pytest.raises(ExpiredToken):
        await world.resolve(minted)
    await world.index.settle()
    assert await world.stores.cache.find_session(key_id) is None


async def test_a_record_that_the_cache_lost_is_made_up(world: World) -> None:
    minted = await world.mint()
    key_id = minted.session.access_key_id
    await world.stores.cache.drop_session(key_id)
    await world.resolve(minted)
    await world.index.settle()
    page = await world.stores.cache.list_sessions(ACCOUNT, PageRequest())
    assert [record.access_key_id for record in page.items] == [key_id]


async def test_a_record_in_the_cache_grants_nothing(
    world: World, session: Session
) -> None:
    minted = await world.mint()
    record = await world.stores.cache.find_session(minted.session.access_key_id)
    assert record is not None
    forged = structs.replace(record, access_key_id=session.access_key_id)
    await world.stores.cache.put_session(forged)
    with pytest.raises(InvalidClientTokenId):
        await world.resolver.resolve(
            session.access_key_id,
            minted.credentials.session_token.reveal(),
            world.clock.now(),
        )


class Away:
    """A directory whose database is gone and which remembers nothing."""

    async def find(self, *place: object) -> None:
        raise StoreUnavailableError(f"nothing about {place}")


async def test_without_the_database_nothing_is_decided(world: World) -> None:
    minted = await world.mint()
    away: Finder = Away()  # type: ignore[assignment]  # the first look-up fails
    world.resolver = Resolver(world.sealer, away, world.index)
    with pytest.raises(ServiceUnavailable):
        await world.resolve(minted)


async def test_an_opened_token_is_remembered_for_its_account(world: World) -> None:
    minted = await world.mint(tags={"Team": "b" * 200})
    resolved = await world.resolve(minted)
    before = world.memory.bytes_of(ACCOUNT)
    assert await world.resolve(minted) is resolved
    assert world.memory.bytes_of(ACCOUNT) == before
    # What it says and for whom, and the caller that it was resolved to.
    assert before > measure((minted.session, resolved.caller))


async def test_roles_do_not_live_on_in_the_sessions_that_used_them(
    world: World,
) -> None:
    minted = await world.mint()
    first = await world.resolve(minted)
    role = ref(await world.directory.find(kinds.ROLE, ACCOUNT, ROLE.role_id))
    await change(world, lambda c: c.update(kinds.ROLE, replace(ROLE, path="/new/")))
    assert await world.resolve(minted) is not first
    gc.collect()
    assert role() is None


async def test_a_refused_token_is_not_remembered(world: World) -> None:
    minted = await world.mint()
    await world.resolve(minted)
    before = world.memory.bytes
    for n in range(5):
        with pytest.raises(InvalidClientTokenId):
            await world.resolver.resolve(
                minted.session.access_key_id, f"bad{n}", world.clock.now()
            )
    assert world.memory.bytes == before


async def test_the_order_of_checks_needs_the_calls_own_time(world: World) -> None:
    """``now`` is the call's: the clock is not read a second time."""
    minted = await world.mint(duration_seconds=900)
    with pytest.raises(ExpiredToken):
        await world.resolver.resolve(
            minted.session.access_key_id,
            minted.credentials.session_token.reveal(),
            world.clock.now() + timedelta(seconds=900),
        )


@pytest.mark.parametrize("holder", [USER.user_id, ACCOUNT])
async def test_a_session_of_a_password_ends_with_the_password(
    world: World, holder: str
) -> None:
    profile = LoginProfile(
        account=ACCOUNT,
        user_id=holder,
        sealed=b"sealed",
        created_at=world.clock.now(),
        changed_at=world.clock.now(),
    )
    order = {**OF_A_USER, "principal_id": holder, "kind": SessionKind.CONSOLE}
    lineage = Lineage(origin=Origin(account=ACCOUNT, principal_id=holder))
    minted = await world.mint(**{**order, "parent_key_id": "", "lineage": lineage})

    async def token_end() -> str:
        """Of a token that the session made."""
        world.clock.move(1)
        now_ms = int(world.clock.now().timestamp() * 1000)
        made_from = descend(minted.session)
        return await find_token_end(made_from, ACCOUNT, now_ms, world.directory)

    with pytest.raises(InvalidClientTokenId):
        await world.resolve(minted)
    await change(world, lambda c: c.insert(LOGIN_PROFILE, profile))
    assert (await world.resolve(minted)).caller.principal.unique_id == holder
    assert await token_end() == ""
    changed = replace(profile, sealed=b"other", reset_required=True)
    await change(world, lambda c: c.update(LOGIN_PROFILE, changed))
    await world.resolve(minted)
    await change(world, lambda c: c.remove(LOGIN_PROFILE, profile))
    with pytest.raises(InvalidClientTokenId) as caught:
        await world.resolve(minted)
    assert caught.value.detail == f"{holder} has no password any more"
    assert await token_end() == caught.value.detail
    new_profile = replace(profile, created_at=world.clock.now())
    await change(world, lambda c: c.insert(LOGIN_PROFILE, new_profile))
    with pytest.raises(InvalidClientTokenId):
        await world.resolve(minted)
    assert await token_end() == caught.value.detail
