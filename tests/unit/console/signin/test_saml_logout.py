"""A logout at a SAML provider ends the console sessions that it stands for."""

import asyncio
import base64
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest
from msgspec.structs import replace
from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.logout_response import OneLogin_Saml2_Logout_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from broker.errors import ExpiredToken
from broker.stores.directory.kinds import SAML_PROVIDER
from tests.support.older_cache import Snapshot
from tests.support.portal import logged_in
from tests.support.saml_idp import ENTITY_ID, key_pair, metadata_xml
from tests.support.saml_logout import (
    POST,
    REDIRECT,
    logout_request_xml,
    posted,
    redirected,
)
from tests.support.signin import ACCOUNT, COOKIE, ORIGIN, SignInWorld, pair, text_of

UUID = f"SAMLSP{ACCOUNT}AAAA"
PATH = f"/saml/slo/{UUID}"
URL = f"{ORIGIN}{PATH}"
BACK = "https://idp.example.com/slo"


@pytest.fixture
async def world(world: SignInWorld) -> SignInWorld:
    await tell_where(world, {POST: f"{BACK}/post", REDIRECT: BACK})
    return world


async def tell_where(world: SignInWorld, slo: dict[str, str]) -> None:
    """Register where the provider takes answers to its logout requests."""
    async with world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        text = metadata_xml(key_pair(), slo=slo)
        await change.update(SAML_PROVIDER, replace(provider, metadata=text))


async def signed_in(
    world: SignInWorld, name: str = "alice", index: str = "_s1"
) -> httpx.AsyncClient:
    browser = world.browser()
    statement = (
        f'<saml:AuthnStatement AuthnInstant="2026-01-01T00:00:00Z"'
        f' SessionIndex="{index}"><saml:AuthnContext><saml:AuthnContextClassRef>'
        "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
        "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
    )
    answer = await world.sign_in(browser, subject=name, authn_statement=statement)
    assert COOKIE in answer.headers["set-cookie"]
    assert await is_in(browser)
    return browser


async def is_in(browser: httpx.AsyncClient) -> bool:
    return (await browser.get("/console/")).status_code == 200


async def log_out(
    world: SignInWorld,
    browser: httpx.AsyncClient | None = None,
    *,
    by_post: bool = False,
    relay: str | None = None,
    xml: str = "",
    **params: object,
) -> httpx.Response:
    xml = xml or logout_request_xml(URL, now=world.clock.now(), **params)  # type: ignore[arg-type]
    browser = browser or world.browser()
    if by_post:
        data = {"SAMLRequest": posted(xml)}
        return await browser.post(
            PATH, data=data | ({"RelayState": relay} if relay else {})
        )
    return await browser.get(f"{PATH}?{redirected(xml, relay=relay)}")


async def refused(world: SignInWorld) -> Any:
    """The record of a refusal, which may take a moment to be there."""
    async with asyncio.timeout(5):
        while True:
            record = await world.recorded("signin:EndConsoleSessions")
            if record.decision == "refused":
                return record
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("by_post", [False, True])
async def test_the_session_ends_and_the_provider_is_answered(
    world: SignInWorld, by_post: bool
) -> None:
    browser = await signed_in(world)
    answer = await log_out(
        world, browser, by_post=by_post, relay="state&1", request_id="_asked"
    )
    assert answer.status_code == 303, text_of(answer)
    policy = answer.headers["content-security-policy"]
    assert policy.endswith("frame-ancestors https://idp.example.com")
    assert f'{COOKIE}=""' in answer.headers["set-cookie"]
    assert not await is_in(browser)
    await assert_answered(world, answer, "_asked", "state&1")
    record = await world.recorded("signin:EndConsoleSessions")
    assert record.decision == "allowed"
    assert record.caller_arn.endswith(":saml-provider/Corp")


async def assert_answered(
    world: SignInWorld, answer: httpx.Response, asked: str, relay: str
) -> None:
    """By python3-saml's rules, in the provider's place."""
    location = answer.headers["location"]
    assert location.startswith(f"{BACK}?SAMLResponse=")
    query = urlsplit(location).query
    params = {name: value for name, (value,) in parse_qs(query).items()}
    assert params["RelayState"] == relay
    key = await world.services.request_keys.get()
    settings = OneLogin_Saml2_Settings(
        {
            "strict": True,
            "sp": {
                "entityId": ENTITY_ID,
                "assertionConsumerService": {"url": "https://idp.example.com/acs"},
                "singleLogoutService": {"url": BACK},
            },
            "idp": {
                "entityId": f"{ORIGIN}/saml",
                "singleSignOnService": {"url": ORIGIN},
                "x509cert": base64.b64encode(key.certificate).decode(),
            },
            "security": {"wantMessagesSigned": True},
        }
    )
    request = {
        "http_host": "idp.example.com",
        "script_name": "/slo",
        "https": "on",
        "get_data": params,
        "post_data": {},
        "query_string": query,
    }
    auth = OneLogin_Saml2_Auth(request, old_settings=settings)
    assert auth.validate_response_signature(params)
    response = OneLogin_Saml2_Logout_Response(settings, params["SAMLResponse"])
    assert response.is_valid(request, asked, raise_exceptions=True)
    assert response.get_status().endswith(":Success")


