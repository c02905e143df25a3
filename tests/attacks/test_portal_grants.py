"""Attacks on the access portal's clients, codes, tokens and pages.

Source: RFC 6749 10; RFC 8252 8; RFC 8628 5; RFC 9700 2 and 4.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest
from lxml import html
from msgspec.structs import replace
from starlette.requests import Request

from broker.console.portal.visits import PortalVisits
from broker.errors import ExpiredToken
from broker.model.session import SessionKind
from broker.proofs.attempts import PER_ADDRESS
from broker.stores.directory.kinds import ROLE, SAML_PROVIDER
from broker.stores.errors import StoreUnavailableError
from tests.support.portal import (
    CALLBACK,
    DEVICE_CODE,
    LISTENING,
    Person,
    Terminal,
    challenge,
    logged_in,
)
from tests.support.rows import cases, of_file
from tests.support.signin import (
    ACCOUNT,
    ORIGIN,
    OTHER,
    SignInWorld,
    form_fields,
    get_signin_token,
    login_url,
    open_world,
    pair,
    text_of,
)

SAME = {"origin": ORIGIN}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path, rate_limit=0) as made:
        made.clock.stop()
        yield made


def error_of(answer: httpx.Response) -> str:
    return answer.headers.get("x-amzn-errortype", str(answer.status_code))


Attack = Callable[[Terminal, Terminal, str], Awaitable[httpx.Response]]

WITH_A_CODE: dict[str, tuple[Attack, str]] = {
    "another client": (
        lambda _mine, other, code: other.redeem(code),
        "InvalidGrantException",
    ),
    "another client's id with one's own secret": (
        lambda mine, other, code: other.redeem(code, clientId=mine.client["clientId"]),
        "InvalidClientException",
    ),
    "one's own id with another's secret": (
        lambda mine, other, code: mine.redeem(
            code, clientSecret=other.client["clientSecret"]
        ),
        "InvalidClientException",
    ),
    "the id as the secret": (
        lambda mine, _, code: mine.redeem(code, clientSecret=mine.client["clientId"]),
        "InvalidClientException",
    ),
    "no secret": (
        lambda mine, _, code: mine.redeem(code, clientSecret=""),
        "InvalidClientException",
    ),
    "no verifier": (
        lambda mine, _, code: mine.redeem(code, codeVerifier=None),
        "InvalidGrantException",
    ),
    "another verifier": (
        lambda mine, _, code: mine.redeem(code, codeVerifier="w" * 64),
        "InvalidGrantException",
    ),
    "the challenge as the verifier": (
        lambda mine, _, code: mine.redeem(code, codeVerifier=challenge()),
        "InvalidGrantException",
    ),
    "a short verifier": (
        lambda mine, _, code: mine.redeem(code, codeVerifier="v"),
        "InvalidGrantException",
    ),
    "another port": (
        lambda mine, _, code: mine.redeem(
            code, redirectUri="http://127.0.0.1:43211/oauth/callback"
        ),
        "InvalidGrantException",
    ),
    "the address without a port": (
        lambda mine, _, code: mine.redeem(code, redirectUri=CALLBACK),
        "InvalidGrantException",
    ),
    "no address": (
        lambda mine, _, code: mine.redeem(code, redirectUri=None),
        "InvalidGrantException",
    ),
    "a longer code": (
        lambda mine, _, code: mine.redeem(f"{code}A"),
        "InvalidGrantException",
    ),
    "an empty code": (lambda mine, _, _code: mine.redeem(""), "InvalidGrantException"),
    "the code as a device's": (
        lambda mine, _, code: mine.token(DEVICE_CODE, deviceCode=code),
        "UnauthorizedClientException",
    ),
    "the code as a refresh token": (
        lambda mine, _, code: mine.token("refresh_token", refreshToken=code),
        "InvalidGrantException",
    ),
    "the code as an access token": (
        lambda mine, _, code: mine.role(code),
        "UnauthorizedException",
    ),
    "a grant that is not there": (
        lambda mine, _, code: mine.token("password", code=code),
        "UnsupportedGrantTypeException",
    ),
    "a scope beyond": (
        lambda mine, _, code: mine.redeem(code, scope=["sso:admin"]),
        "InvalidRequestException",
    ),
}


async def test_a_code_is_good_for_its_own_client_and_request_alone(
    world: SignInWorld,
) -> None:
    person = Person(world)
    await person.sign_in()
    wrong = {}
    for name, (attack, expected) in WITH_A_CODE.items():
        world.clock.move(2)
        mine, other = await Terminal(world).register(), await Terminal(world).register()
        got = error_of(await attack(mine, other, await person.code_for(mine)))
        if got != expected:
            wrong[name] = got
    assert wrong == {}


async def test_a_code_is_spent_by_its_first_use_and_by_a_thief(
    world: SignInWorld,
) -> None:
    person, terminal = Person(world), await Terminal(world).register()
    await person.sign_in()
    code = await person.code_for(terminal)
    tokens = (await terminal.redeem(code)).json()
    credentials = (await terminal.role(tokens["accessToken"])).json()["roleCredentials"]
    # One of two has stolen it: nobody keeps what it gave (RFC 6749 4.1.2).
    assert error_of(await terminal.redeem(code)) == "InvalidGrantException"
    assert (
        error_of(await terminal.role(tokens["accessToken"])) == "UnauthorizedException"
    )
    renewed = await terminal.token("refresh_token", refreshToken=tokens["refreshToken"])
    assert error_of(renewed) == "InvalidGrantException"
    await assert_revoked(world, credentials)
    world.clock.move(2)
    await person.sign_in()
    stolen = await person.code_for(terminal)
    thief = await Terminal(world).register()
    assert error_of(await thief.redeem(stolen)) == "InvalidGrantException"
    assert error_of(await terminal.redeem(stolen)) == "InvalidGrantException"
    world.clock.move(2)
    late = await person.code_for(terminal)
    world.clock.move(301)
    assert error_of(await terminal.redeem(late)) == "InvalidGrantException"


AUTHORIZE = of_file(__file__, "AUTHORIZE")


async def test_nobody_is_sent_where_a_client_did_not_register(
    world: SignInWorld,
) -> None:
    person, terminal = Person(world), await Terminal(world).register()
    await person.sign_in()
    taken = {}
    for name, changed in AUTHORIZE.items():
        world.clock.move(1)
        answer = await person.browser.get(
            "/authorize", params=terminal.authorize_query(**changed)
        )
        if answer.status_code != 400 or "location" in answer.headers:
            taken[name] = answer.status_code
    device = await Terminal(world).register(device=True)
    # It has an address, and did not ask for codes.
    refreshing = await Terminal(world).register(grantTypes=["refresh_token"])
    for client_id in (
        terminal.client["clientSecret"],
        device.client["clientId"],
        refreshing.client["clientId"],
    ):
        query = terminal.authorize_query(client_id=client_id)
        answer = await person.browser.get("/authorize", params=query)
        if answer.status_code != 400:
            taken[client_id] = answer.status_code
    assert taken == {}


REGISTRATIONS = of_file(__file__, "REGISTRATIONS")


async def test_registrations_beyond_a_public_client_are_refused(
    world: SignInWorld,
) -> None:
    terminal = await Terminal(world).register()
    wrong = {}
    for name, (changed, expected) in REGISTRATIONS.items():
        world.clock.move(1)
        params = {
            "clientName": "c",
            "clientType": "public",
            "grantTypes": ["authorization_code"],
            "redirectUris": [CALLBACK],
            "issuerUrl": f"{ORIGIN}/portal/{ACCOUNT}",
        }
        got = error_of(await terminal.post("client/register", **{**params, **changed}))
        if got != expected:
            wrong[name] = got
    assert wrong == {}


async def test_consent_takes_a_press_of_the_very_person_on_the_very_page(
    world: SignInWorld,
) -> None:
    person, terminal = Person(world), await Terminal(world).register()
    await person.sign_in()
    page = await person.consent_page(terminal)
    fields = form_fields(page, "/portal/authorize")
    other = Person(world)
    await other.sign_in(aws={"session_name": "mallory@example.com"})
    theirs = form_fields(await other.consent_page(terminal), "/portal/authorize")
    allow = {**fields, "answer": "allow"}
    attempts = {
        "from another site": (allow, {"origin": "https://evil.example"}),
        "nobody says from where": (allow, {}),
        "without the token": ({**allow, "csrf": ""}, SAME),
        "with another's token": ({**allow, "csrf": theirs["csrf"]}, SAME),
    }
    for data, headers in attempts.values():
        refused = await person.browser.post(
            "/portal/authorize", data=data, headers=headers
        )
        assert refused.status_code == 403, data
    # Another client's page was opened in the same browser since.
    world.clock.move(1)
    late = await person.consent_page(terminal, code_challenge=challenge("x" * 64))
    assert (await person.press(page)).status_code == 400
    allowed = await person.press(late)
    assert allowed.status_code == 303
    # The page is used up, and is no other browser's.
    assert (await person.press(late)).status_code == 400
    assert (await other.press(late)).status_code in {400, 403}


async def test_who_says_no_gives_nothing(world: SignInWorld) -> None:
    person, terminal = Person(world), await Terminal(world).register()
    await person.sign_in()
    answer = await person.press(await person.consent_page(terminal), "deny")
    assert answer.headers["location"].startswith(f"{LISTENING}?error=access_denied&")
    device_terminal = await Terminal(world).register(device=True)
    device = await device_terminal.begin()
    await person.answer_device(device["userCode"], "deny")
    assert error_of(await device_terminal.poll(device)) == "AccessDeniedException"


@pytest.mark.parametrize(
    ("is_device", "statuses"), [(False, [303, 400]), (True, [200, 400])]
)
async def test_two_presses_at_once_give_one_answer(
    world: SignInWorld,
    monkeypatch: pytest.MonkeyPatch,
    is_device: bool,
    statuses: list[int],
) -> None:
    find, waiting, both = PortalVisits.find, [0], asyncio.Event()

    async def meet(self: PortalVisits, request: Request, place: str) -> Any:
        waiting[0] += request.method == "POST"
        if waiting[0] == 2:
            both.set()
        if request.method == "POST":
            await both.wait()
        return await find(self, request, place)

    person = Person(world)
    terminal = await Terminal(world).register(device=is_device)
    await person.sign_in()
    if is_device:
        query = {"user_code": (await terminal.begin())["userCode"]}
        page = await person.browser.get("/portal/device", params=query)
    else:
        page = await person.consent_page(terminal)
    monkeypatch.setattr(PortalVisits, "find", meet)
    async with asyncio.timeout(20):
        answers = await asyncio.gather(person.press(page), person.press(page))
    assert sorted(answer.status_code for answer in answers) == statuses


@pytest.mark.parametrize("path", ["/portal/authorize", "/portal/device"])
async def test_who_is_no_longer_signed_in_answers_nothing(
    world: SignInWorld, path: str
) -> None:
    person = Person(world)
    terminal = await Terminal(world).register(device=path == "/portal/device")
    await person.sign_in()
    if path == "/portal/device":
        device = await terminal.begin()
        query = {"user_code": device["userCode"]}
        page = await person.browser.get(path, params=query)
    else:
        page = await person.consent_page(terminal)
    person.browser.cookies.delete("broker-portal")
    answer = await person.press(page)
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/v1/authorize", "/authorize", "/portal/authorize", "/portal/device"]
)
async def test_a_browser_that_looks_ahead_gets_nothing(
    world: SignInWorld, path: str
) -> None:
    person, terminal = Person(world), await Terminal(world).register()
    await person.sign_in()
    await person.consent_page(terminal)
    ahead = {"sec-purpose": "prefetch"}
    query = terminal.authorize_query()
    answer = await person.browser.get(path, params=query, headers=ahead)
    assert answer.status_code == 503
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "registered", [{"scopes": []}, {"grantTypes": ["authorization_code"]}]
)
async def test_a_client_that_registered_for_no_renewal_gets_none(
    world: SignInWorld, registered: dict[str, list[str]]
) -> None:
    """As in AWS; its access token lives as long as the sign-in."""
    person, terminal = Person(world), await Terminal(world).register(**registered)
    await person.sign_in()
    tokens = (await terminal.redeem(await person.code_for(terminal))).json()
    assert "refreshToken" not in tokens
    assert tokens["expiresIn"] > 7 * 3600
    renewed = await terminal.token("refresh_token", refreshToken="x")
    assert error_of(renewed) == "UnauthorizedClientException"


async def test_a_refresh_token_whose_first_use_has_no_record_is_a_stolen_one(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records may be kept for a shorter time than the mark that it was used."""
    _, terminal, tokens = await logged_in(world)
    first = {"refreshToken": tokens["refreshToken"]}
    assert (await terminal.token("refresh_token", **first)).status_code == 200

    async def find(_mint_id: str) -> None:
        """None is kept."""

    monkeypatch.setattr(world.services.stores.ledger, "find", find)
    stolen = await terminal.token("refresh_token", **first)
    assert error_of(stolen) == "InvalidGrantException"
    late = await terminal.role(tokens["accessToken"])
    assert error_of(late) == "UnauthorizedException"


