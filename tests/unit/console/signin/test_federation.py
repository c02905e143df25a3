"""Credentials, sign-in token, login: the custom federation broker's flow."""

import json
from datetime import timedelta
from typing import Any

import pytest
from lxml import html

from broker.model.session import SessionKind
from tests.support.rows import cases
from tests.support.signin import (
    APPS,
    COOKIE,
    SignInWorld,
    form_fields,
    get_signin_token,
    login_url,
    session_json,
    text_of,
)

HOUR = 3600


async def console_ends(world: SignInWorld) -> int:
    """The length of the newest console session, in seconds from now."""
    login = next(r for r in await world.audit() if r.action == "signin:ConsoleLogin")
    return round(login.session["expires_at"] - world.clock.now().timestamp())


async def ask(world: SignInWorld, session: str, **more: str) -> Any:
    return await world.browser().get(
        "/federation", params={"Action": "getSigninToken", "Session": session, **more}
    )


async def test_credentials_become_a_console_session(world: SignInWorld) -> None:
    browser = world.browser()
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    answer = await browser.get(
        "/federation",
        params={
            "Action": "getSigninToken",
            "SessionType": "json",
            "DurationSeconds": "nonsense",
            "Session": session_json(minted),
        },
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert list(answer.json()) == ["SigninToken"]
    token = answer.json()["SigninToken"]
    assert token.replace("-", "").replace("_", "").isalnum()
    entered = await browser.get(
        login_url(token, SessionDuration="1", Issuer="saml2aws")
    )
    assert (entered.status_code, entered.headers["location"]) == (302, "/console/")
    assert entered.headers["cache-control"] == "no-store"
    assert entered.headers["referrer-policy"] == "no-referrer"
    text = text_of(await browser.get("/console/"))
    assert "carol" in text
    assert "from saml2aws" in text


async def test_a_token_may_be_asked_for_and_used_by_post(world: SignInWorld) -> None:
    browser = world.browser()
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    answer = await browser.post(
        "/federation",
        data={"Action": "getSigninToken", "Session": session_json(minted)},
    )
    params = {
        "Action": "login",
        "Destination": "/console/",
        "SigninToken": answer.json()["SigninToken"],
    }
    posted = await browser.post("/federation", data=params)
    assert posted.status_code == 303
    entered = await browser.get(posted.headers["location"])
    assert (entered.status_code, entered.headers["location"]) == (303, "/console/")
    assert (await browser.get("/console/")).status_code == 200


@cases("kind, order, plain, with_duration")
async def test_which_credentials_open_a_console(
    world: SignInWorld,
    kind: SessionKind,
    order: dict[str, Any],
    plain: int,
    with_duration: int,
) -> None:
    """Source: IAM User Guide, id_roles_providers_enable-console-custom-url and
    id_credentials_sts-comparison."""
    session = session_json(await world.mint(kind, **order))
    assert (await ask(world, session)).status_code == plain
    asked = await ask(world, session, SessionDuration="3600")
    assert asked.status_code == with_duration
    if with_duration == 400:
        assert asked.headers["content-type"].startswith("text/html")
        assert "Invalid credentials parameter" in asked.text


@pytest.mark.parametrize(
    ("duration", "status"),
    [
        ("900", 200),
        ("43200", 200),
        ("899", 400),
        ("43201", 400),
        ("0", 400),
        ("-900", 400),
        ("3600.0", 400),
        ("1e3", 400),
        ("٣٦٠٠", 400),
        ("9" * 5000, 400),
        ("", 400),
        (" 3600", 400),
    ],
)
async def test_session_duration_has_its_range(
    world: SignInWorld, duration: str, status: int
) -> None:
    session = session_json(await world.mint(SessionKind.ASSUME_ROLE))
    answer = await ask(world, session, SessionDuration=duration)
    assert answer.status_code == status


async def test_a_federation_token_console_is_its_users(world: SignInWorld) -> None:
    browser = world.browser()
    minted = await world.mint(SessionKind.FEDERATION_TOKEN)
    await browser.get(login_url(await get_signin_token(browser, minted)))
    home = text_of(await browser.get("/console/"))
    assert "arn:aws:sts::111122223333:federated-user/carol" in home
    assert await console_ends(world) == pytest.approx(HOUR, abs=3)


@cases("asked, order, lasts")
async def test_how_long_the_console_lasts(
    world: SignInWorld, asked: str | None, order: dict[str, Any], lasts: int
) -> None:
    browser = world.browser()
    minted = await world.mint(SessionKind.ASSUME_ROLE, **order)
    more = {} if asked is None else {"SessionDuration": asked}
    await browser.get(login_url(await get_signin_token(browser, minted, **more)))
    assert await console_ends(world) == pytest.approx(lasts, abs=3)


async def test_the_identity_providers_session_end_caps_it_here_too(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    end = int((world.clock.now() + timedelta(minutes=80)).timestamp())
    minted = await world.mint(SessionKind.SAML, ends_by=end)
    token = await get_signin_token(browser, minted, SessionDuration="7200")
    await browser.get(login_url(token))
    assert await console_ends(world) == pytest.approx(4800, abs=3)


async def test_the_session_keeps_what_the_credentials_were(world: SignInWorld) -> None:
    browser = world.browser()
    minted = await world.mint(
        SessionKind.ASSUME_ROLE,
        tags={"Team": "blue"},
        transitive_keys=frozenset({"Team"}),
        source_identity="alice",
    )
    world.clock.move(60)
    await browser.get(login_url(await get_signin_token(browser, minted)))
    login = (await world.audit())[0]
    first = minted.session
    assert login.session["tags"] == {"Team": "blue"}
    assert login.session["transitive_keys"] == ["Team"]
    assert login.session["source_identity"] == "alice"
    assert login.session["issued_at_ms"] == first.issued_at_ms
    assert login.session["parent_key_id"] == first.access_key_id
    assert login.session["access_key_id"] != first.access_key_id
    assert login.session["chain_depth"] == 0


async def test_login_needs_a_destination(world: SignInWorld) -> None:
    browser = world.browser()
    token = await get_signin_token(browser, await world.mint(SessionKind.ASSUME_ROLE))
    for destination in ("", "https://console.aws.amazon.com/"):
        answer = await browser.get(login_url(token, destination))
        assert answer.status_code == 400
        assert "set-cookie" not in answer.headers
    # None of these used the token up.
    assert (await browser.get(login_url(token))).status_code == 302


async def test_login_leads_to_a_listed_origin(world: SignInWorld) -> None:
    browser = world.browser()
    token = await get_signin_token(browser, await world.mint(SessionKind.ASSUME_ROLE))
    entered = await browser.get(login_url(token, f"{APPS}/start?x=1"))
    assert entered.headers["location"] == f"{APPS}/start?x=1"


async def test_someone_else_who_is_signed_in_is_asked_first(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    token = await get_signin_token(browser, await world.mint(SessionKind.ASSUME_ROLE))
    page = await browser.get(login_url(token))
    assert page.status_code == 200
    assert COOKIE not in page.cookies
    assert "assumed-role/Reader/alice@example.com" in text_of(page)
    assert "assumed-role/Reader/carol" in text_of(page)
    assert "alice@example.com" in text_of(await browser.get("/console/"))
    fields = form_fields(page, "/signin/continue")
    entered = await browser.post(
        "/signin/continue", data=fields, headers={"sec-fetch-site": "same-origin"}
    )
    assert (entered.status_code, entered.headers["location"]) == (303, "/console/")
    assert "Signed in as carol" in text_of(await browser.get("/console/"))


async def test_the_same_principal_is_not_asked(world: SignInWorld) -> None:
    browser = world.browser()
    for _ in range(2):
        minted = await world.mint(SessionKind.ASSUME_ROLE)
        entered = await browser.get(login_url(await get_signin_token(browser, minted)))
        assert entered.status_code == 302


@pytest.mark.parametrize("action", ["", "GetSigninToken", "Login", "x"])
async def test_other_actions_are_refused(world: SignInWorld, action: str) -> None:
    answer = await world.browser().get("/federation", params={"Action": action})
    assert answer.status_code == 400
    assert "syntactically incorrect" in answer.text


@pytest.mark.parametrize(
    "session",
    [
        "",
        "null",
        "[]",
        "{}",
        '"x"',
        "{" * 4_000,
        "[" * 4_000,
        '{"sessionId": "ASIA", "sessionKey": "x"}',
        '{"sessionId": 1, "sessionKey": 2, "sessionToken": 3}',
        '{"sessionId": "a", "sessionKey": "b", "sessionToken": "c"}',
        '{"sessionId": "a", "sessionId": "a", "sessionKey": "b", "sessionToken": "c"}',
        '{"sessionId": "\\ud800", "sessionKey": "\\ud800", "sessionToken": "\\ud800"}',
        '{"sessionId": "é", "sessionKey": "é", "sessionToken": "é"}',
    ],
)
async def test_malformed_credentials_are_refused(
    world: SignInWorld, session: str
) -> None:
    assert (await ask(world, session)).status_code == 400


@cases("changed")
async def test_all_three_credentials_must_be_right(
    world: SignInWorld, changed: dict[str, str]
) -> None:
    """The key id and the token without the secret key prove nothing."""
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    answer = await ask(world, session_json(minted, **changed))
    assert answer.status_code == 400
    assert "SigninToken" not in answer.text


async def test_wrong_credentials_are_on_record_without_being_shown(
    world: SignInWorld,
) -> None:
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    session = session_json(minted, sessionKey="x" * 40)
    await ask(world, session)
    record = await world.recorded("signin:GetSigninToken")
    assert record.error_code == "ValidationError"
    assert record.detail == "the sessionKey is wrong"
    assert json.loads(session)["sessionToken"] not in str(record)


async def test_a_used_link_leads_back_to_a_listed_issuer(world: SignInWorld) -> None:
    token = await get_signin_token(
        world.browser(), await world.mint(SessionKind.ASSUME_ROLE)
    )
    for issuer, links in (
        (f"{APPS}/login", [f"{APPS}/login"]),
        (f"{APPS}/login", [f"{APPS}/login"]),
        ("https://evil.example/", []),
        ("saml2aws", []),
    ):
        page = await world.browser().get(login_url(token, Issuer=issuer))
        if page.status_code == 302:
            continue
        assert page.status_code == 400
        assert html.fromstring(page.text).xpath("//a[@id='back_link']/@href") == links
    assert page.status_code == 400


@pytest.mark.parametrize(
    ("issuer", "links"),
    [(f"{APPS}/login", [f"{APPS}/login"]), ("https://evil.example/", [])],
)
async def test_a_link_used_in_another_tab_leads_back_too(
    world: SignInWorld, issuer: str, links: list[str]
) -> None:
    browser, other = world.browser(), world.browser()
    token = await get_signin_token(browser, await world.mint(SessionKind.ASSUME_ROLE))
    params = {"Action": "login", "Destination": "/console/", "Issuer": issuer}
    posted = await browser.post("/federation", data={**params, "SigninToken": token})
    await other.get(login_url(token))
    page = await browser.get(posted.headers["location"])
    assert page.status_code == 400
    assert html.fromstring(page.text).xpath("//a[@id='back_link']/@href") == links


async def test_a_parameter_sent_twice_is_refused(world: SignInWorld) -> None:
    session = session_json(await world.mint(SessionKind.ASSUME_ROLE))
    answer = await world.browser().get(
        "/federation",
        params=[("Action", "getSigninToken"), ("Session", session), ("Session", "{}")],
    )
    assert answer.status_code == 400


async def test_logout_ends_the_session_and_leads_to_a_listed_issuer(
    world: SignInWorld,
) -> None:
    for issuer, lands in (
        (f"{APPS}/login", f"{APPS}/login"),
        ("https://evil.example/", "/signin/signed-out"),
        ("YourCompany", "/signin/signed-out"),
        ("", "/signin/signed-out"),
    ):
        browser = world.browser()
        await world.sign_in(browser)
        answer = await browser.get(
            "/federation", params={"Action": "logout", "Issuer": issuer}
        )
        assert (answer.status_code, answer.headers["location"]) == (303, lands)
        assert (await browser.get("/console/")).headers["location"] == "/signin"


async def test_logout_then_login_may_be_chained(world: SignInWorld) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    token = await get_signin_token(browser, await world.mint(SessionKind.ASSUME_ROLE))
    answer = await browser.get(
        "/federation", params={"Action": "logout", "redirect_uri": login_url(token)}
    )
    entered = await browser.get(answer.headers["location"])
    assert (entered.status_code, entered.headers["location"]) == (302, "/console/")