async def test_the_session_is_revoked_with_all_that_was_made_from_it(
    world: SignInWorld,
) -> None:
    await signed_in(world)
    minted = (await world.recorded("sts:AssumeRoleWithSAML")).session
    await log_out(world)
    # What this action ends is shown where OpenID Connect's logout is.
    record = await world.recorded("signin:EndConsoleSessions")
    assert record.parameters["AccessKeyIds"] == [minted["access_key_id"]]


async def test_a_sign_in_to_the_portal_ends_with_its_terminals_and_credentials(
    world: SignInWorld,
) -> None:
    empty = Snapshot(world.services.settings.data_dir)
    _, terminal, tokens = await logged_in(world, pair("Reader"))
    credentials = (await terminal.role(tokens["accessToken"])).json()["roleCredentials"]
    # A cache that was emptied since then knows of neither.
    empty.bring_back()
    await log_out(world, name_id="alice")
    answer = await terminal.role(tokens["accessToken"])
    assert answer.headers["x-amzn-errortype"] == "UnauthorizedException"
    with pytest.raises(ExpiredToken):
        await world.services.resolver.resolve(
            credentials["accessKeyId"], credentials["sessionToken"], world.clock.now()
        )


async def test_the_session_index_says_which_session(world: SignInWorld) -> None:
    client, other = await signed_in(world, index="1"), await signed_in(world, index="2")
    somebody = await signed_in(world, "bob", index="1")
    await log_out(world, indexes=["1"])
    assert not await is_in(client)
    assert await is_in(other)
    assert await is_in(somebody)
    await log_out(world, indexes=[])
    assert not await is_in(other)
    assert await is_in(somebody)


async def test_an_index_is_used_again_by_a_later_sign_in(world: SignInWorld) -> None:
    await signed_in(world, index="1")
    await log_out(world, indexes=["1"])
    world.clock.move(2)
    browser = await signed_in(world, index="1")
    old = world.clock.now() - timedelta(seconds=1.5)
    xml = logout_request_xml(URL, now=old, indexes=["1"])
    assert (await log_out(world, xml=xml)).status_code == 303
    assert await is_in(browser)


async def test_a_request_is_used_once(world: SignInWorld) -> None:
    xml = logout_request_xml(URL, now=world.clock.now())
    assert (await log_out(world, xml=xml)).status_code == 303
    again = await log_out(world, xml=xml, by_post=True)
    assert again.status_code == 400
    record = await refused(world)
    assert record.detail.startswith("replay")


async def test_nothing_ends_for_who_proves_nothing(world: SignInWorld) -> None:
    browser = await signed_in(world)
    now = world.clock.now()
    xml = logout_request_xml(URL, now=now)
    forged = f"{PATH}?{redirected(xml, key_pair('stranger'))}"
    elsewhere = f"{PATH}?{redirected(logout_request_xml(f'{URL}x', now=now))}"
    for address in (forged, elsewhere, f"{PATH}?{redirected(xml, signed=False)}"):
        answer = await browser.get(address)
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "set-cookie" not in answer.headers
    assert (await browser.get(PATH.replace("AAAA", "ZZZZ"))).status_code == 404
    assert (await browser.get(PATH)).status_code == 400
    record = await refused(world)
    assert record.resources == (f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp",)
    assert await is_in(browser)


async def test_anyone_who_was_not_here_is_told_nothing(world: SignInWorld) -> None:
    answer = await log_out(world, name_id="nobody", request_id="_asked", relay="x")
    await assert_answered(world, answer, "_asked", "x")


async def test_the_answer_goes_to_the_registered_address_alone(
    world: SignInWorld,
) -> None:
    await tell_where(world, {POST: BACK})
    browser = await signed_in(world)
    answer = await log_out(world, browser)
    assert answer.headers["location"] == "/signin/signed-out"
    assert not await is_in(browser)


async def test_a_provider_that_tells_of_no_logout_costs_nothing(
    world: SignInWorld,
) -> None:
    """More sessions at once than a provider that tells of logouts may have."""
    await tell_where(world, {})
    browsers = [await signed_in(world) for _ in range(18)]
    assert await is_in(browsers[0])


async def test_the_metadata_says_where_to(world: SignInWorld) -> None:
    browser = world.browser()
    own = (await browser.get(f"/static/saml/{UUID}/saml-metadata.xml")).text
    assert own.count(f'Location="{URL}"') == 2
    assert (
        "SingleLogoutService"
        not in (await browser.get("/static/saml-metadata.xml")).text
    )
