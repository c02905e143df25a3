"""The machine's clock is set by an hour and set right again: nothing used revives.

The broker runs in this process, with a time of day that the test sets; what it
measures goes on by the monotonic clock.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from broker.audit.upkeep import retention
from broker.errors import ExpiredToken
from broker.model.session import SessionKind
from broker.sessions.issue import MintResult
from broker.sessions.revoke import revoke_key_id
from broker.stores.directory import kinds
from broker.stores.ledger.port import Ledger
from tests.support.signin import (
    ACCOUNT,
    SignInWorld,
    get_signin_token,
    login_url,
    open_world,
    provider_arn,
    role_arn,
)

HOUR = 3600
BOTH_WAYS = pytest.mark.parametrize("seconds", [HOUR, -HOUR])


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path) as made:
        yield made


class Watched:
    """The ledger, which tells when it has forgotten what ran out."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.done = asyncio.Event()

    async def purge(self, **before: datetime) -> None:
        await self._ledger.purge(**before)
        self.done.set()


async def set_and_right(world: SignInWorld, seconds: float) -> None:
    """Set the clock, let everything be forgotten that seems over, set it right."""
    world.clock.set(seconds)
    watched: Any = Watched(world.services.stores.ledger)
    async with retention(
        watched,
        world.services.handles,
        world.clock,
        timedelta(days=365),
        interval_seconds=0.01,
    ):
        await asyncio.wait_for(watched.done.wait(), 30)
    cache: Any = world.services.stores.cache
    await cache.purge()
    await revoke(world, "ASIASOMEBODYELSE")
    world.clock.set(-seconds)


async def revoke(world: SignInWorld, access_key_id: str) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await revoke_key_id(
            change, account=ACCOUNT, access_key_id=access_key_id, now=world.clock.now()
        )


async def assume(world: SignInWorld, assertion: str) -> str:
    answer = await world.browser().post(
        "/",
        data={
            "Action": "AssumeRoleWithSAML",
            "Version": "2011-06-15",
            "RoleArn": role_arn("Reader"),
            "PrincipalArn": provider_arn(),
            "SAMLAssertion": assertion,
        },
    )
    return answer.text


@BOTH_WAYS
async def test_a_spent_assertion_stays_spent(
    world: SignInWorld, seconds: float
) -> None:
    assertion = world.response()
    assert "<AccessKeyId>" in await assume(world, assertion)
    await set_and_right(world, seconds)
    assert "InvalidIdentityToken" in await assume(world, assertion)


@BOTH_WAYS
async def test_a_revoked_session_stays_revoked(
    world: SignInWorld, seconds: float
) -> None:
    minted = await world.mint(SessionKind.SAML, duration_seconds=900)
    await resolve(world, minted)
    session = minted.session
    await revoke(world, session.access_key_id)
    await set_and_right(world, seconds)
    with pytest.raises(ExpiredToken) as caught:
        await resolve(world, minted)
    assert caught.value.detail.startswith("the session was revoked")


async def resolve(world: SignInWorld, minted: MintResult) -> None:
    credentials = minted.credentials
    await world.services.resolver.resolve(
        credentials.access_key_id, credentials.session_token.reveal(), world.clock.now()
    )


@BOTH_WAYS
async def test_a_used_sign_in_token_stays_used(
    world: SignInWorld, seconds: float
) -> None:
    browser = world.browser()
    token = await get_signin_token(browser, await world.mint(SessionKind.SAML))
    assert (await browser.get(login_url(token))).status_code == 302
    await set_and_right(world, seconds)
    assert (await world.browser().get(login_url(token))).status_code == 400


@BOTH_WAYS
async def test_a_change_of_the_clock_makes_no_value_old_and_none_young(
    world: SignInWorld, seconds: float
) -> None:
    """How fresh a decision is goes by the monotonic clock."""
    freshness = world.services.freshness
    await freshness.check()
    world.clock.set(seconds)
    assert 0 <= freshness.age_seconds < HOUR / 2
    assert await world.services.fresh.find(kinds.ACCOUNT, ACCOUNT) is not None
