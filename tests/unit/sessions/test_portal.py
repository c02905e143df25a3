"""Sign-ins to the portal as they are kept, and how much of them a worker remembers."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.errors import ExpiredToken
from broker.model.session import SessionKind
from broker.sessions.ends import end_for_good, end_mark
from broker.sessions.portal import NamedRoles
from tests.support.signin import ACCOUNT, OTHER, SignInWorld, open_world, role_arn

MARK = end_mark("oidc-login", "a login")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path) as made:
        yield made


async def opened(world: SignInWorld, **more: Any) -> str:
    minted = (await world.mint(SessionKind.ASSUME_ROLE)).credentials
    return await world.services.portal_sessions.open(minted, **more)


@pytest.mark.parametrize(("ended_in", "is_over"), [(ACCOUNT, True), (OTHER, False)])
async def test_a_sign_in_ends_with_its_login_at_the_provider(
    world: SignInWorld, ended_in: Any, is_over: bool
) -> None:
    sessions, now = world.services.portal_sessions, world.clock.now()
    handle = await opened(world, end_marks=(MARK,))
    unmarked = await opened(world)
    assert await sessions.find(handle, now) is not None
    async with world.services.stores.directory.change(ended_in) as change:
        await end_for_good(
            change, ended_in, [MARK], until=now + timedelta(hours=1), reason="over"
        )
    assert await sessions.find(unmarked, now) is not None
    if is_over:
        with pytest.raises(ExpiredToken):
            await sessions.find(handle, now)
    else:
        assert await sessions.find(handle, now) is not None


async def test_a_worker_remembers_a_sign_in(world: SignInWorld) -> None:
    """What it remembers it finds while the cache has lost it."""
    sessions, now = world.services.portal_sessions, world.clock.now()
    handles = [await opened(world) for _ in range(3)]
    for handle in handles:
        assert await sessions.find(handle, now) is not None
    for handle in handles:
        await sessions._handles.forget(handle)
        assert await sessions.find(handle, now) is not None
        await sessions.forget(handle)
        assert await sessions.find(handle, now) is None


def test_of_several_roles_with_a_name_the_first_counts() -> None:
    rows = [
        {
            "account": account,
            "roles": [
                role_arn("b", account),
                role_arn("x/A", account),
                role_arn("A", account),
            ],
        }
        for account in (ACCOUNT, OTHER)
    ]
    roles = NamedRoles(rows, ends_at=None)  # type: ignore[arg-type]  # not read here
    assert list(roles.accounts) == [ACCOUNT, OTHER]
    index = roles._by_account[ACCOUNT]
    assert [arn for arn, _ in index.values()] == [role_arn("x/A"), role_arn("b")]
    assert roles.find("999999999999", "A") is None
