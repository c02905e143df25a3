"""Sessions made from sessions."""

from datetime import timedelta
from typing import Any

import pytest

from broker.errors import BrokerError, ExpiredToken, ValidationError
from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.model.secret import Secret
from broker.model.session import Caller, Session, SessionKind, SessionPolicies
from tests.support import calls
from tests.support.signin import ACCOUNT, SignInWorld

POLICY = SessionPolicies('{"Version":"2012-10-17","Statement":[]}', ())


async def perform(
    world: SignInWorld, name: str, caller: Caller, **params: Any
) -> dict[str, Any]:
    services = world.services
    action = services.registry.get("signin", name)
    return dict(await calls.perform(services, action, params, calls.told(caller)))


async def caller_of(world: SignInWorld, kind: SessionKind, **order: Any) -> Caller:
    minted = await world.mint(kind, **order)
    return await resolve(world, minted.credentials)


async def resolve(world: SignInWorld, credentials: Any) -> Caller:
    token: Secret = credentials.session_token
    resolved = await world.services.resolver.resolve(
        credentials.access_key_id, token.reveal(), world.clock.now()
    )
    return Caller(principal=resolved.caller.principal, session=resolved.session)


async def session_of(world: SignInWorld, answer: dict[str, Any]) -> Session:
    credentials = answer["Credentials"]
    resolved = await world.services.resolver.resolve(
        credentials["AccessKeyId"], credentials["SessionToken"], world.clock.now()
    )
    return resolved.session


@pytest.mark.parametrize("name", ["ConsoleLogin", "GetConsoleCredentials"])
async def test_everything_that_restricts_lives_on(
    world: SignInWorld, name: str
) -> None:
    end = int((world.clock.now() + timedelta(hours=5)).timestamp())
    caller = await caller_of(
        world,
        SessionKind.SAML,
        policies=(POLICY,),
        tags={"Team": "blue"},
        transitive_keys=frozenset({"Team"}),
        source_identity="alice",
        provider_arn="arn:aws:iam::111122223333:saml-provider/Corp",
        provider_id="SAMLSPX",
        identity_context={"saml:sub": ("a",)},
        mfa_at=1_700_000_000,
        ends_by=end,
    )
    first = caller.session
    assert first is not None
    world.clock.move(10)
    made = await session_of(world, await perform(world, name, caller))
    for member in (
        *("account", "kind", "principal_id", "name", "issued_at_ms", "policies"),
        *("tags", "transitive_keys", "source_identity", "provider_arn"),
        *("provider_id", "identity_context", "mfa_at", "ends_by"),
    ):
        assert getattr(made, member) == getattr(first, member), member
    assert made.access_key_id != first.access_key_id
    assert made.parent_key_id == first.access_key_id
    assert made.chain_depth == (1 if name == "GetConsoleCredentials" else 0)


async def test_a_federation_token_stays_tied_to_its_long_term_key(
    world: SignInWorld,
) -> None:
    caller = await caller_of(world, SessionKind.FEDERATION_TOKEN, parent_key_id="")
    made = await session_of(world, await perform(world, "ConsoleLogin", caller))
    assert made.parent_key_id == ""


async def test_a_long_term_key_opens_no_console(world: SignInWorld) -> None:
    caller = Caller(principal=Principal.root(AccountId(ACCOUNT)))
    for name in ("ConsoleLogin", "GetConsoleCredentials", "GetSigninToken"):
        with pytest.raises(ValidationError):
            await perform(world, name, caller)


async def test_a_session_that_just_ended_makes_nothing(world: SignInWorld) -> None:
    caller = await caller_of(world, SessionKind.SAML)
    world.clock.move(3600)
    for name in ("ConsoleLogin", "GetConsoleCredentials"):
        with pytest.raises(ExpiredToken):
            await perform(world, name, caller)


async def test_shown_credentials_of_shown_credentials_stay_chained(
    world: SignInWorld,
) -> None:
    caller = await caller_of(world, SessionKind.SAML, chain_depth=1)
    made = await session_of(
        world, await perform(world, "GetConsoleCredentials", caller)
    )
    assert made.chain_depth == 2


async def test_without_the_door_proof_nothing_is_done(world: SignInWorld) -> None:
    action = world.services.registry.get("signin", "GetConsoleCredentials")
    with pytest.raises(BrokerError):
        await calls.perform(world.services, action, {}, None)