async def test_a_link_alone_lets_no_device_in(world: SignInWorld) -> None:
    """Phishing by link: what comes of it is a page that says who asks, from where."""
    person, thief = Person(world), await Terminal(world).register(device=True)
    device = await thief.begin()
    link = device["verificationUriComplete"].removeprefix(ORIGIN)
    stranger = await person.browser.get(link)
    assert stranger.headers["location"].startswith(f"/signin/{ACCOUNT}?Destination=")
    await person.sign_in()
    for headers in ({}, {"sec-purpose": "prefetch"}):
        await person.browser.get(link, headers=headers)
        assert error_of(await thief.poll(device)) == "AuthorizationPendingException"
        world.clock.move(1)
    page = await person.browser.get(link)
    text = text_of(page)
    for told in (
        device["userCode"],
        "alice@example.com",
        "botocore-client-test",
        "127.0.0.1",
        "python-httpx2",
        "Allow only what you started yourself",
    ):
        assert told in text
    data = {**form_fields(page, "/portal/device"), "answer": "allow"}
    for headers, changed in (
        ({"origin": "https://evil.example"}, {}),
        ({}, {}),
        (SAME, {"csrf": ""}),
    ):
        refused = await person.browser.post(
            "/portal/device", data={**data, **changed}, headers=headers
        )
        assert refused.status_code == 403
    assert error_of(await thief.poll(device)) == "AuthorizationPendingException"


