"""Switching on the tokens that an account gives to its own principals."""

import asyncio
import threading
from typing import Any

import pytest

from broker.actions.iam import outbound_federation
from broker.errors import FeatureEnabled
from broker.kinds.outbound import Outbound, find_outbound, first_keys
from broker.stores.directory import kinds
from tests.support.iam import ACCOUNT, Iam


@pytest.fixture
def iam(iam: Iam) -> Iam:
    made = outbound_federation.outbound_federation_actions(
        iam.vault, "https://broker.example"
    )
    iam.actions = {**iam.actions, **{action.name: action for action in made}}
    return iam


async def outbound(iam: Iam) -> Outbound | None:
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    return find_outbound(account)


async def test_an_account_goes_on_changing_while_its_first_keys_are_made(
    iam: Iam, monkeypatch: pytest.MonkeyPatch
) -> None:
    making, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slowly(*params: Any) -> Any:
        loop.call_soon_threadsafe(making.set)
        assert go_on.wait(60)
        return first_keys(*params)

    monkeypatch.setattr(outbound_federation, "first_keys", slowly)
    enabling = asyncio.create_task(iam("EnableOutboundWebIdentityFederation"))
    try:
        async with asyncio.timeout(10):
            await making.wait()
            await iam("CreateUser", UserName="meanwhile")
    finally:
        go_on.set()
        await enabling
    stored_outbound = await outbound(iam)
    assert stored_outbound is not None
    assert stored_outbound.enabled
    assert len(stored_outbound.keys) == 2


async def test_the_keys_stay_when_it_is_switched_off_and_on(iam: Iam) -> None:
    await iam("EnableOutboundWebIdentityFederation")
    first = await outbound(iam)
    with pytest.raises(FeatureEnabled):
        await iam("EnableOutboundWebIdentityFederation")
    await iam("DisableOutboundWebIdentityFederation")
    await iam("EnableOutboundWebIdentityFederation")
    assert await outbound(iam) == first


async def test_two_who_switch_it_on_together_leave_one_set_of_keys(iam: Iam) -> None:
    done = await asyncio.gather(
        *(iam("EnableOutboundWebIdentityFederation") for _ in range(2)),
        return_exceptions=True,
    )
    assert sorted(map(type, done), key=str) == sorted([dict, FeatureEnabled], key=str)
    stored_outbound = await outbound(iam)
    assert stored_outbound is not None
    assert len(stored_outbound.keys) == 2
