"""What a provider's assertions are held to is remembered, and no longer than it holds."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from broker.errors import InvalidIdentityToken
from tests.support.signin import ACCOUNT, SignInWorld, open_world, provider_arn

_ELSEWHERE = "https://elsewhere.example/saml"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path) as world:
        yield world


async def test_changed_options_count_before_the_accounts_generation_is_known(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = world.services
    before = await services.fresh.find_saml_provider(ACCOUNT, "Corp")
    assert before is not None
    after = replace(before, options={"Recipients": [_ELSEWHERE]})
    response = world.response(recipient=_ELSEWHERE)

    async def prove() -> str:
        identity = await services.federated.prove_for_provider(
            response, ACCOUNT, provider_arn(), world.clock.now()
        )
        return identity.audience

    with pytest.raises(InvalidIdentityToken):
        await prove()
    find = AsyncMock(return_value=after)
    monkeypatch.setattr(services.fresh, "find_saml_provider", find)
    assert await prove() == _ELSEWHERE
    find.return_value = before
    with pytest.raises(InvalidIdentityToken):
        await prove()