async def test_the_portals_older_scope_means_the_same(world: SignInWorld) -> None:
    """It is what Granted asks for."""
    person = Person(world)
    await person.sign_in()
    terminal = await Terminal(world).register(scopes=["sso-portal:*"])
    for asked in ("sso-portal:*", "sso:account:access"):
        page = await person.consent_page(terminal, scopes=asked)
        assert page.status_code == 200
    plain = await Terminal(world).register()
    assert (await person.consent_page(plain, scopes="sso-portal:*")).status_code == 200


async def test_a_device_is_answered_once_and_its_code_is_good_once(
    world: SignInWorld,
) -> None:
    first, second = Person(world), Person(world)
    terminal = await Terminal(world).register(device=True)
    await first.sign_in()
    await second.sign_in(aws={"session_name": "bob@example.com"})
    device = await terminal.begin()
    query = {"user_code": device["userCode"]}
    late = await second.browser.get("/portal/device", params=query)
    assert (await first.answer_device(device["userCode"])).status_code == 200
    assert (await second.press(late)).status_code == 400
    again = await first.browser.get("/portal/device", params=query)
    assert again.status_code == 400
    tokens = await terminal.poll(device)
    role = await terminal.role(tokens.json()["accessToken"])
    assert role.status_code == 200
    world.clock.move(1)
    assert error_of(await terminal.poll(device)) == "InvalidGrantException"


