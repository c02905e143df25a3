"""A sign-in that waits on its way is of the browser that began it.

Its address, or the form that leads on, is sent to somebody else: row STS-08, login CSRF.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from msgspec import Struct
from msgspec.structs import replace

from broker.kinds.first_administrator import make_administrator
from broker.model.session import SessionKind
from broker.stores.directory.kinds import SAML_PROVIDER
from tests.support.directory_world import START as DIRECTORY
from tests.support.directory_world import directory_world
from tests.support.directory_world import send_password as send_to_directory
from tests.support.passwords import (
    PAGE,
    PASSWORD,
    create_user,
    give_device,
    send_password,
)
from tests.support.portal import Person, Terminal
from tests.support.signin import (
    ACCOUNT,
    COOKIE,
    ORIGIN,
    SignInWorld,
    form_fields,
    get_signin_token,
    login_url,
    open_world,
    text_of,
)
from tests.support.slapd import Slapd, dn_of, group, person, start_slapd
from tests.unit.console.signin.test_command_line import Terminal as CommandLineTerminal
from tests.unit.console.signin.test_password_signin import MAY_CHANGE, NEW
from tests.unit.console.signin.test_saml_requests import UUID, answer, begin, post

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])

PORTAL, PORTAL_COOKIE = f"/portal/{ACCOUNT}", "broker-portal"
SAML = f"/signin/{ACCOUNT}/with/{UUID}"
SAME = {"sec-fetch-site": "same-origin"}


class Waiting(Struct):
    """A request that leads a parked sign-in on: a link, or a form of the page before."""

    path: str
    form: dict[str, str] | None = None

    async def send(self, browser: httpx.AsyncClient) -> httpx.Response:
        if self.form is None:
            return await browser.get(self.path)
        return await browser.post(self.path, data=self.form, headers=SAME)


Park = Callable[[SignInWorld, httpx.AsyncClient], Awaitable[Waiting]]
PARKED: dict[str, Park] = {}


def parked(name: str) -> Callable[[Park], Park]:
    def add(park: Park) -> Park:
        PARKED[name] = park
        return park

    return add


def redirected(response: httpx.Response) -> Waiting:
    location = response.headers.get("location", "")
    assert location.startswith("/signin/continue?handle="), response.text
    return Waiting(location)


async def answered_request(
    world: SignInWorld, browser: httpx.AsyncClient, start: str = SAML
) -> httpx.Response:
    request = await begin(browser, start)
    return await post(browser, answer(world, request.get("ID")))


@parked("a SAML request's answer, to the console")
async def _(world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    return redirected(await answered_request(world, browser))


@parked("a SAML request's answer, to the portal")
async def _(world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    start = f"{SAML}?Destination={PORTAL}"
    return redirected(await answered_request(world, browser, start))


@parked("an unsolicited SAML response, to the console")
async def _(world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    return redirected(
        await browser.post("/saml", data={"SAMLResponse": world.response()})
    )


@parked("an unsolicited SAML response, to the portal")
async def _(world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    data = {"SAMLResponse": world.response(), "RelayState": PORTAL}
    return redirected(await browser.post("/saml", data=data))


@parked("a posted sign-in token")
async def _(world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    url, _, form = login_url(await get_signin_token(browser, minted)).partition("?")
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return redirected(await browser.post(url, content=form, headers=kind))


@parked("a directory's password, to the console")
async def _(_world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    return redirected(await send_to_directory(browser, "ann"))


@parked("a directory's password, to the portal")
async def _(_world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    return redirected(await send_to_directory(browser, "ann", destination=PORTAL))


async def choice(browser: httpx.AsyncClient, pick: str) -> Waiting:
    page = await send_to_directory(browser, "bob")
    fields = form_fields(page, "/signin/oidc/role")
    return Waiting("/signin/oidc/role", {**fields, "pick": pick})


@parked("a choice of roles, for one of them")
async def _(_world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    return await choice(browser, f"arn:aws:iam::{ACCOUNT}:role/Boss")


@parked("a choice of roles, for the portal")
async def _(_world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    return await choice(browser, "portal")


@parked("a password, while somebody else is signed in")
async def _(world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    await create_user(world)
    await world.sign_in(browser)
    fields = form_fields(await send_password(browser), "/signin/continue")
    return Waiting("/signin/continue", fields)


@parked("the link of that question")
async def _(world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    await create_user(world)
    await world.sign_in(browser)
    fields = form_fields(await send_password(browser), "/signin/continue")
    return Waiting(f"/signin/continue?handle={fields['handle']}")


@parked("the second step of a password")
async def _(world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    user = await create_user(world)
    phone = await give_device(world, user.user_id)
    fields = form_fields(await send_password(browser), f"{PAGE}/factor")
    step = {"factor": "code", "code": phone.code(world)}
    return Waiting(f"{PAGE}/factor", {**fields, **step})


@parked("a new password that must be chosen")
async def _(world: SignInWorld, browser: httpx.AsyncClient) -> Waiting:
    await create_user(world, policy=MAY_CHANGE, reset_required=True)
    fields = form_fields(await send_password(browser), f"{PAGE}/new-password")
    new = {"password": PASSWORD, "new": NEW, "again": NEW}
    return Waiting(f"{PAGE}/new-password", {**fields, **new})


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with start_slapd(
        person("ann"),
        person("bob"),
        group("staff", dn_of("ann"), dn_of("bob")),
        group("admins", dn_of("bob")),
    ) as server:
        yield server


@pytest.fixture
async def world(slapd: Slapd, tmp_path: Path) -> AsyncIterator[SignInWorld]:
    groups = {"staff": ["Staff"], "admins": ["Boss"]}
    async with directory_world(tmp_path, slapd, groups) as world:
        async with world.services.stores.directory.change(ACCOUNT) as change:
            provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
            assert provider is not None
            signs_in = {"SignIn": True}
            await change.update(SAML_PROVIDER, replace(provider, options=signs_in))
        yield world


async def victim_of(world: SignInWorld, *, signed_in: bool) -> httpx.AsyncClient:
    """Somebody's browser, signed in to console and portal if so."""
    victim = Person(world)
    # It has a cookie of its own from here in any case.
    await victim.browser.get(f"/signin/{ACCOUNT}")
    if signed_in:
        vera = {"aws": {"session_name": "vera"}}
        await victim.sign_in(**vera)
        await world.sign_in(victim.browser, **vera)
    return victim.browser


