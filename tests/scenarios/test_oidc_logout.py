"""Logging out at a real OpenID Connect provider ends what it opened here."""

import json
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError
from lxml import html

from tests.support.broker import ACCOUNT, Key
from tests.support.identity_providers import Browser, browsing
from tests.support.oidc_world import OidcWorld, oidc_world, sign_in
from tests.support.signin import text_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcWorld]:
    with oidc_world(tmp_path_factory.mktemp("broker")) as world:
        yield world


def is_in(world: OidcWorld, browser: Browser) -> bool:
    page = browser.get(f"{world.broker.url}/console/")
    return "assumed-role/Staff" in text_of(page)


def log_out_there(world: OidcWorld, browser: Browser) -> None:
    asked = browser.get(f"{world.issuer}/session/end")
    browser.submit(asked, logout="yes")


def test_a_logout_at_the_provider_ends_the_session_here(world: OidcWorld) -> None:
    with browsing() as alice, browsing() as bob:
        sign_in(world, alice, "alice")
        sign_in(world, bob, "bob")
        log_out_there(world, alice)
        page = alice.get(f"{world.broker.url}/console/")
        assert page.status_code == 403
        assert "Your session has ended" in page.text
        assert is_in(world, bob)
        sign_in(world, alice, "alice")
        assert is_in(world, alice)


def test_credentials_taken_from_the_session_end_with_it(world: OidcWorld) -> None:
    with browsing() as browser:
        sign_in(world, browser, "alice")
        key = taken_credentials(world, browser)
        sts = world.broker.client("sts", key)
        assert sts.get_caller_identity()["Account"] == ACCOUNT
        log_out_there(world, browser)
        with pytest.raises(ClientError, match="ExpiredToken"):
            sts.get_caller_identity()


def taken_credentials(world: OidcWorld, browser: Browser) -> Key:
    home = browser.get(f"{world.broker.url}/console/")
    page = browser.submit(home, form_action="/console/credentials")
    (view,) = html.fromstring(page.text).xpath("//pre[@id='process']")
    params = json.loads(view.text_content())
    return Key(params["AccessKeyId"], params["SecretAccessKey"], params["SessionToken"])


def test_signing_out_here_goes_on_to_the_provider(world: OidcWorld) -> None:
    with browsing() as browser:
        sign_in(world, browser, "alice")
        home = browser.get(f"{world.broker.url}/console/")
        signed_out = browser.submit(home, form_action="/console/sign-out")
        assert "You are still signed in at" in signed_out.text
        out = signed_out.text.partition('href="/signin/sign-out-there?')[2]
        link = f"/signin/sign-out-there?{out.partition(chr(34))[0]}"
        form = browser.get(f"{world.broker.url}{link}")
        asked = browser.submit(form)
        # The ID token is in no address: those are kept in histories and logs.
        assert browser.url == f"{world.issuer}/session/end"
        assert asked.status_code == 200
        back = browser.submit(asked, logout="yes")
        assert browser.url == f"{world.broker.url}/signin/signed-out"
        assert "You are signed out" in back.text
        asked_again = browser.get(world.start)
        assert 'name="login"' in asked_again.text