async def test_an_emptied_cache_learns_of_a_device_by_its_next_poll_alone(
    world: SignInWorld,
) -> None:
    person = Person(world)
    await person.sign_in()
    terminal = await Terminal(world).register(device=True)
    waiting, denied = await terminal.begin(), await terminal.begin()
    await person.answer_device(denied["userCode"], "deny")
    thief = await Terminal(world).register(device=True)
    forged = {"deviceCode": f"{waiting['deviceCode'][:-2]}AA"}
    for device in (waiting, denied):
        empty_of_user_codes(world)
        assert error_of(await thief.poll(device)) == "InvalidGrantException"
        assert error_of(await thief.poll(forged)) == "ExpiredTokenException"
        query = {"user_code": device["userCode"]}
        gone = await person.browser.get("/portal/device", params=query)
        assert gone.status_code == 400
    assert error_of(await terminal.poll(denied)) == "AccessDeniedException"
    world.clock.move(300)
    assert error_of(await terminal.poll(waiting)) == "AuthorizationPendingException"
    assert (await person.answer_device(waiting["userCode"])).status_code == 200
    # What was answered stays so, however often the cache forgets it.
    empty_of_user_codes(world)
    query = {"user_code": denied["userCode"]}
    assert error_of(await terminal.poll(denied)) == "AccessDeniedException"
    again = await person.browser.get("/portal/device", params=query)
    assert again.status_code == 400
    assert (await terminal.poll(waiting)).status_code == 200


def cached(world: SignInWorld, space: str) -> list[int]:
    """How many bytes each entry of a kind has in the cache."""
    with closing(sqlite3.connect(world.services.settings.data_dir / "broker.db")) as c:
        results = c.execute(
            "SELECT length(value) FROM cache_entries WHERE space = ?", (space,)
        ).fetchall()
    return [length for (length,) in results]


def empty_of_user_codes(world: SignInWorld) -> None:
    path = world.services.settings.data_dir / "broker.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM cache_entries WHERE space = 'portal-user-code'")


async def test_a_strangers_request_takes_less_than_a_kilobyte_of_the_cache(
    world: SignInWorld,
) -> None:
    person, longest = Person(world), "x" * 490
    terminal = await Terminal(world).register(
        clientName="n" * 128,
        grantTypes=["authorization_code", DEVICE_CODE, "refresh_token"],
        redirectUris=[CALLBACK, *(f"http://127.0.0.1/{n}{longest}" for n in range(4))],
    )
    assert len(terminal.client["clientId"]) > 3000
    terminal.http.headers["user-agent"] = "a" * 4000
    await terminal.begin(startUrl=f"{ORIGIN}/portal/{'p' * 63}")
    await person.browser.get("/authorize", params=terminal.authorize_query())
    for space in ("portal-user-code", "portal-client"):
        (length,) = cached(world, space)
        assert length < 1000, space


