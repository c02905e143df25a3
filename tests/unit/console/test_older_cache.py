"""The cache comes back older: nothing spent or ended revives.

And a store that is away at the moment of the mint spends nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest
from starlette.requests import Request

from broker.compose import app as composition
from broker.console.console_session import SessionOrigin
from broker.console.context import ConsoleContext
from broker.console.pending_login import PendingLogin
from broker.console.signin.login_completion import LoginCompletion
from broker.errors import AccessDenied
from broker.model.session import SessionKind
from broker.stores.errors import StoreUnavailableError
from tests.support.older_cache import Snapshot
from tests.support.passwords import (
    create_user,
    give_device,
    send_password,
    send_step,
)
from tests.support.signin import (
    COOKIE,
    SignInWorld,
    form_fields,
    get_signin_token,
    login_url,
    role_arn,
)
from tests.unit.console.signin.test_command_line import (
    Terminal,
    allow,
    get_code,
    refused,
)
from tests.unit.console.signin.test_oidc_logout import (
    Scene,
    channel,
    is_in,
    logout_token,
    tell,
)


def snapshot(world: SignInWorld) -> Snapshot:
    return Snapshot(world.services.settings.data_dir)


@pytest.fixture
def scene(world: SignInWorld) -> Scene:
    return Scene(world, ConsoleContext(composition.console_deps(world.services, ())))


@asynccontextmanager
async def no_mints(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """The database is away for whoever mints."""

    async def refuse(*_: object) -> None:
        raise StoreUnavailableError("the database cannot be written")

    with monkeypatch.context() as patched:
        patched.setattr(world.services.stores.ledger, "mint", refuse)
        yield


Way = Callable[[SignInWorld, Any], Awaitable[Callable[[], Awaitable[httpx.Response]]]]
"""Leads up to the mint of one way in; what it gives goes the last step."""


async def by_signin_token(world: SignInWorld, _: Any) -> Any:
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    browser = world.browser()
    token = await get_signin_token(browser, minted)
    return lambda: world.browser().get(login_url(token))


async def by_posted_signin_token(world: SignInWorld, _: Any) -> Any:
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    token = await get_signin_token(world.browser(), minted)
    url, _, query = login_url(token).partition("?")
    browser = world.browser()
    posted = await browser.post(
        url,
        content=query,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    return lambda: browser.get(posted.headers["location"])


async def by_saml(world: SignInWorld, _: Any) -> Any:
    browser = world.browser()
    posted = await browser.post("/saml", data={"SAMLResponse": world.response()})
    return lambda: browser.get(posted.headers["location"])


async def by_password(world: SignInWorld, _: Any) -> Any:
    """With a code: another user is signed in, so that the last step waits."""
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    browser = world.browser()
    await world.sign_in(browser)
    response = await send_password(browser)
    asked = await send_step(
        browser, response, "factor", factor="code", code=phone.code(world)
    )
    fields = form_fields(asked, "/signin/continue")
    origin = {"origin": world.services.settings.public_origin}
    return lambda: browser.post("/signin/continue", data=fields, headers=origin)


async def by_code(world: SignInWorld, _: Any) -> Any:
    terminal = Terminal(world, world.browser())
    code = await get_code(terminal)
    return lambda: terminal.redeem(code)


WAYS: list[Way] = [
    by_signin_token,
    by_posted_signin_token,
    by_saml,
    by_password,
    by_code,
]


def got_in(answer: httpx.Response) -> bool:
    if answer.status_code == 200:
        return "accessToken" in answer.json()
    return answer.status_code in {302, 303} and COOKIE in answer.cookies


@pytest.mark.parametrize("way", WAYS)
async def test_what_was_spent_stays_spent(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    last_step = await way(world, monkeypatch)
    before = snapshot(world)
    assert got_in(await last_step())
    before.bring_back()
    again = await last_step()
    assert again.status_code in {400, 401}
    assert not got_in(again)


@pytest.mark.parametrize("way", WAYS)
async def test_what_failed_for_a_store_spends_nothing(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    last_step = await way(world, monkeypatch)
    async with no_mints(world, monkeypatch):
        for _ in range(2):
            refused_for_now = await last_step()
            assert refused_for_now.status_code == 503
            assert refused_for_now.headers["retry-after"] == "1"
    assert got_in(await last_step())
    assert not got_in(await last_step())


@pytest.mark.parametrize("way", WAYS)
async def test_of_many_at_once_one_gets_in(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    last_step = await way(world, monkeypatch)
    answers = await asyncio.gather(*(last_step() for _ in range(6)))
    assert sum(map(got_in, answers)) == 1


async def test_a_sign_in_at_a_provider_opens_one_session(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose ID token may come again, as it may at the API."""
    uses = []

    async def perform(*_: Any, one_time_use: Any, **__: Any) -> Any:
        uses.append(one_time_use().key)
        raise StoreUnavailableError

    monkeypatch.setattr(scene.context, "perform", perform)
    browser = Request({"type": "http", "headers": []})
    for state in ("one-state", "one-state", "another"):
        pending = PendingLogin(
            door="oidc",
            destination="",
            role_arn=role_arn("Reader"),
            token="the.id.token",
            session_name="alice",
            state=state,
        )
        with pytest.raises(StoreUnavailableError):
            await LoginCompletion(scene.context).sign_in(browser, pending)
    assert uses[0] == uses[1] != uses[2]


