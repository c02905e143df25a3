"""What a provider's assertions are held to is remembered, and no longer than it holds."""

from unittest.mock import AsyncMock

import pytest
from msgspec.structs import replace

from broker.errors import InvalidIdentityToken
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.stores.directory.kinds import SAML_PROVIDER
from tests.support.saml_idp import key_pair, metadata_xml
from tests.support.signin import ACCOUNT, SignInWorld, provider_arn

_ELSEWHERE = "https://elsewhere.example/saml"


async def test_changed_options_count_before_the_accounts_generation_is_known(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = world.services
    before = await services.fresh.named(SAML_PROVIDER, ACCOUNT, "Corp")
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
    monkeypatch.setattr(services.fresh, "named", find)
    assert await prove() == _ELSEWHERE
    find.return_value = before
    with pytest.raises(InvalidIdentityToken):
        await prove()


async def test_metadata_that_is_too_weak_without_its_option_refuses(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = world.services
    strong = await services.fresh.named(SAML_PROVIDER, ACCOUNT, "Corp")
    assert strong is not None
    pair = key_pair("weak", "rsa1024")
    weak = replace(strong, metadata=metadata_xml(pair), options={"LegacyRsa": True})
    find = AsyncMock(return_value=weak)
    monkeypatch.setattr(services.fresh, "named", find)

    async def prove() -> object:
        return await services.federated.prove_for_provider(
            world.response(signing_key=pair), ACCOUNT, provider_arn(), world.clock.now()
        )

    assert await prove()
    find.return_value = replace(weak, options={})
    with pytest.raises(InvalidIdentityToken) as refused:
        await prove()
    cause = refused.value.__cause__
    assert isinstance(cause, SamlRejected)
    assert cause.reason is SamlReason.METADATA_UNUSABLE
    assert "1024 bits" in cause.detail