async def test_devices_wait_poll_slowly_and_expire(world: SignInWorld) -> None:
    person = Person(world)
    await person.sign_in()
    terminal = await Terminal(world).register(device=True)
    other = await Terminal(world).register(device=True)
    device = await terminal.begin()
    polls = [error_of(await terminal.poll(device)) for _ in range(3)]
    assert polls == [*["AuthorizationPendingException"] * 2, "SlowDownException"]
    assert error_of(await other.poll(device)) == "InvalidGrantException"
    world.clock.move(1)
    assert error_of(await terminal.poll(device)) == "AuthorizationPendingException"
    unknown = await terminal.token(DEVICE_CODE, deviceCode="x")
    assert error_of(unknown) == "ExpiredTokenException"
    user_code = await terminal.token(DEVICE_CODE, deviceCode=device["userCode"])
    assert error_of(user_code) == "ExpiredTokenException"
    world.clock.move(600)
    assert error_of(await terminal.poll(device)) == "ExpiredTokenException"
    page = await person.browser.get(
        "/portal/device", params={"user_code": device["userCode"]}
    )
    assert page.status_code == 400


async def test_user_codes_cannot_be_guessed(world: SignInWorld) -> None:
    person = Person(world)
    await person.sign_in()
    statuses = [
        (await person.browser.get("/portal/device?user_code=BBBB-BBBB")).status_code
        for _ in range(PER_ADDRESS + 1)
    ]
    assert statuses == [*[400] * PER_ADDRESS, 429]