async def sign_out(browser: httpx.AsyncClient) -> httpx.Response:
    return await browser.get("/federation", params={"Action": "logout"})


async def test_who_signed_out_stays_signed_out(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    stolen = world.browser(cookies={COOKIE: browser.cookies[COOKIE]})
    before = snapshot(world)
    assert (await sign_out(browser)).status_code == 303
    before.bring_back()
    assert not await is_in(stolen)


async def test_the_button_signs_out_for_good_too(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    stolen = world.browser(cookies={COOKIE: browser.cookies[COOKIE]})
    fields = form_fields(await browser.get("/console/"), "/console/sign-out")
    before = snapshot(world)
    origin = {"origin": world.services.settings.public_origin}
    await browser.post("/console/sign-out", data=fields, headers=origin)
    before.bring_back()
    assert not await is_in(stolen)


async def test_a_session_that_another_replaced_stays_away(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    stolen = world.browser(cookies={COOKIE: browser.cookies[COOKIE]})
    before = snapshot(world)
    await world.sign_in(browser)
    assert await is_in(browser)
    before.bring_back()
    assert not await is_in(stolen)


async def test_without_the_database_no_one_is_told_that_they_signed_out(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    other = world.browser(cookies={COOKIE: browser.cookies[COOKIE]})

    def refuse(_: object) -> Any:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(world.services.stores.directory, "change", refuse)
        assert (await sign_out(browser)).status_code == 503
    assert await is_in(other)
    assert (await sign_out(browser)).status_code == 303
    assert (await other.get("/console/")).status_code == 303


async def test_a_switched_session_ends_with_the_one_it_came_from(
    world: SignInWorld, scene: Scene
) -> None:
    """Its own cookie, too, which a browser that switched back has no more."""
    first, second = [await world.mint(SessionKind.SAML) for _ in range(2)]

    async def open_session(minted: Any, origin: SessionOrigin) -> str:
        credentials = minted.credentials
        return await scene.context.sessions.open(
            credentials.access_key_id,
            credentials.session_token.reveal(),
            credentials.expiration,
            origin,
        )

    cookie = await open_session(first, SessionOrigin(door="saml"))
    who: Any = await scene.context.sessions.find(cookie, world.clock.now())
    switched = await open_session(
        second, SessionOrigin(door="switch", back=cookie, ids=who.origin.ids)
    )
    browser = world.browser(cookies={COOKIE: switched})
    assert await is_in(browser)
    before = snapshot(world)
    await sign_out(world.browser(cookies={COOKIE: cookie}))
    before.bring_back()
    assert not await is_in(browser)


async def test_signing_out_ends_its_terminals(world: SignInWorld) -> None:
    terminal = Terminal(world, world.browser())
    browser = world.browser()
    await world.sign_in(browser)
    answer = await allow(terminal, browser)
    (code,) = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    token = (await terminal.redeem(code)).json()["refreshToken"]
    await sign_out(browser)
    assert refused(await terminal.renew(token), "TOKEN_EXPIRED")


async def test_a_login_that_ended_stays_ended(world: SignInWorld) -> None:
    terminal = Terminal(world, world.browser())
    code = await get_code(terminal)
    token = (await terminal.redeem(code)).json()["refreshToken"]
    before = snapshot(world)
    assert refused(await terminal.redeem(code), "AUTHCODE_EXPIRED")
    before.bring_back()
    assert refused(await terminal.renew(token), "TOKEN_EXPIRED")
    assert (await world.recorded("signin:RevokeOAuth2Token")).access_key_id


@pytest.mark.parametrize("which", ["back", "front"])
async def test_what_a_provider_ended_stays_ended(scene: Scene, which: str) -> None:
    provider = await scene.register()
    login = scene.login(provider)
    browser, _ = await scene.sign_in(login)
    before = snapshot(scene.world)
    if which == "back":
        await tell(scene, provider, logout_token(sid=login.session_id))
    else:
        query = {"iss": provider.url, "sid": login.session_id}
        await scene.world.browser().get(channel(provider, "front"), params=query)
    assert not await is_in(browser)
    before.bring_back()
    assert not await is_in(browser)


async def test_a_logout_holds_for_sign_ins_on_their_way(scene: Scene) -> None:
    provider = await scene.register()
    login = scene.login(provider)
    before = snapshot(scene.world)
    await tell(scene, provider, logout_token(sub="alice"))
    before.bring_back()
    with pytest.raises(AccessDenied):
        await scene.sign_in(login)
    later = scene.login(provider, issued_at=scene.world.clock.now().timestamp() + 1)
    browser, _ = await scene.sign_in(later)
    assert await is_in(browser)
