"""Health and diagnosis of providers: by the API's own permissions, nothing spent."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from broker.actions.signin.identity_providers import PROOF_CHARACTERS_MAX
from broker.errors import (
    AccessDenied,
    BrokerError,
    InvalidInput,
    NoSuchEntity,
    ValidationError,
)
from broker.model.entities import InlinePolicy, OidcProvider
from broker.model.principal import Principal
from broker.model.session import Caller
from broker.proofs.addresses import parse_internal_issuers
from broker.proofs.diagnosis import State, is_good
from broker.proofs.provider_health import HealthLevel
from broker.stores.directory.kinds import OIDC_PROVIDER, ROLE, SAML_PROVIDER
from broker.stores.directory.policies import put_inline_policy
from tests.support import calls
from tests.support.oidc_issuer import IssuerServer, serving
from tests.support.raw import raw_request
from tests.support.saml_idp import key_pair, make_key_pair, metadata_xml
from tests.support.saml_publisher import Publisher, publishing, signed_metadata
from tests.support.signin import (
    ACCOUNT,
    OTHER,
    SignInWorld,
    open_world,
    provider_arn,
    role_arn,
)

CORP = provider_arn()


@pytest.fixture(scope="module")
def issuer() -> Iterator[IssuerServer]:
    with serving("/idp") as running:
        yield running


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publisher]:
    with publishing() as running:
        yield running


@pytest.fixture
async def world(
    tmp_path: Path, issuer: IssuerServer, publisher: Publisher
) -> AsyncIterator[SignInWorld]:
    internal = parse_internal_issuers(
        f"127.0.0.1:{issuer.port},127.0.0.1:{publisher.port}"
    )
    async with open_world(tmp_path, internal_issuers=internal) as world:
        yield world


async def oidc(world: SignInWorld, issuer: IssuerServer, **params: Any) -> OidcProvider:
    provider = OidcProvider(
        account=ACCOUNT,
        unique_id="OIDCP1",
        url=issuer.issuer.url,
        client_ids=params.pop("client_ids", ("client-1",)),
        thumbprints=(),
        created_at=world.clock.now(),
        **params,
    )
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(OIDC_PROVIDER, provider)
    return provider


async def options(world: SignInWorld, **params: object) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        await change.update(SAML_PROVIDER, replace(provider, options=params))


async def allow(world: SignInWorld, action: str, resource: str) -> Caller:
    """The role ``Admin`` with one permission."""
    fresh = world.services.stores.directory
    role = await fresh.named(ROLE, ACCOUNT, "Admin")
    assert role is not None
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    async with fresh.change(ACCOUNT) as change:
        await put_inline_policy(
            change,
            InlinePolicy(
                account=ACCOUNT,
                owner_id=role.role_id,
                name="Given",
                document=json.dumps(
                    {"Version": "2012-10-17", "Statement": [statement]}
                ),
            ),
        )
    return Caller(
        principal=Principal.role_session(
            ACCOUNT,
            role_id=role.role_id,
            path="/",
            role_name="Admin",
            session_name="carol",
        )
    )


async def do(
    world: SignInWorld, name: str, caller: Caller | None = None, **params: Any
) -> Any:
    """The action, as root unless somebody else calls."""
    raw = raw_request(raw_path=b"/console", source_ip="127.0.0.1")
    action = world.services.registry.get("signin", name)
    proof = calls.told(caller or Caller(principal=Principal.root(ACCOUNT)))
    return await calls.perform(
        world.services, action, params, proof, raw=raw, request_id=f"test-{name}"
    )


async def test_a_saml_provider_that_does_well(world: SignInWorld) -> None:
    await world.sign_in(world.browser())
    await world.services.uses.flush()
    match = await do(world, "GetProviderHealth", ProviderArn=CORP)
    health = match["Health"]
    assert health.level is HealthLevel.GOOD
    assert [key.kind for key in health.keys] == ["RSA 2048"]
    assert health.accepted_at is not None
    assert health.refused_at is None
    assert health.fetch is None


async def test_certificates_that_end_are_told(world: SignInWorld) -> None:
    soon = make_key_pair(not_after=world.clock.now() + timedelta(days=20))
    gone = make_key_pair(not_after=world.clock.now() - timedelta(days=2))
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        text = metadata_xml(soon, gone, key_pair())
        await change.update(SAML_PROVIDER, replace(provider, metadata=text))
    health = (await do(world, "GetProviderHealth", ProviderArn=CORP))["Health"]
    assert health.level is HealthLevel.WARNING
    words = [finding.text for finding in health.findings]
    assert len(words) == 2
    assert " ends on " in words[0]
    assert " ended on " in words[1]
    assert health.first_end is not None
    assert health.first_end < world.clock.now()


async def test_published_metadata_is_looked_at_and_read_on_demand(
    world: SignInWorld, publisher: Publisher
) -> None:
    with pytest.raises(InvalidInput, match="no MetadataUrl"):
        await do(world, "CheckProvider", ProviderArn=CORP)
    await options(world, MetadataUrl=publisher.url)
    health = (await do(world, "GetProviderHealth", ProviderArn=CORP))["Health"]
    assert health.level is HealthLevel.UNKNOWN
    publisher.text = signed_metadata(key_pair(), key_pair(), key_pair("new"))
    publisher.answer = publisher.fail
    assert "503" in (await do(world, "CheckProvider", ProviderArn=CORP))["Problem"]
    health = (await do(world, "GetProviderHealth", ProviderArn=CORP))["Health"]
    assert health.level is HealthLevel.PROBLEM
    assert health.fetch.problem
    publisher.answer = publisher.publish
    world.clock.move(20)
    assert (await do(world, "CheckProvider", ProviderArn=CORP))["Problem"] == ""
    health = (await do(world, "GetProviderHealth", ProviderArn=CORP))["Health"]
    assert health.level is HealthLevel.GOOD
    assert len(health.keys) == 2


async def test_an_issuers_keys_are_told_without_fetching_any(
    world: SignInWorld, issuer: IssuerServer
) -> None:
    provider = await oidc(world, issuer)
    issuer.hits.clear()
    health = (await do(world, "GetProviderHealth", ProviderArn=provider.arn))["Health"]
    assert health.level is HealthLevel.UNKNOWN
    assert not issuer.hits
    assert (await do(world, "CheckProvider", ProviderArn=provider.arn))["Problem"] == ""
    health = (await do(world, "GetProviderHealth", ProviderArn=provider.arn))["Health"]
    assert health.level is HealthLevel.GOOD
    assert [key.key_id for key in health.keys] == ["key-1"]
    assert health.fetch.good_at is not None


async def test_what_is_wrong_with_an_issuer_is_told(
    world: SignInWorld, issuer: IssuerServer
) -> None:
    gone = replace(
        await oidc(world, issuer, client_ids=()),
        unique_id="OIDCP2",
        url="http://127.0.0.1:1/x",
    )
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(OIDC_PROVIDER, gone)
    problem = (await do(world, "CheckProvider", ProviderArn=gone.arn))["Problem"]
    assert "not permitted" in problem
    listed = await do(world, "ListProviderHealth", Kind="oidc-provider")
    levels = {provider.url: health for provider, health in listed["Providers"]}
    assert levels[gone.url].level is HealthLevel.PROBLEM
    assert any("no client id" in finding.text for finding in levels[gone.url].findings)


async def test_the_list_is_of_the_own_account(world: SignInWorld) -> None:
    listed = await do(world, "ListProviderHealth", Kind="saml-provider")
    assert [provider.account for provider, _ in listed["Providers"]] == [ACCOUNT]
    for name in ("GetProviderHealth", "CheckProvider", "DiagnoseProof"):
        for arn in (provider_arn(OTHER), "nonsense", provider_arn(name="None")):
            with pytest.raises((InvalidInput, NoSuchEntity)):
                await do(world, name, ProviderArn=arn, Proof="x")


async def test_secrets_among_the_options_stay_hidden(
    world: SignInWorld, issuer: IssuerServer
) -> None:
    view = {"ClientId": "web", "ClientSecret": "c2VhbGVk", "OneTimeUse": True}
    provider = await oidc(world, issuer, options=view)
    match = await do(world, "GetProviderHealth", ProviderArn=provider.arn)
    assert match["Options"] == {
        "ClientId": "web",
        "ClientSecret": "(sealed)",
        "OneTimeUse": "true",
    }


@pytest.mark.parametrize(
    ("name", "permission"),
    [
        ("GetProviderHealth", "iam:GetSAMLProvider"),
        ("DiagnoseProof", "iam:GetSAMLProvider"),
        ("CheckProvider", "iam:UpdateSAMLProvider"),
    ],
)
async def test_the_permission_is_on_that_provider(
    world: SignInWorld, name: str, permission: str
) -> None:
    for action, resource, fits in (
        (permission, CORP, True),
        (permission, provider_arn(name="Else"), False),
        ("iam:List*", "*", False),
    ):
        caller = await allow(world, action, resource)
        try:
            await do(world, name, caller, ProviderArn=CORP, Proof="x")
        except AccessDenied:
            assert not fits
        except BrokerError:
            assert fits
        else:
            assert fits


async def test_all_of_a_kind_need_the_permission_for_all(world: SignInWorld) -> None:
    caller = await allow(world, "iam:GetSAMLProvider", CORP)
    with pytest.raises(AccessDenied):
        await do(world, "ListProviderHealth", caller, Kind="saml-provider")
    caller = await allow(world, "iam:GetSAMLProvider", provider_arn(name="*"))
    assert await do(world, "ListProviderHealth", caller, Kind="saml-provider")
    with pytest.raises(AccessDenied):
        await do(world, "ListProviderHealth", caller, Kind="oidc-provider")


async def test_a_response_is_tried_without_being_spent(world: SignInWorld) -> None:
    response = world.response()
    for _ in range(2):
        match = await do(world, "DiagnoseProof", ProviderArn=CORP, Proof=response)
        assert is_good(match["Outcome"].checks)
        assert match["Outcome"].role_arns == (role_arn("Reader"),)
    posted = await world.browser().post("/saml", data={"SAMLResponse": response})
    assert posted.status_code == 303
    record = await world.recorded("signin:DiagnoseProof")
    assert record.parameters == {"ProviderArn": CORP}
    assert response not in str(record)


async def test_an_old_one_is_judged_as_of_its_time(world: SignInWorld) -> None:
    made = world.clock.now()
    response = world.response()
    world.clock.move(3600)
    now = await do(world, "DiagnoseProof", ProviderArn=CORP, Proof=response)
    (failed,) = [c for c in now["Outcome"].checks if c.state is State.FAILED]
    assert "times" in failed.title
    then = await do(world, "DiagnoseProof", ProviderArn=CORP, Proof=response, At=made)
    assert is_good(then["Outcome"].checks)


async def test_a_token_is_tried(world: SignInWorld, issuer: IssuerServer) -> None:
    provider = await oidc(world, issuer)
    good = issuer.issuer.token()
    match = await do(world, "DiagnoseProof", ProviderArn=provider.arn, Proof=good)
    assert is_good(match["Outcome"].checks)
    bad = issuer.issuer.token(aud="another")
    match = await do(world, "DiagnoseProof", ProviderArn=provider.arn, Proof=bad)
    (failed,) = [c for c in match["Outcome"].checks if c.state is State.FAILED]
    assert "audience" in failed.title


@pytest.mark.parametrize("proof", ["", "   ", "x" * (PROOF_CHARACTERS_MAX + 1)])
async def test_sizes_are_bounded(world: SignInWorld, proof: str) -> None:
    with pytest.raises(ValidationError):
        await do(world, "DiagnoseProof", ProviderArn=CORP, Proof=proof)


async def test_roles_that_trust_a_provider_are_found_by_who_may_list_roles(
    world: SignInWorld,
) -> None:
    role = await world.services.stores.directory.named(ROLE, ACCOUNT, "Brief")
    assert role is not None
    named_only = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"AWS": ACCOUNT},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:FederatedProvider": CORP}},
            },
        }
    )
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.update(ROLE, replace(role, trust_policy=named_only))
    roles = await do(world, "ListTrustingRoles", ProviderArn=CORP)
    assert [role.name for role in roles["Roles"]] == ["Admin", "Reader"]
    assert roles["More"] is False
    caller = await allow(world, "iam:GetSAMLProvider", "*")
    with pytest.raises(AccessDenied):
        await do(world, "ListTrustingRoles", caller, ProviderArn=CORP)