ELSEWHERE = (
    {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"},
    {"sec-fetch-site": "same-site", "sec-fetch-dest": "document"},
    {"sec-fetch-site": "cross-site", "sec-fetch-dest": "image"},
    {"sec-fetch-site": "same-origin", "sec-fetch-dest": "image"},
)


async def test_other_pages_cannot_use_up_the_attempts_of_an_address(
    world: SignInWorld,
) -> None:
    person, terminal = Person(world), await Terminal(world).register(device=True)
    await person.sign_in()
    browser = person.browser
    for number in range(PER_ADDRESS + 8):
        page = await browser.get(
            "/portal/device?user_code=BBBB-BBBB",
            headers=ELSEWHERE[number % len(ELSEWHERE)],
        )
        assert page.status_code == 200
        forged = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        data = {"user_code": "BBBB-BBBB", "answer": "allow"}
        sent = await browser.post("/portal/device", data=data, headers=forged)
        assert sent.status_code == 403
    device = await terminal.begin()
    linked = await browser.get(
        device["verificationUriComplete"], headers=ELSEWHERE[number % 2]
    )
    # A link shows the code; the person sends it.
    (form,) = html.fromstring(linked.text).xpath("//form[@method='get']")
    assert dict(form.fields) == {"user_code": device["userCode"]}
    page = await browser.get(
        "/portal/device",
        params=dict(form.fields),
        headers={"sec-fetch-site": "same-origin", "sec-fetch-dest": "document"},
    )
    assert (await person.press(page)).status_code == 200


async def test_a_code_that_was_found_is_still_there_after_the_sign_in(
    world: SignInWorld,
) -> None:
    """Browsers call a request cross-site that a provider's page began."""
    person, terminal = Person(world), await Terminal(world).register(device=True)
    device, other = await terminal.begin(), await terminal.begin()
    sent = await person.browser.get(device["verificationUriComplete"])
    asked = parse_qs(urlsplit(sent.headers["location"]).query)
    (destination,) = asked["Destination"]
    await world.sign_in(person.browser)
    page = await person.browser.get(destination, headers=ELSEWHERE[0])
    assert "Do not allow" in page.text
    for changed in (
        destination.replace(device["userCode"], other["userCode"]),
        destination.replace("known=", "known=A"),
    ):
        page = await person.browser.get(changed, headers=ELSEWHERE[0])
        assert "Enter the code" in page.text
    # Nor does it help a link that somebody else was given by us, and sends on.
    thief = await Person(world).browser.get(other["verificationUriComplete"])
    (link,) = parse_qs(urlsplit(thief.headers["location"]).query)["Destination"]
    page = await person.browser.get(link, headers=ELSEWHERE[0])
    assert "Enter the code" in page.text
    assert (await person.answer_device(device["userCode"])).status_code == 200


async def test_a_device_of_one_account_is_not_let_in_by_another(
    world: SignInWorld,
) -> None:
    person, terminal = Person(world), await Terminal(world).register(device=True)
    await person.sign_in()
    device = await terminal.begin(startUrl=f"{ORIGIN}/portal/{OTHER}")
    query = {"user_code": device["userCode"]}
    page = await person.browser.get("/portal/device", params=query)
    assert page.headers["location"].startswith(f"/signin/{OTHER}?")
    elsewhere = await terminal.post(
        "device_authorization",
        **terminal.credentials,
        startUrl=f"https://evil.example/portal/{ACCOUNT}",
    )
    assert error_of(elsewhere) == "InvalidRequestException"


async def test_commands_that_renew_at_once_get_the_same_successor(
    world: SignInWorld,
) -> None:
    """Of a refresh token that is bound to no key, for a minute from its first use."""
    _, terminal, tokens = await logged_in(world)
    first = tokens["refreshToken"]
    answers = await asyncio.gather(
        *(terminal.token("refresh_token", refreshToken=first) for _ in range(6))
    )
    world.clock.move(59)
    answers.append(await terminal.token("refresh_token", refreshToken=first))
    assert {answer.status_code for answer in answers} == {200}
    (successor,) = {answer.json()["refreshToken"] for answer in answers}
    assert successor != first
    for answer in answers:
        token = answer.json()["accessToken"]
        assert (await terminal.role(token)).status_code == 200
    # They go on with one token, again at once.
    answers = await asyncio.gather(
        *(terminal.token("refresh_token", refreshToken=successor) for _ in range(2))
    )
    (newest,) = {answer.json()["refreshToken"] for answer in answers}
    assert newest not in {first, successor}


async def test_refresh_tokens_are_good_once_and_one_that_comes_back_ends_it_all(
    world: SignInWorld,
) -> None:
    person, terminal, tokens = await logged_in(world)
    first = tokens["refreshToken"]
    credentials = (await terminal.role(tokens["accessToken"])).json()["roleCredentials"]
    renewed = await terminal.token("refresh_token", refreshToken=first)
    assert renewed.status_code == 200, renewed.text
    newest = renewed.json()
    assert (await terminal.role(newest["accessToken"])).status_code == 200
    world.clock.move(30)
    again = await terminal.token("refresh_token", refreshToken=first)
    assert again.json()["refreshToken"] == newest["refreshToken"]
    # The minute counts from the first use.
    world.clock.move(31)
    stolen = await terminal.token("refresh_token", refreshToken=first)
    assert error_of(stolen) == "InvalidGrantException"
    assert (
        error_of(await terminal.role(newest["accessToken"])) == "UnauthorizedException"
    )
    next_one = await terminal.token(
        "refresh_token", refreshToken=newest["refreshToken"]
    )
    assert error_of(next_one) == "InvalidGrantException"
    page = await person.browser.get(f"/portal/{ACCOUNT}")
    assert page.status_code == 303
    await assert_revoked(world, credentials)


async def assert_revoked(world: SignInWorld, credentials: dict[str, Any]) -> None:
    """The credentials are refused wherever they are shown."""
    with pytest.raises(ExpiredToken):
        await world.services.resolver.resolve(
            credentials["accessKeyId"], credentials["sessionToken"], world.clock.now()
        )


async def test_refresh_tokens_are_their_clients_alone(world: SignInWorld) -> None:
    _, terminal, tokens = await logged_in(world)
    token = tokens["refreshToken"]
    other = await Terminal(world).register()
    sibling = (await logged_in(world))[2]["refreshToken"]
    half = len(token) // 2
    wrong = {}
    for name, attack in {
        "another client": other.token("refresh_token", refreshToken=token),
        "no token": terminal.token("refresh_token"),
        "a part of it": terminal.token("refresh_token", refreshToken=token[:half]),
        "a longer one": terminal.token("refresh_token", refreshToken=f"{token}A"),
        "mixed with another": terminal.token(
            "refresh_token", refreshToken=token[:half] + sibling[half:]
        ),
        "an access token": terminal.token(
            "refresh_token", refreshToken=tokens["accessToken"]
        ),
        "as a code": terminal.redeem(token),
    }.items():
        got = error_of(await attack)
        if got != "InvalidGrantException":
            wrong[name] = got
    assert wrong == {}
    good = await terminal.token("refresh_token", refreshToken=token)
    assert good.status_code == 200


async def test_access_tokens_end_and_open_no_more_than_was_named(
    world: SignInWorld,
) -> None:
    person, terminal, tokens = await logged_in(world, pair("Reader"), pair("Absent"))
    token = tokens["accessToken"]
    wrong = {}
    for name, attack, expected in (
        ("no token", terminal.role(""), "UnauthorizedException"),
        ("a changed one", terminal.role(f"{token[:-2]}AA"), "UnauthorizedException"),
        (
            "a refresh token",
            terminal.role(tokens["refreshToken"]),
            "UnauthorizedException",
        ),
        (
            "a client's id",
            terminal.role(terminal.client["clientId"]),
            "UnauthorizedException",
        ),
        (
            "the cookie",
            terminal.role(person.browser.cookies["broker-portal"]),
            "UnauthorizedException",
        ),
        ("a role not named", terminal.role(token, "Admin"), "ForbiddenException"),
        ("a role that is gone", terminal.role(token, "Absent"), "ForbiddenException"),
        (
            "another account",
            terminal.role(token, "Reader", OTHER),
            "ForbiddenException",
        ),
        ("no account", terminal.role(token, "Reader", "x"), "ForbiddenException"),
        (
            "twice the role",
            terminal.ask(
                "federation/credentials",
                token,
                role_name=["Reader", "Admin"],
                account_id=ACCOUNT,
            ),
            "InvalidRequestException",
        ),
        (
            "no role",
            terminal.ask("federation/credentials", token, account_id=ACCOUNT),
            "InvalidRequestException",
        ),
        (
            "a place beyond",
            terminal.ask("assignment/accounts", token, next_token="9"),
            "InvalidRequestException",
        ),
    ):
        got = error_of(await attack)
        if got != expected:
            wrong[name] = got
    assert wrong == {}
    roles = await terminal.ask("assignment/roles", token, account_id=ACCOUNT)
    assert [entry["roleName"] for entry in roles.json()["roleList"]] == ["Reader"]
    world.clock.move(3601)
    assert error_of(await terminal.role(token)) == "UnauthorizedException"


async def test_a_changed_trust_policy_and_a_deleted_provider_count_at_once(
    world: SignInWorld,
) -> None:
    _, terminal, tokens = await logged_in(world, pair("Reader"), pair("Admin"))
    token = tokens["accessToken"]
    directory = world.services.stores.directory
    async with directory.change(ACCOUNT) as change:
        role = await change.named(ROLE, ACCOUNT, "Reader")
        assert role is not None
        text = role.trust_policy.replace('"Allow"', '"Deny"')
        await change.update(ROLE, replace(role, trust_policy=text))
    assert error_of(await terminal.role(token)) == "ForbiddenException"
    roles = await terminal.ask("assignment/roles", token, account_id=ACCOUNT)
    assert [entry["roleName"] for entry in roles.json()["roleList"]] == ["Admin"]
    assert (await terminal.role(token, "Admin")).status_code == 200
    async with directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        await change.remove(SAML_PROVIDER, provider)
    assert error_of(await terminal.role(token, "Admin")) == "UnauthorizedException"


async def test_an_assertion_opens_the_portal_once(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept for the second time is forgotten: nobody can use it."""
    sessions, kept = world.services.portal_sessions, []
    keep = sessions.open

    async def noted(*params: Any, **more: Any) -> str:
        kept.append(await keep(*params, **more))
        return kept[-1]

    monkeypatch.setattr(sessions, "open", noted)
    response = world.response()
    data = {"SAMLResponse": response, "RelayState": f"/portal/{ACCOUNT}"}
    statuses = []
    for _ in range(2):
        browser = world.browser()
        posted = await browser.post("/saml", data=data)
        statuses.append((await browser.get(posted.headers["location"])).status_code)
    assert statuses == [303, 400]
    now = world.clock.now()
    results = [await sessions.find(handle, now) is not None for handle in kept]
    assert results == [True, False]


async def test_another_site_cannot_replace_whom_the_browser_is_signed_in_as(
    world: SignInWorld,
) -> None:
    """Somebody's own assertion, posted by their page, would end what others opened."""
    person, terminal, tokens = await logged_in(world)
    data = {
        "SAMLResponse": world.response(aws={"session_name": "mallory@example.com"}),
        "RelayState": f"/portal/{ACCOUNT}",
    }
    posted = await person.browser.post("/saml", data=data)
    asked = await person.browser.get(posted.headers["location"])
    assert asked.status_code == 200
    for told in ("already signed in", "alice@example.com", "mallory@example.com"):
        assert told in text_of(asked)
    assert (await terminal.role(tokens["accessToken"])).status_code == 200
    fields = form_fields(asked, "/signin/continue")
    for changed, headers in (
        ({"csrf": ""}, SAME),
        ({}, {"origin": "https://evil.test"}),
    ):
        refused = await person.browser.post(
            "/signin/continue", data={**fields, **changed}, headers=headers
        )
        assert refused.status_code == 403
    start = await person.browser.get(f"/portal/{ACCOUNT}")
    assert "alice@example.com" in start.text
    agreed = await person.browser.post("/signin/continue", data=fields, headers=SAME)
    assert agreed.headers["location"] == f"/portal/{ACCOUNT}"
    start = await person.browser.get(f"/portal/{ACCOUNT}")
    assert "mallory@example.com" in start.text
    assert error_of(await terminal.role(tokens["accessToken"])) == (
        "UnauthorizedException"
    )


async def test_the_portals_tokens_open_nothing_else(world: SignInWorld) -> None:
    """One proof per door: the portal's cookie is not a console's, and the other way."""
    person, terminal, tokens = await logged_in(world)
    assert (await person.browser.get("/console/")).headers["location"] == "/signin"
    cookies = {"broker-session": person.browser.cookies["broker-portal"]}
    assert (await world.browser(cookies=cookies).get("/console/")).status_code == 303
    await world.sign_in(browser := world.browser(), pair("Reader"))
    assert (await browser.get(f"/portal/{ACCOUNT}")).status_code == 303
    answer = await terminal.http.post(
        "/",
        data={"Action": "GetCallerIdentity", "Version": "2011-06-15"},
        headers={"x-amz-sso_bearer_token": tokens["accessToken"]},
    )
    assert answer.status_code == 403


async def test_oversized_requests_are_refused(world: SignInWorld) -> None:
    terminal = await Terminal(world).register()
    long = await terminal.post("client/register", clientName="n" * 70_000)
    assert error_of(long) == "InvalidRequestException"
    deep = await terminal.http.post("/sso-oidc/token", content=b"[" * 60_000)
    assert error_of(deep) == "InvalidRequestException"
    assert error_of(await terminal.role("t" * 9000)) == "UnauthorizedException"
    for path in ("/sso/", "/sso/nothing", "/sso-oidc", "/sso-oidc/token/x"):
        answer = await terminal.http.post(path, json={})
        assert error_of(answer) == "UnknownOperationException", path
    iam = await terminal.post("token?aws_iam=t", **terminal.credentials)
    assert error_of(iam) == "InvalidRequestException"


@cases("kind")
async def test_a_store_that_fails_uses_nothing_up(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """At whichever of its steps: an exchange that was answered 503 can be repeated."""
    person = Person(world)
    await person.sign_in()
    stores = (world.services.stores.cache, world.services.handles)
    failed = 0
    for reached in range(12):
        world.clock.move(2)
        exchange = await exchange_of(kind, person)
        with monkeypatch.context() as patch:
            fail_after(patch, stores, reached)
            answer = await exchange()
        world.clock.move(2)
        if answer.status_code in {200, 302, 303}:
            continue
        failed += 1
        assert answer.status_code == 503, answer.text
        again = await exchange()
        assert again.status_code in {200, 302, 303}, (reached, again.text)
    assert 0 < failed < 12


async def exchange_of(
    kind: str, person: Person
) -> Callable[[], Awaitable[httpx.Response]]:
    """An exchange that is ready to be made."""
    browser = person.world.browser()
    if "consent" in kind or "login" in kind:
        return await answer_of(kind, person)
    if kind == "link":
        minted = await person.world.mint(SessionKind.ASSUME_ROLE)
        url = login_url(await get_signin_token(browser, minted))
        return lambda: browser.get(url)
    if kind in {"assertion", "console"}:
        destination = f"/portal/{ACCOUNT}" if kind == "assertion" else "/console/"
        data = {"SAMLResponse": person.world.response(), "RelayState": destination}
        posted = await browser.post("/saml", data=data)
        return lambda: browser.get(posted.headers["location"])
    terminal = await Terminal(person.world).register(device=kind == "device")
    if kind == "device":
        device = await terminal.begin()
        await person.answer_device(device["userCode"])
        return lambda: terminal.poll(device)
    code = await person.code_for(terminal)
    return lambda: terminal.redeem(code)


async def answer_of(
    kind: str, person: Person
) -> Callable[[], Awaitable[httpx.Response]]:
    """A terminal's login that is ready to be opened or answered."""
    if "login" not in kind:
        terminal = await Terminal(person.world).register(device=kind != "consent")
        if kind == "consent":
            page = await person.consent_page(terminal)
        else:
            query = {"user_code": (await terminal.begin())["userCode"]}
            page = await person.browser.get("/portal/device", params=query)
        return lambda: person.press(page)
    browser = person.world.browser()
    await person.world.sign_in(browser)
    wanted = {
        "response_type": "code",
        "client_id": "arn:aws:signin:::devtools/same-device",
        "redirect_uri": LISTENING,
        "state": "st4te",
        "scope": "openid",
        "code_challenge": challenge(),
        "code_challenge_method": "SHA-256",
    }
    await browser.get("/v1/authorize", params=wanted)
    page = await browser.get("/console/login")
    data = {**form_fields(page, "/console/login"), "answer": "allow"}
    return lambda: browser.post("/console/login", data=data, headers=SAME)


def fail_after(patch: pytest.MonkeyPatch, stores: Iterable[Any], most: int) -> None:
    """Let so many steps of the stores succeed, and none after them."""
    left = most

    def failing(step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def do(*params: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise StoreUnavailableError("away")
            return await step(*params, **more)

        return do

    for store in stores:
        for name in ("get", "put", "add", "take", "drop"):
            patch.setattr(store, name, failing(getattr(store, name)))


@pytest.mark.parametrize(
    "place", ["9" * 4301, "9" * 5000, "-1", "1.5", "²", "٣", "0x1"]
)
async def test_an_impossible_page_marker_is_refused(
    world: SignInWorld, place: str
) -> None:
    """Python refuses to read numbers of more than 4,300 digits."""
    _, terminal, tokens = await logged_in(world)
    for path in ("assignment/accounts", "assignment/roles"):
        answer = await terminal.ask(
            path, tokens["accessToken"], next_token=place, account_id=ACCOUNT
        )
        assert error_of(answer) == "InvalidRequestException"
