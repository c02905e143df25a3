"""``sso-oidc`` and ``sso``: what clients may ask for, and how much of it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.actions.signin.begin_limits import PER_ADDRESS
from broker.sessions.handles import Handles, SealedTexts
from tests.support.portal import (
    DEVICE_CODE,
    SCOPES,
    Person,
    Terminal,
    challenge,
    logged_in,
)
from tests.support.signin import ACCOUNT, ORIGIN, SignInWorld, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path, rate_limit=0) as made:
        made.clock.stop()
        yield made


async def test_a_client_of_codes_begins_no_device(world: SignInWorld) -> None:
    terminal = await Terminal(world).register()
    answer = await terminal.post(
        "device_authorization",
        **terminal.credentials,
        startUrl=f"{ORIGIN}/portal/{ACCOUNT}",
    )
    assert answer.headers["x-amzn-errortype"] == "UnauthorizedClientException"


@pytest.mark.parametrize(
    "verifier", ["v" * 42, "v" * 129, "v" * 42 + "!", "v" * 43 + "é"]
)
async def test_a_verifier_is_one_even_if_it_fits_the_challenge(
    world: SignInWorld, verifier: str
) -> None:
    """Short ones could be guessed from the challenge, which others see."""
    person, terminal = Person(world), await Terminal(world).register()
    await person.sign_in()
    page = await person.consent_page(
        terminal, code_challenge=challenge(verifier.encode("ascii", "replace").decode())
    )
    answered = await person.press(page)
    code = answered.headers["location"].partition("code=")[2].partition("&")[0]
    refused = await terminal.redeem(code, codeVerifier=verifier)
    assert refused.headers["x-amzn-errortype"] == "InvalidGrantException"


async def test_little_of_what_a_device_calls_itself_is_kept(world: SignInWorld) -> None:
    person, terminal = Person(world), await Terminal(world).register(device=True)
    await person.sign_in()
    terminal.http.headers["user-agent"] = "\x7fA" + "b" * 8000
    device = await terminal.begin()
    page = await person.browser.get(device["verificationUriComplete"])
    assert f"<code>A{'b' * 98}</code>" in page.text


@pytest.mark.parametrize("path", ["client/register", "device_authorization"])
async def test_an_address_begins_only_so_much(world: SignInWorld, path: str) -> None:
    terminal = await Terminal(world).register(device=True)
    world.clock.move(2)
    params = {
        "client/register": {
            "clientName": "x",
            "clientType": "public",
            "scopes": SCOPES,
        },
        "device_authorization": {
            **terminal.credentials,
            "startUrl": f"{ORIGIN}/portal/{ACCOUNT}",
        },
    }[path]
    answers = [await terminal.post(path, **params) for _ in range(PER_ADDRESS + 1)]
    assert [response.status_code for response in answers] == [*[200] * PER_ADDRESS, 400]
    assert answers[-1].headers["x-amzn-errortype"] == "SlowDownException"


async def test_a_sign_in_is_dropped_when_it_is_signed_out_of(
    world: SignInWorld,
) -> None:
    person, terminal, tokens = await logged_in(world)
    handle = person.browser.cookies["broker-portal"]
    services = world.services
    kept = Handles(services.handles, services.vault, "portal")
    assert await kept.find(handle) is not None
    await terminal.ask("logout", tokens["accessToken"])
    assert await kept.find(handle) is None


async def test_a_sign_in_that_was_signed_out_of_is_not_renewed(
    world: SignInWorld,
) -> None:
    person, terminal, tokens = await logged_in(world)
    code = await person.code_for(terminal)
    await terminal.ask("logout", tokens["accessToken"])
    renewed = await terminal.token("refresh_token", refreshToken=tokens["refreshToken"])
    for refused in (renewed, await terminal.redeem(code)):
        assert refused.headers["x-amzn-errortype"] == "InvalidGrantException"


async def test_a_client_that_renews_nothing_has_one_token_for_the_whole_sign_in(
    world: SignInWorld,
) -> None:
    person, terminal = Person(world), Terminal(world)
    await terminal.register(device=True, grantTypes=[DEVICE_CODE])
    await person.sign_in()
    device = await terminal.begin()
    await person.answer_device(device["userCode"])
    tokens = (await terminal.poll(device)).json()
    assert tokens.get("refreshToken") is None
    _, _, renewed = await logged_in(world)
    assert renewed["refreshToken"]
    assert renewed["expiresIn"] <= 3600 < tokens["expiresIn"]


async def test_workers_of_the_version_before_and_this_one_read_each_others_tokens(
    world: SignInWorld,
) -> None:
    """As in an upgrade, where both answer."""
    _, terminal, tokens = await logged_in(world)
    sealed = SealedTexts(world.services.vault, "portal-login-refresh")
    value = sealed.find_opened(tokens["refreshToken"], world.clock.now())
    assert value is not None
    # The version before builds its record of these alone.
    assert value.keys() == {"client_id", "ends_at", "session", "thumbprint", "serial"}
    ends_at = datetime.fromtimestamp(value["ends_at"], UTC)
    older = sealed.seal({**value, "serial": "s"}, ends_at)
    assert older != tokens["refreshToken"]
    answers = [
        (await terminal.token("refresh_token", refreshToken=older)).json()
        for _ in range(2)
    ]
    (successor,) = {answer["refreshToken"] for answer in answers}
    assert sealed.find_opened(successor, world.clock.now()) is not None
    assert (await terminal.role(answers[0]["accessToken"])).status_code == 200
