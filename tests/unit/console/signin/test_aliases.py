"""Sign-in at another name of the broker ends at its own address, where cookies are."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx2 as httpx
import pytest

from broker.model.session import SessionKind
from tests.support.rows import cases
from tests.support.signin import (
    COOKIE,
    ORIGIN,
    SignInWorld,
    form_fields,
    get_signin_token,
    login_url,
    open_world,
    pair,
    text_of,
)

SIGN_IN = "signin.aws.amazon.com"
RECIPIENT = f"https://{SIGN_IN}/saml"
ALIAS = {"host": SIGN_IN}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path, host_aliases=f"{SIGN_IN} {VAULT}") as made:
        yield made


@pytest.fixture
def browser(world: SignInWorld) -> httpx.AsyncClient:
    return world.browser()


def onward(answer: httpx.Response) -> str:
    """The path at the broker's own address to which a browser is sent."""
    location = urlsplit(answer.headers["location"])
    assert f"{location.scheme}://{location.netloc}" == ORIGIN
    return f"{location.path}?{location.query}"


async def test_a_sign_in_link_sets_its_cookie_at_the_public_address(
    world: SignInWorld, browser: httpx.AsyncClient
) -> None:
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    answer = await browser.get(
        login_url(await get_signin_token(browser, minted)), headers=ALIAS
    )
    assert answer.status_code == 307
    assert "set-cookie" not in answer.headers
    # The token is not spent on the way.
    answer = await browser.get(onward(answer))
    assert (answer.status_code, COOKIE in answer.cookies) == (302, True)


async def test_tokens_for_links_are_given_at_the_alias_as_everywhere(
    world: SignInWorld,
) -> None:
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    assert await get_signin_token(world.browser(ALIAS), minted)


async def test_a_logout_link_ends_the_session_behind_the_cookie(
    world: SignInWorld, browser: httpx.AsyncClient
) -> None:
    await world.sign_in(browser)
    assert (await browser.get("/console/")).status_code == 200
    answer = await browser.get("/federation?SigninToken=&Action=logout", headers=ALIAS)
    assert answer.status_code == 307
    await browser.get(onward(answer))
    assert (await browser.get("/console/")).status_code != 200


VAULT = "us-east-1.signin.aws.amazon.com"
"""The sign-in host of aws-vault, in whatever region one works."""


def as_granted(service: str) -> str:
    return f"https://eu-west-1.console.aws.amazon.com/{service}/home?region=eu-west-1"


@cases("destination, page")
async def test_a_link_to_awss_console_opens_this_one(
    world: SignInWorld, browser: httpx.AsyncClient, destination: str, page: str
) -> None:
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    token = await get_signin_token(browser, minted)
    url = login_url(token, destination=destination)
    answer = await browser.get(onward(await browser.get(url, headers={"host": VAULT})))
    assert (answer.status_code, answer.headers["location"]) == (302, page)
    # Whether the role may see the page is another question.
    assert (await browser.get(page, follow_redirects=True)).status_code in {200, 403}


async def test_a_link_that_first_signs_out_opens_the_console_as_the_new_one(
    world: SignInWorld, browser: httpx.AsyncClient
) -> None:
    """``aws-vault login --auto-logout``, which leaves the inner address as it is."""
    await world.sign_in(browser)
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    token = await get_signin_token(world.browser({"host": VAULT}), minted)
    login = (
        f"https://{VAULT}/federation?Action=login&Issuer=aws-vault"
        f"&Destination={as_granted('console')}&SigninToken={token}"
    )
    query = urlencode({"Action": "logout", "redirect_uri": login})
    sent = await browser.get(f"/oauth?{query}", headers={"host": VAULT})
    assert (sent.status_code, "set-cookie" in sent.headers) == (307, False)
    signed_out = await browser.get(onward(sent))
    assert signed_out.status_code == 303
    assert signed_out.headers["location"].startswith("/federation?Action=login&")
    opened = await browser.get(signed_out.headers["location"])
    assert (opened.status_code, opened.headers["location"]) == (302, "/console/")


@pytest.mark.parametrize("query", ["", "Action=login", "Action=getSigninToken"])
async def test_the_address_of_logouts_does_nothing_else(
    browser: httpx.AsyncClient, query: str
) -> None:
    assert (await browser.get(f"/oauth?{query}")).status_code == 400


async def post(browser: httpx.AsyncClient, **fields: str) -> httpx.Response:
    return await browser.post("/saml", data=fields, headers=ALIAS)


async def test_an_assertion_posted_at_the_alias_signs_in_at_the_public_address(
    world: SignInWorld, browser: httpx.AsyncClient
) -> None:
    posted = await post(browser, SAMLResponse=world.response())
    assert posted.status_code == 303
    there = await browser.get(posted.headers["location"], headers=ALIAS)
    assert (there.status_code, "set-cookie" in there.headers) == (307, False)
    answer = await browser.get(onward(there))
    assert (answer.status_code, COOKIE in answer.cookies) == (303, True)


async def test_the_role_page_at_the_alias_leads_to_the_public_address(
    world: SignInWorld, browser: httpx.AsyncClient
) -> None:
    response = world.response(pair("Reader"), pair("Admin"))
    page = await post(browser, SAMLResponse=response)
    assert page.status_code == 200
    # Browsers apply form-action to the redirects after a form, too.
    assert f"form-action 'self' {ORIGIN}" in page.headers["content-security-policy"]
    fields = form_fields(page, "/saml")
    chosen = await post(
        browser, **{**fields, "roleIndex": pair("Reader").partition(",")[0]}
    )
    assert chosen.status_code == 303
    there = await browser.get(chosen.headers["location"], headers=ALIAS)
    answer = await browser.get(onward(there))
    assert COOKIE in answer.cookies


async def test_an_alias_makes_no_recipient(
    world: SignInWorld, browser: httpx.AsyncClient
) -> None:
    """An assertion made for AWS opens the broker only if the operator says so."""
    params = {"recipient": RECIPIENT, "response": {"destination": RECIPIENT}}
    refused = await post(browser, SAMLResponse=world.response(**params))
    assert refused.status_code == 400, text_of(refused)


async def test_a_recipient_that_the_operator_accepts_is_one(tmp_path: Path) -> None:
    async with open_world(
        tmp_path, host_aliases=SIGN_IN, saml_recipients=RECIPIENT
    ) as world:
        params = {"recipient": RECIPIENT, "response": {"destination": RECIPIENT}}
        posted = await post(world.browser(), SAMLResponse=world.response(**params))
        assert posted.status_code == 303, text_of(posted)
