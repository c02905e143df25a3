"""A refused proof is on record in the account whose provider it was brought for."""

from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from broker.model.audit import AuditFilter, AuditRecord
from broker.model.entities import OidcProvider
from broker.model.page import PageRequest
from broker.model.uses import ACCEPTED, PROOFS, REFUSED
from broker.proofs import claimed_providers
from broker.stores.directory.kinds import OIDC_PROVIDER, SAML_PROVIDER
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.reports import list_uses
from tests.support.oidc_issuer import OidcIssuer
from tests.support.saml_idp import ENTITY_ID, aws_attributes, encode, key_pair
from tests.support.signin import (
    ACCOUNT,
    OTHER,
    SignInWorld,
    pair,
    provider_arn,
    role_arn,
)

ISSUER = "https://issuer.example"


async def call(world: SignInWorld, action: str, **text: str) -> int:
    body = urlencode({"Action": action, "Version": "2011-06-15", **text})
    answer = await world.browser().post(
        "/", content=body, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    return int(answer.status_code)


async def post(world: SignInWorld, response: str, path: str = "/saml") -> int:
    answer = await world.browser().post(path, data={"SAMLResponse": response})
    return int(answer.status_code)


async def refusal(world: SignInWorld, action: str) -> AuditRecord:
    record: AuditRecord = await world.recorded(action)
    assert record.error_code
    return record


async def only_other_account(world: SignInWorld) -> None:
    """Leave the entity to one account: two have it."""
    async with world.services.stores.directory.change(OTHER) as change:
        provider = await change.named(SAML_PROVIDER, OTHER, "Corp")
        assert provider is not None
        await change.remove(SAML_PROVIDER, provider)


async def test_by_the_provider_that_the_call_names(world: SignInWorld) -> None:
    bad = world.response(signing_key=key_pair("other"))
    assert (
        await call(
            world,
            "AssumeRoleWithSAML",
            RoleArn=role_arn("Reader"),
            PrincipalArn=provider_arn(),
            SAMLAssertion=bad,
        )
        == 400
    )
    record = await refusal(world, "sts:AssumeRoleWithSAML")
    assert record.account == ACCOUNT
    assert record.resources == (provider_arn(),)
    assert record.parameters["RoleArn"] == role_arn("Reader")
    assert not record.caller_arn
    page = await world.services.stores.ledger.search(
        AuditFilter(account=ACCOUNT, provider_arn=provider_arn()), PageRequest()
    )
    assert page.items == (record,)


@pytest.mark.parametrize("token", ["nonsense", OidcIssuer(ISSUER).token()])
async def test_by_the_role_and_the_issuer_of_a_token(
    world: SignInWorld, token: str
) -> None:
    provider = OidcProvider(
        account=ACCOUNT,
        unique_id="OIDCP1",
        url=ISSUER,
        client_ids=(),
        thumbprints=(),
        created_at=world.clock.now(),
        options={"StaticJwks": '{"keys":[]}'},
    )
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(OIDC_PROVIDER, provider)
    assert (
        await call(
            world,
            "AssumeRoleWithWebIdentity",
            RoleArn=role_arn("Reader"),
            RoleSessionName="session",
            WebIdentityToken=token,
        )
        == 400
    )
    record = await refusal(world, "sts:AssumeRoleWithWebIdentity")
    assert record.account == ACCOUNT
    assert record.resources == (() if token == "nonsense" else (provider.arn,))
    assert token not in str(record)


async def test_an_account_that_is_not_there_gets_no_records(world: SignInWorld) -> None:
    nowhere = "999999999999"
    await call(
        world,
        "AssumeRoleWithSAML",
        RoleArn=role_arn("Reader", nowhere),
        PrincipalArn=provider_arn(nowhere),
        SAMLAssertion=world.response(),
    )
    assert (await refusal(world, "sts:AssumeRoleWithSAML")).account is None


async def test_by_the_role_pairs_of_a_posted_response(world: SignInWorld) -> None:
    bad = world.response(pair("Reader"), audience="urn:else")
    assert await post(world, bad) == 400
    record = await refusal(world, "signin:ListRolesWithSAML")
    assert (record.account, record.resources) == (ACCOUNT, (provider_arn(),))
    assert "urn:else" in record.detail


async def test_by_the_address_it_was_posted_to(world: SignInWorld) -> None:
    path = f"/saml/acs/SAMLSP{OTHER}AAAA"
    assert await post(world, "nonsense", path) == 400
    record = await refusal(world, "signin:ListRolesWithSAML")
    assert (record.account, record.resources) == (OTHER, (provider_arn(OTHER),))


def without_roles(world: SignInWorld) -> str:
    return world.response(attributes=aws_attributes(role=[]))


async def test_by_the_issuer_where_one_account_alone_knows_it(
    world: SignInWorld,
) -> None:
    """The commonest mistake: the identity provider sends no Role attribute."""
    await only_other_account(world)
    assert await post(world, without_roles(world)) == 400
    record = await refusal(world, "signin:ListRolesWithSAML")
    assert (record.account, record.resources) == (ACCOUNT, (provider_arn(),))


async def test_no_one_is_told_of_an_issuer_that_two_accounts_have(
    world: SignInWorld,
) -> None:
    assert await post(world, without_roles(world)) == 400
    record = await refusal(world, "signin:ListRolesWithSAML")
    assert record.account is None


async def test_a_refusal_by_the_identity_provider_itself_is_found_too(
    world: SignInWorld,
) -> None:
    await only_other_account(world)
    failed = (
        '<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"'
        ' ID="_r" Version="2.0" IssueInstant="2026-01-01T00:00:00Z">'
        '<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">'
        f"{ENTITY_ID}</saml:Issuer><samlp:Status><samlp:StatusCode"
        ' Value="urn:oasis:names:tc:SAML:2.0:status:Responder"/></samlp:Status>'
        "</samlp:Response>"
    )
    assert await post(world, encode(failed)) == 403
    record = await refusal(world, "signin:ListRolesWithSAML")
    assert record.account == ACCOUNT
    assert "status-not-success" in record.detail


async def test_strangers_cannot_have_all_metadata_searched_all_the_time(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []
    search = claimed_providers.list_saml_providers_naming

    async def counted(directory: DirectoryReader, text: str) -> Any:
        searches.append(text)
        return await search(directory, text)

    monkeypatch.setattr(claimed_providers, "list_saml_providers_naming", counted)
    for _ in range(5):
        assert await post(world, without_roles(world)) == 400
    assert len(searches) == 1


async def test_last_uses_of_a_provider_are_kept(world: SignInWorld) -> None:
    await world.sign_in(world.browser())
    await post(world, world.response(audience="urn:else"))
    await world.services.uses.flush()
    uses = await list_uses(
        world.services.stores.directory, ACCOUNT, [f"SAMLSP{ACCOUNT}AAAA"]
    )
    assert {(use.service, use.action) for use in uses} == {
        (PROOFS, ACCEPTED),
        (PROOFS, REFUSED),
    }


async def test_a_response_that_opens_no_role_says_whose_it_is(
    world: SignInWorld,
) -> None:
    """Verified, so that the record names the provider as its caller."""
    path = f"/saml/acs/SAMLSP{ACCOUNT}AAAA"
    provider = await world.services.fresh.named(SAML_PROVIDER, ACCOUNT, "Corp")
    assert provider is not None
    async with world.services.stores.directory.change(ACCOUNT) as change:
        options = {"GroupRoles": {"nobody": [role_arn("Reader")]}}
        await change.update(SAML_PROVIDER, replace(provider, options=options))
    acs = f"{world.services.settings.public_origin}{path}"
    empty = world.response(
        attributes=aws_attributes(role=[]), recipient=acs, response={"destination": acs}
    )
    assert await post(world, empty, path) == 400
    record = await refusal(world, "signin:ListRolesWithSAML")
    assert record.account == ACCOUNT
    assert "Role attribute" in record.detail