async def is_signed_in(browser: httpx.AsyncClient, name: str) -> bool:
    """At the console and the portal."""
    pages = [await browser.get(path) for path in ("/console/", PORTAL)]
    return all(page.status_code == 200 and name in text_of(page) for page in pages)


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("way", PARKED)
async def test_what_is_parked_for_one_browser_opens_nothing_in_another(
    world: SignInWorld, way: str, signed_in: bool
) -> None:
    mallory = world.browser()
    waiting = await PARKED[way](world, mallory)
    victim = await victim_of(world, signed_in=signed_in)
    if waiting.form and "csrf" in waiting.form:
        # Even if the form were one of the victim's own pages.
        own = await victim.get("/console/" if signed_in else PAGE)
        csrf = form_fields(own, "/console/sign-out" if signed_in else PAGE)["csrf"]
        waiting = replace(waiting, form={**waiting.form, "csrf": csrf})
    before = dict(victim.cookies)

    refused = await waiting.send(victim)

    assert refused.status_code in {400, 403}, refused.text
    assert "not started in this browser" in text_of(refused) or (
        "form is out of date" in text_of(refused)
    )
    assert dict(victim.cookies) == before
    assert await is_signed_in(victim, "vera") is signed_in


@pytest.mark.parametrize("way", PARKED)
async def test_what_another_browser_tried_goes_on_in_its_own(
    world: SignInWorld, way: str
) -> None:
    browser = world.browser()
    waiting = await PARKED[way](world, browser)
    await waiting.send(await victim_of(world, signed_in=True))
    response = await waiting.send(browser)
    if response.status_code == 200:  # asked, as it is a link to the question
        form = form_fields(response, "/signin/continue")
        response = await Waiting("/signin/continue", form).send(browser)
    assert response.status_code == 303, text_of(response)
    assert {COOKIE, PORTAL_COOKIE} & set(response.cookies)


async def test_tabs_of_one_browser_do_not_disturb_each_other(
    world: SignInWorld,
) -> None:
    """All are begun before one is finished; who is somebody else by then is asked."""
    browser = world.browser()
    ways = [
        "a SAML request's answer, to the console",
        "an unsolicited SAML response, to the console",
        "an unsolicited SAML response, to the portal",
        "a posted sign-in token",
        "a directory's password, to the console",
        "a directory's password, to the portal",
        "a choice of roles, for one of them",
    ]
    waiting = {way: await PARKED[way](world, browser) for way in ways}
    for way in ways:
        response = await waiting[way].send(browser)
        assert response.status_code in {200, 303}, (way, text_of(response))
        if response.status_code == 200:
            assert form_fields(response, "/signin/continue"), way


