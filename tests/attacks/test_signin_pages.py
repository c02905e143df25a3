"""Attacks on the browser's doors.

Rows SAML-32, STS-06 to STS-09, GEN-01 and GEN-02 of the threat checklist.
"""

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from lxml import html
from msgspec.structs import replace

from broker.model.session import SessionKind
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from tests.support.effort import cpu_at_most
from tests.support.portal import Person
from tests.support.saml_idp import key_pair
from tests.support.signin import (
    ACCOUNT,
    COOKIE,
    ORIGIN,
    OTHER,
    SignInWorld,
    form_fields,
    get_signin_token,
    login_url,
    pair,
    session_json,
    text_of,
)

PORTAL, PORTAL_COOKIE = f"/portal/{ACCOUNT}", "broker-portal"
SAME = {"sec-fetch-site": "same-origin"}
CROSS = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
MARKUP = "\"><script>alert(1)</script>'&amp;<img src=x onerror=alert(1)>"


async def test_a_token_is_redeemed_once_even_in_a_race(world: SignInWorld) -> None:
    """STS-06: one atomic delete-and-return."""
    browser = world.browser()
    token = await get_signin_token(browser, await world.mint(SessionKind.ASSUME_ROLE))
    answers = await asyncio.gather(
        *(world.browser().get(login_url(token)) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [302] + [400] * 7


async def test_a_handle_is_used_once_even_in_a_race(world: SignInWorld) -> None:
    browser = world.browser()
    posted = await browser.post("/saml", data={"SAMLResponse": world.response()})
    answers = await asyncio.gather(
        *(browser.get(posted.headers["location"]) for _ in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [303] + [400] * 7


@pytest.mark.parametrize("seconds", [901, 4000])
async def test_a_token_ends_after_15_minutes(world: SignInWorld, seconds: int) -> None:
    browser = world.browser()
    token = await get_signin_token(browser, await world.mint(SessionKind.ASSUME_ROLE))
    world.clock.move(seconds)
    assert (await browser.get(login_url(token))).status_code == 400


async def test_a_token_ends_with_its_credentials(world: SignInWorld) -> None:
    browser = world.browser()
    minted = await world.mint(SessionKind.ASSUME_ROLE, duration_seconds=60)
    token = await get_signin_token(browser, minted, SessionDuration="3600")
    world.clock.move(61)
    # It is gone from the cache, not only refused: 403 would say "expired session".
    assert (await browser.get(login_url(token))).status_code == 400


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "é", "x" * 9000, "../../etc"])
async def test_a_made_up_token_opens_nothing(world: SignInWorld, token: str) -> None:
    answer = await world.browser().get(login_url(token))
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


async def test_a_cookie_that_someone_else_planted_is_not_adopted(
    world: SignInWorld,
) -> None:
    """STS-08, fixation: the value is new at every sign-in."""
    planted = "p" * 43
    browser = world.browser(cookies={COOKIE: planted})
    entered = await world.sign_in(browser)
    assert planted not in entered.headers["set-cookie"]
    stale = await world.browser(cookies={COOKIE: planted}).get("/console/")
    assert stale.status_code == 303


@pytest.mark.parametrize("is_moved", [False, True])
async def test_a_cookie_of_the_console_or_the_portal_opens_no_page_of_the_other(
    world: SignInWorld, is_moved: bool
) -> None:
    """Not even if someone moves what is stored under it to the other's place."""
    services, person = world.services, Person(world)
    at_console = (services.stores.cache, "console")
    at_portal = (services.handles, "portal")
    await person.sign_in()
    await world.sign_in(person.browser)
    console, portal = (person.browser.cookies[name] for name in (COOKIE, PORTAL_COOKIE))
    for path in ("/console/", PORTAL):
        assert (await person.browser.get(path)).status_code == 200
    if is_moved:
        until = world.clock.now() + timedelta(hours=1)
        for handle, source, target in (
            (console, at_console, at_portal),
            (portal, at_portal, at_console),
        ):
            digest = hashlib.sha256(handle.encode()).digest()
            kept = await source[0].get(source[1], digest)
            assert kept is not None
            await target[0].put(target[1], digest, kept, expires_at=until)
    thief = world.browser(cookies={COOKIE: portal, PORTAL_COOKIE: console})
    for path in ("/console/", PORTAL):
        answer = await thief.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/signin")


@pytest.mark.parametrize("cookie", ["x" * 43, "x", "é" * 43, "", '"' * 43])
async def test_a_forged_cookie_is_ignored(world: SignInWorld, cookie: str) -> None:
    raw = f"{COOKIE}={cookie}".encode()
    answer = await world.browser().get("/console/", headers={b"cookie": raw})  # type: ignore[dict-item]
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin")


@pytest.mark.parametrize("path", ["/signin", f"/signin/{ACCOUNT}", "/console/"])
async def test_a_long_cookie_is_read_at_once(world: SignInWorld, path: str) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    value = '"' + "\\" * 50_000 + '"'
    sent = "; ".join(f"{name}={each}" for name, each in browser.cookies.items())
    raw = f"{sent}; broker-known={value}; broker-done={value}"
    with cpu_at_most(1_000):
        answer = await browser.get(path, headers={"cookie": raw})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/console/credentials", "/console/sign-out"])
@pytest.mark.parametrize("how", ["no-token", "foreign-token", "cross-site", "no-site"])
async def test_other_sites_cannot_write(
    world: SignInWorld, path: str, how: str
) -> None:
    """STS-08, CSRF."""
    browser = world.browser()
    await world.sign_in(browser)
    fields = form_fields(await browser.get("/console/"), path)
    headers = SAME
    if how == "no-token":
        fields = {}
    elif how == "foreign-token":
        other = world.browser()
        await world.sign_in(other)
        fields = form_fields(await other.get("/console/"), path)
    else:
        headers = CROSS if how == "cross-site" else {}
    answer = await browser.post(path, data=fields, headers=headers)
    assert answer.status_code == 403
    assert (await browser.get("/console/")).status_code == 200
    assert not any("Credentials" in record.action for record in await world.audit())


async def test_a_form_is_not_replayed_after_signing_in_again(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    old = form_fields(await browser.get("/console/"), "/console/credentials")
    await world.sign_in(browser)
    answer = await browser.post("/console/credentials", data=old, headers=SAME)
    assert answer.status_code == 403


async def test_a_foreign_sign_in_does_not_replace_a_session_unasked(
    world: SignInWorld,
) -> None:
    """STS-08, login CSRF: the attacker's own response, posted by another's browser."""
    victim = world.browser()
    await world.sign_in(victim)
    foreign = world.response(aws={"session_name": "mallory"})
    posted = await victim.post("/saml", data={"SAMLResponse": foreign}, headers=CROSS)
    page = await victim.get(posted.headers["location"], headers=CROSS)
    assert page.status_code == 200
    assert COOKIE not in page.cookies
    text = text_of(page)
    assert "Reader/alice@example.com" in text
    assert "Reader/mallory" in text
    fields = form_fields(page, "/signin/continue")
    for headers, data in ((CROSS, fields), (SAME, fields | {"csrf": "x"})):
        answer = await victim.post("/signin/continue", data=data, headers=headers)
        assert answer.status_code == 403
    assert "Signed in as alice@example.com" in text_of(await victim.get("/console/"))
    # The refused posts did not use up what the person may still want.
    answer = await victim.post("/signin/continue", data=fields, headers=SAME)
    assert answer.status_code == 303


async def test_the_question_cannot_be_answered_from_another_site_without_a_session(
    world: SignInWorld,
) -> None:
    posted = await world.browser().post(
        "/saml", data={"SAMLResponse": world.response()}
    )
    handle = posted.headers["location"].partition("handle=")[2]
    answer = await world.browser().post(
        "/signin/continue", data={"handle": handle}, headers=CROSS
    )
    assert answer.status_code == 403


async def test_the_api_reads_no_cookies(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    answer = await browser.post(
        "/", data={"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    )
    assert answer.status_code == 403
    assert "MissingAuthenticationToken" in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8080", ""]
)
async def test_another_host_name_gets_no_page(world: SignInWorld, host: str) -> None:
    answer = await world.browser().get("/signin", headers={"host": host})
    assert answer.status_code == 421


async def test_a_provider_of_another_account_opens_nothing_here(
    world: SignInWorld,
) -> None:
    """Same entity id, another key: their assertions never reach our roles."""
    response = world.response(
        pair("Reader"), pair("Admin"), signing_key=key_pair("other")
    )
    answer = await world.browser().post("/saml", data={"SAMLResponse": response})
    assert answer.status_code == 400


async def test_a_chosen_role_cannot_be_swapped_under_way(world: SignInWorld) -> None:
    """The role is checked against the assertion, never taken from a form field."""
    response = world.response(pair("Reader"))
    for role in (f"arn:aws:iam::{ACCOUNT}:role/Admin", f"arn:aws:iam::{OTHER}:role/x"):
        answer = await world.browser().post(
            "/saml", data={"SAMLResponse": response, "roleIndex": role}
        )
        assert answer.status_code == 403


async def test_a_hundred_nominated_providers_are_not_all_asked(
    world: SignInWorld,
) -> None:
    roles = [pair("Reader", ACCOUNT, f"P{n}") for n in range(100)]
    answer = await world.browser().post(
        "/saml", data={"SAMLResponse": world.response(*roles, pair("Reader"))}
    )
    assert answer.status_code == 400


async def test_markup_in_names_is_shown_as_text(world: SignInWorld) -> None:
    """STS-09, GEN-01: aliases and tags are written by others."""
    account = await world.services.stores.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await update_account(change, replace(account, alias=MARKUP))
    browser = world.browser()
    response = world.response(pair("Reader"), pair("Admin"))
    page = await browser.post(
        "/saml", data={"SAMLResponse": response, "RelayState": MARKUP}
    )
    assert_harmless(page)
    assert form_fields(page, "/saml")["RelayState"] == MARKUP
    token = await get_signin_token(
        browser,
        await world.mint(
            SessionKind.ASSUME_ROLE,
            name=MARKUP,
            tags={MARKUP: MARKUP},
            source_identity=MARKUP,
        ),
    )
    await browser.get(login_url(token, Issuer=MARKUP))
    home = await browser.get("/console/")
    assert_harmless(home)
    assert home.text.count("&lt;script&gt;") >= 6
    await world.sign_in(browser)
    world.clock.move(3700)
    assert_harmless(await browser.get("/console/"))


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/federation", {"Action": MARKUP}),
        ("/federation", {"Action": "login", "Destination": MARKUP, "SigninToken": "x"}),
        ("/federation", {"Action": "getSigninToken", "Session": MARKUP}),
        ("/signin/continue", {"handle": MARKUP}),
        ("/saml", {"SAMLResponse": MARKUP, "RelayState": MARKUP}),
    ],
)
async def test_markup_in_parameters_is_never_live(
    world: SignInWorld, path: str, given: dict[str, str]
) -> None:
    browser = world.browser()
    answer = await (
        browser.post(path, data=given)
        if path == "/saml"
        else browser.get(path, params=given)
    )
    assert answer.status_code == 400
    assert_harmless(answer)


@pytest.mark.parametrize(
    "value", ["a\r\nSet-Cookie: x=y", "/console/\r\nx: y", "/console/%0d%0ax", "\x00"]
)
async def test_no_header_can_be_injected(world: SignInWorld, value: str) -> None:
    browser = world.browser()
    posted = await browser.post(
        "/saml", data={"SAMLResponse": world.response(), "RelayState": value}
    )
    entered = await browser.get(posted.headers["location"])
    assert entered.headers["location"] == "/console/"
    token = await get_signin_token(browser, await world.mint(SessionKind.ASSUME_ROLE))
    assert (await browser.get(login_url(token, value))).status_code == 400


async def test_no_secret_reaches_log_or_audit(
    world: SignInWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    """GEN-02."""
    browser = world.browser()
    response = world.response()
    await browser.post("/saml", data={"SAMLResponse": response})
    entered = await world.sign_in(browser)
    cookie = browser.cookies[COOKIE]
    home = await browser.get("/console/")
    fields = form_fields(home, "/console/credentials")
    page = await browser.post("/console/credentials", data=fields, headers=SAME)
    (bash,) = html.fromstring(page.text).xpath(
        "//pre[@id='bash']/text() | //pre[@id='bash']/code/text()"
    )
    rows = [line.split("=", 1)[1] for line in str(bash).splitlines()[1:3]]
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    token = await get_signin_token(browser, minted)
    wrong = session_json(minted, sessionKey="w" * 40)
    await browser.get(
        "/federation", params={"Action": "getSigninToken", "Session": wrong}
    )
    await world.browser().get(login_url(token))
    await world.browser().get(login_url(token))
    credentials = minted.credentials
    secrets = [
        response[:60],
        cookie,
        fields["csrf"],
        token,
        *rows,
        "w" * 40,
        credentials.secret_access_key.reveal(),
        credentials.session_token.reveal(),
    ]
    assert entered.status_code == 303
    logged = "".join(capfd.readouterr())
    recorded = repr(await world.audit())
    for secret in secrets:
        assert secret not in logged
        assert secret not in recorded


async def test_the_cache_holds_no_bearer(world: SignInWorld, tmp_path: Path) -> None:
    """What a thief of the cache finds opens nothing."""
    browser = world.browser()
    await world.sign_in(browser)
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    token = await get_signin_token(browser, minted)
    stored = b"".join(
        path.read_bytes() for path in (tmp_path / "data").glob("broker.db*")
    )
    assert minted.session.access_key_id.encode() in stored
    for secret in (
        browser.cookies[COOKIE],
        token,
        minted.credentials.session_token.reveal(),
        minted.credentials.secret_access_key.reveal(),
    ):
        assert secret.encode() not in stored


async def test_huge_and_broken_bodies_are_refused_early(world: SignInWorld) -> None:
    browser = world.browser()
    kind = {"content-type": "application/x-www-form-urlencoded"}
    for path, body, status in (
        ("/saml", b"SAMLResponse=" + b"A" * 400_000, 413),
        ("/federation", b"Action=" + b"A" * 40_000, 413),
        ("/saml", b"\xff\xfe", 400),
        ("/saml", b"&".join(b"a%d=" % n for n in range(1000)), 400),
    ):
        answer = await browser.post(path, content=body, headers=kind)
        assert answer.status_code == status


def assert_harmless(page: Any) -> None:
    tree = html.fromstring(page.text)
    scripts = tree.xpath("//script")
    assert all(
        script.get("src", "").startswith("/console/static/") for script in scripts
    )
    assert not tree.xpath("//img")
    assert not tree.xpath("//@onerror")
    assert all(
        link.startswith(("/", "#", ORIGIN))
        for link in tree.xpath("//@href | //@action")
    )


@pytest.mark.parametrize(
    "digits",
    ["\u0661" * 12, "\uff11" * 12, "\u00b2" * 12, "1" * 11 + "\u0661", "9" * 5000],
)
async def test_unusual_digits_find_no_account(world: SignInWorld, digits: str) -> None:
    """What other scripts count with, and more digits than Python reads."""
    browser = world.browser()
    place = f"/signin/{quote(digits)}"
    for method, path, form in (
        ("POST", f"{place}/with/x/backchannel-logout", {"logout_token": "a.b.c"}),
        ("GET", f"{place}/with/x/frontchannel-logout?iss=a&sid=b", None),
        ("GET", f"{place}/with/x", None),
        ("GET", place, None),
        ("POST", place, {"username": "ana", "password": "x"}),
        ("GET", f"/signin?account={quote(digits)}", None),
        ("POST", "/signin", {"account": digits}),
        ("GET", f"/issuer/{quote(digits)}/.well-known/jwks.json", None),
        ("GET", f"/console/simulator?start={quote(digits)}", None),
    ):
        answer = await browser.request(method, path, data=form, headers=SAME)
        assert answer.status_code < 500, (method, path[:60])
