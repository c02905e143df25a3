"""How proofs that come together are verified."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from broker.federation.saml import prove_saml
from tests.support.signin import ACCOUNT, SignInWorld, open_world, provider_arn


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path) as world:
        yield world


async def test_assertions_that_come_together_are_verified_in_one_go(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def watched(*args: Any, **given: Any) -> Any:
        steps.append("verified")
        return prove_saml(*args, **given)

    async def call() -> None:
        steps.append("read")
        await world.services.federated.prove_for_provider(
            world.response(), ACCOUNT, provider_arn(), world.clock.now()
        )
        steps.append("went on")

    await call()
    steps.clear()
    monkeypatch.setattr("broker.authn.federated.prove_saml", watched)
    await asyncio.gather(call(), call(), call())
    assert steps == ["read"] * 3 + ["verified"] * 3 + ["went on"] * 3