async def test_another_site_cannot_fill_the_browser_with_cookies(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    for _ in range(40):
        await browser.post("/saml", data={"SAMLResponse": world.response()})
    names = [name for name in browser.cookies if "arriving" in name]
    assert len(names) == 16
    last = await browser.post("/saml", data={"SAMLResponse": world.response()})
    assert (await redirected(last).send(browser)).status_code == 303


@pytest.mark.parametrize(
    ("origin", "prefix", "secure"),
    [("https://broker.example.com", "__Host-", True), ("http://127.0.0.1", "", False)],
)
async def test_the_cookies_of_a_sign_in_are_short_lived_and_of_this_host_alone(
    tmp_path: Path, origin: str, prefix: str, secure: bool
) -> None:
    async with open_world(tmp_path, public_url=origin) as world:
        browser = world.browser()
        page = await browser.get(f"/signin/{ACCOUNT}")
        posted = await browser.post("/saml", data={"SAMLResponse": world.response()})
        for response, name, life in (
            (page, "broker-sign-in", 3600),
            (posted, "broker-arriving-", 60),
        ):
            (cookie,) = response.headers.get_list("set-cookie")
            assert cookie.startswith(f"{prefix}{name}")
            attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert {"httponly", "path=/", "samesite=lax"} <= attributes
            assert f"max-age={life}" in attributes
            assert ("secure" in attributes) is secure
            assert not any(part.startswith("domain") for part in attributes)
        assert (await redirected(posted).send(browser)).status_code == 303


@pytest.mark.parametrize("path", [PAGE, DIRECTORY])
async def test_a_form_that_was_open_for_longer_than_its_cookie_is_shown_again(
    world: SignInWorld, path: str
) -> None:
    await create_user(world)
    browser = world.browser()
    old = form_fields(await browser.get(path), path)
    browser.cookies.clear()
    filled: dict[str, Any] = {"username": "ann", "password": "hunter2"}
    page = await browser.post(path, data={**old, **filled}, headers=SAME)
    assert page.status_code == 403
    assert "open for too long" in text_of(page)
    assert "hunter2" not in page.text
    assert form_fields(page, path)["csrf"] != old["csrf"]
    new = form_fields(page, path)
    tried = await browser.post(path, data={**new, **filled}, headers=SAME)
    assert "too long" not in text_of(tried)
    elsewhere = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    refused = await browser.post(path, data={**new, **filled}, headers=elsewhere)
    assert "sent from another site" in text_of(refused)


async def test_a_link_that_someone_was_sent_ends_nobodys_session(
    world: SignInWorld,
) -> None:
    """It has no beginning in any browser: it asks before it replaces another person."""
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    token = await get_signin_token(world.browser(), minted)
    async with world.services.stores.directory.change(ACCOUNT) as change:
        made = await make_administrator(
            change, ACCOUNT, alias=None, user_name="eve", now=world.clock.now()
        )
    victim = await victim_of(world, signed_in=True)
    first = f"{PAGE}/first-password"
    page = await victim.get(first, params={"token": made.token.reveal()})
    assert await is_signed_in(victim, "vera")
    typed = {**form_fields(page, first), "new": NEW, "again": NEW}
    chosen = await Waiting(first, typed).send(victim)
    asked = [chosen, await victim.get(login_url(token), follow_redirects=True)]
    for question in asked:
        assert question.status_code == 200, text_of(question)
        assert form_fields(question, "/signin/continue")
        assert await is_signed_in(victim, "vera")


async def client_page(person: Person) -> httpx.Response:
    return await person.consent_page(await Terminal(person.world).register())


async def device_page(person: Person) -> httpx.Response:
    terminal = await Terminal(person.world).register(device=True)
    user_code = (await terminal.begin())["userCode"]
    return await person.browser.get("/portal/device", params={"user_code": user_code})


async def terminal_page(person: Person) -> httpx.Response:
    await person.world.sign_in(person.browser)
    asked = CommandLineTerminal(person.world, person.browser).wanted()
    await person.browser.get("/v1/authorize", params=asked)
    return await person.browser.get("/console/login")


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("show", [client_page, device_page, terminal_page])
async def test_a_consent_page_is_answered_in_its_browser_alone(
    world: SignInWorld,
    show: Callable[[Person], Awaitable[httpx.Response]],
    signed_in: bool,
) -> None:
    """Nobody allows a login that somebody else began, as either of the two."""
    mallory = Person(world)
    await mallory.sign_in()
    page = await show(mallory)
    path = page.url.path
    form = {**form_fields(page, path), "answer": "allow"}
    victim = await victim_of(world, signed_in=signed_in)
    refused = await Waiting(path, form).send(victim)
    if refused.is_redirect:  # to where the waiting login would be shown
        refused = await victim.get(refused.headers["location"])
    assert refused.status_code in {400, 403}, text_of(refused)
    assert await is_signed_in(victim, "vera") is signed_in
    answered = await Waiting(path, form).send(mallory.browser)
    allowed = "has your access" in answered.text
    assert allowed or "code=" in answered.headers.get("location", "")


async def test_a_response_posted_under_another_name_goes_on_at_the_public_one(
    tmp_path: Path,
) -> None:
    """Whose cookies are others; so it is as anybody's as the response itself."""
    async with open_world(tmp_path, host_aliases=("signin.example.com",)) as world:
        browser = world.browser()
        posted = await browser.post(
            "http://signin.example.com/saml",
            data={"SAMLResponse": world.response(recipient=f"{ORIGIN}/saml")},
        )
        assert not posted.cookies
        entered = await redirected(posted).send(browser)
        assert (entered.status_code, COOKIE in entered.cookies) == (303, True)
