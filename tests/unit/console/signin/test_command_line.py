"""Command-line login over HTTP: agreement, code, credentials, renewal, refusals."""

import asyncio
import base64
import hashlib
import itertools
import json
import sqlite3
import uuid
from contextlib import closing
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from lxml import html
from msgspec import Struct, field
from msgspec.structs import asdict, replace

from broker.console import oauth
from broker.errors import ExpiredToken
from broker.model.revocation import Revocation
from broker.model.session import SessionKind
from broker.model.session import TemporaryCredentials as Credentials
from broker.protocols.oidc.dpop import verify_proof
from broker.sessions.ends import end_mark
from broker.sessions.handles import Handles, SealedTexts
from broker.sessions.lineage import descend
from broker.sessions.revoke import revoke_session
from broker.stores.directory.kinds import ROLE
from tests.support.rows import cases
from tests.support.signin import ACCOUNT, SignInWorld, form_fields, text_of
from tests.unit.console.pages.test_switch_role import let_in, switch

SAME = "arn:aws:signin:::devtools/same-device"
CROSS = "arn:aws:signin:::devtools/cross-device"
CALLBACK = "http://127.0.0.1:7777/oauth/callback"
VERIFIER = "v" * 64
_WHOLE_CHARACTERS = 43
"""Of a coordinate, 32 bytes in base64url."""


def challenge_of(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Terminal(Struct):
    """A command line with its key."""

    world: SignInWorld
    http: httpx.AsyncClient
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def wanted(self, **changed: str) -> dict[str, str]:
        return {
            "response_type": "code",
            "client_id": SAME,
            "redirect_uri": CALLBACK,
            "state": "st4te",
            "scope": "openid",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "SHA-256",
            **changed,
        }

    def proof(self, header: dict[str, Any] | None = None, **changed: Any) -> str:
        jwk = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        public = {name: jwk[name] for name in ("kty", "crv", "x", "y")}
        claims = {
            "htm": "POST",
            "htu": f"{self.world.services.settings.public_origin}/v1/token",
            "iat": int(self.world.clock.now().timestamp()),
            "jti": str(uuid.uuid4()),
            **changed,
        }
        headers = {"typ": "dpop+jwt", "jwk": public, **(header or {})}
        return jwt.encode(claims, self.key, algorithm="ES256", headers=headers)

    async def ask(self, proof: str | None = None, **body: str) -> httpx.Response:
        return await self.http.post(
            "/v1/token",
            json={"clientId": SAME, **body},
            headers={"DPoP": proof or self.proof()},
        )

    async def redeem(self, code: str, **changed: str) -> httpx.Response:
        return await self.ask(
            **{
                "grantType": "authorization_code",
                "code": code,
                "codeVerifier": VERIFIER,
                "redirectUri": CALLBACK,
                **changed,
            }
        )

    async def renew(self, token: str, **changed: str) -> httpx.Response:
        return await self.ask(
            **{"grantType": "refresh_token", "refreshToken": token, **changed}
        )


@pytest.fixture
def terminal(world: SignInWorld) -> Terminal:
    return Terminal(world, world.browser())


async def allow(
    terminal: Terminal, browser: httpx.AsyncClient, answer: str = "allow", **wanted: str
) -> httpx.Response:
    """From the terminal's link to the answer of a person who is signed in."""
    opened = await browser.get("/v1/authorize", params=terminal.wanted(**wanted))
    assert opened.headers["location"] == "/console/login", opened.text
    page = await browser.get("/console/login")
    return await browser.post(
        "/console/login",
        data={**form_fields(page, "/console/login"), "answer": answer},
        headers={"origin": terminal.world.services.settings.public_origin},
    )


async def get_code(terminal: Terminal) -> str:
    browser = terminal.world.browser()
    await terminal.world.sign_in(browser)
    answer = await allow(terminal, browser)
    (code,) = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    return code


async def log_in(terminal: Terminal) -> dict[str, Any]:
    answer = await terminal.redeem(await get_code(terminal))
    assert answer.status_code == 200, answer.text
    params: dict[str, Any] = answer.json()
    return params


def refused(answer: httpx.Response, error: str, status: int = 401) -> bool:
    kind = "AccessDeniedException" if status == 401 else "ValidationException"
    assert answer.json()["error"] == error, answer.text
    assert answer.headers["x-amzn-errortype"] == kind
    return answer.status_code == status


async def test_signing_in_leads_back_to_the_terminal_that_asks(
    world: SignInWorld, terminal: Terminal
) -> None:
    browser = world.browser()
    await browser.get("/v1/authorize", params=terminal.wanted())
    assert (await browser.get("/console/login")).headers["location"] == "/signin"
    assert (await world.sign_in(browser)).headers["location"] == "/console/login"
    page = await browser.get("/console/login")
    assert "assumed-role/Reader" in text_of(page)
    assert "http://127.0.0.1:7777" in page.headers["content-security-policy"]


async def test_a_code_and_a_key_become_credentials_for_fifteen_minutes(
    world: SignInWorld, terminal: Terminal
) -> None:
    params = await log_in(terminal)
    assert params["tokenType"] == "aws_sigv4"
    assert 890 <= params["expiresIn"] <= 900
    token = params["accessToken"]
    resolved = await world.services.resolver.resolve(
        token["accessKeyId"], token["sessionToken"], world.clock.now()
    )
    assert resolved.secret.reveal() == token["secretAccessKey"]
    assert resolved.session.chain_depth == 1
    actions = {record.action for record in await world.audit()}
    assert {"signin:AuthorizeOAuth2Access", "signin:CreateOAuth2Token"} <= actions


async def test_a_login_is_renewed_until_its_session_ends(
    world: SignInWorld, terminal: Terminal
) -> None:
    params = await log_in(terminal)
    for _ in range(3):
        world.clock.move(14 * 60)
        answer = await terminal.renew(params["refreshToken"])
        assert answer.status_code == 200, answer.text
        assert answer.json()["refreshToken"] == params["refreshToken"]
        params = answer.json()
    world.clock.move(7200)
    assert refused(await terminal.renew(params["refreshToken"]), "TOKEN_EXPIRED")


async def is_live(world: SignInWorld, login: dict[str, Any]) -> bool:
    """Whether the credentials that a login gave are."""
    token = login["accessToken"]
    try:
        await world.services.resolver.resolve(
            token["accessKeyId"], token["sessionToken"], world.clock.now()
        )
    except ExpiredToken:
        return False
    return True


async def test_a_login_ends_when_its_console_session_is_signed_out_of(
    world: SignInWorld, terminal: Terminal
) -> None:
    """Credentials, refresh token and codes; not those of another browser's session."""
    browser, other = world.browser(), Terminal(world, world.browser())
    await world.sign_in(browser)
    answers = [await allow(terminal, browser) for _ in "123"]
    codes = [
        parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        for answer in answers
    ]
    logins = [(await terminal.redeem(code)).json() for code in codes[:2]]
    of_other = await log_in(other)
    await sign_out(world, browser)
    for login in logins:
        assert not await is_live(world, login)
        assert refused(await terminal.renew(login["refreshToken"]), "TOKEN_EXPIRED")
    assert refused(await terminal.redeem(codes[2]), "AUTHCODE_EXPIRED")
    assert await is_live(world, of_other)
    assert (await other.renew(of_other["refreshToken"])).status_code == 200


async def test_a_role_that_a_login_assumed_ends_with_the_sign_out_and_copies_do_not(
    world: SignInWorld, terminal: Terminal
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    answer = await allow(terminal, browser)
    (code,) = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    login = (await terminal.redeem(code)).json()["accessToken"]
    resolve = world.services.resolver.resolve
    first = await resolve(
        login["accessKeyId"], login["sessionToken"], world.clock.now()
    )
    from_login = descend(first.session)
    console = first.session.lineage.ancestors[-1]
    copied = replace(
        first.session.lineage, origin=replace(first.session.lineage.origin, targets=())
    )
    assert copied.ancestors[-1] == console
    minted = [
        await world.mint(SessionKind.ASSUME_ROLE, lineage=lineage)
        for lineage in (from_login, copied)
    ]
    await sign_out(world, browser)
    live = [
        await is_live(
            world,
            {
                "accessToken": {
                    "accessKeyId": each.credentials.access_key_id,
                    "sessionToken": each.credentials.session_token.reveal(),
                }
            },
        )
        for each in minted
    ]
    assert live == [False, True]


@pytest.mark.parametrize("minutes", [0, 15])
async def test_a_sign_out_in_a_role_ends_the_logins_of_those_before_it(
    world: SignInWorld, terminal: Terminal, minutes: int
) -> None:
    """Also once the session that they were switched from has expired."""
    await let_in(world, "Admin", "Brief")
    browser = world.browser()
    await world.sign_in(browser)
    answers = []
    world.clock.move(50 * 60)
    for role in ("Brief", "Admin"):
        assert (await switch(browser, role)).status_code == 303
        answers.append(await allow(terminal, browser))
    world.clock.move(5)
    logins = [
        (await terminal.redeem(code)).json()
        for answer in answers
        for code in parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    ]
    world.clock.move(60 * minutes)
    await sign_out(world, browser)
    for login in logins:
        assert refused(await terminal.renew(login["refreshToken"]), "TOKEN_EXPIRED")


async def sign_out(world: SignInWorld, browser: httpx.AsyncClient) -> None:
    fields = form_fields(await browser.get("/console/"), "/console/sign-out")
    answer = await browser.post(
        "/console/sign-out",
        data=fields,
        headers={"origin": world.services.settings.public_origin},
    )
    assert answer.status_code == 303, answer.text


async def test_the_id_token_names_the_session_as_the_aws_cli_reads_it(
    terminal: Terminal,
) -> None:
    """Source: AWS CLI 2, customizations/login/utils.py."""
    params = await log_in(terminal)
    _header, payload, signature = params["idToken"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Reader/alice@example.com"
    assert (claims["sub"], claims["aud"]) == (arn, SAME)
    assert signature == ""
    with pytest.raises(jwt.InvalidTokenError):
        jwt.decode(params["idToken"], options={"verify_signature": True}, key="")
    renewed = await terminal.renew(params["refreshToken"])
    assert "idToken" not in renewed.json()


async def test_programs_that_renew_at_once_all_get_credentials(
    world: SignInWorld, terminal: Terminal
) -> None:
    """As AWS's, a refresh token that is bound to a key is not used up."""
    token = (await log_in(terminal))["refreshToken"]
    answers = await asyncio.gather(*(terminal.renew(token) for _ in range(6)))
    keys = set()
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json()["refreshToken"] == token
        keys.add(answer.json()["accessToken"]["accessKeyId"])
    assert len(keys) == 6
    world.clock.move(1800)
    assert (await terminal.renew(token)).status_code == 200


async def test_a_stolen_refresh_token_is_nothing_without_the_key(
    world: SignInWorld, terminal: Terminal
) -> None:
    token = (await log_in(terminal))["refreshToken"]
    thief = Terminal(world, world.browser())
    assert refused(await thief.renew(token), "TOKEN_EXPIRED")
    assert (await terminal.renew(token)).status_code == 200


async def test_a_refresh_token_stays_with_its_client(terminal: Terminal) -> None:
    token = (await log_in(terminal))["refreshToken"]
    assert refused(await terminal.renew(token, clientId=CROSS), "TOKEN_EXPIRED")


async def test_a_proof_of_the_key_comes_once_and_is_used_up_by_a_code(
    terminal: Terminal,
) -> None:
    code, other = await get_code(terminal), await get_code(terminal)
    sent = {
        "grantType": "authorization_code",
        "codeVerifier": VERIFIER,
        "redirectUri": CALLBACK,
    }
    body = {"clientId": SAME, "code": code, **sent}
    headers = [("DPoP", terminal.proof()), ("DPoP", terminal.proof())]
    twice = await terminal.http.post("/v1/token", json=body, headers=headers)
    none = await terminal.http.post("/v1/token", json=body)
    for refused_answer in (twice, none):
        assert "Exactly one DPoP header" in refused_answer.text
    proof = terminal.proof()
    login = await terminal.ask(proof, code=code, **sent)
    assert login.status_code == 200, login.text
    again = await terminal.ask(proof, code=other, **sent)
    assert "already used" in again.text
    assert (await terminal.redeem(other)).status_code == 200


@pytest.mark.parametrize("name", ["code", "codeVerifier", "redirectUri"])
async def test_a_code_comes_with_all_that_belongs_to_it(
    terminal: Terminal, name: str
) -> None:
    code = await get_code(terminal)
    whole = {"code": code, "codeVerifier": VERIFIER, "redirectUri": CALLBACK}
    del whole[name]
    answer = await terminal.ask(grantType="authorization_code", **whole)
    assert answer.status_code == 400
    assert f"{name} is missing" in answer.text
    assert (await terminal.redeem(code)).status_code == 200


async def test_tokens_of_two_families_do_not_mix(terminal: Terminal) -> None:
    token = (await log_in(terminal))["refreshToken"]
    two = (await log_in(terminal))["refreshToken"]
    half = len(token) // 2
    mixed = token[:half] + two[half:]
    assert refused(await terminal.renew(mixed), "TOKEN_EXPIRED")


async def test_a_proof_is_good_once(terminal: Terminal) -> None:
    token = (await log_in(terminal))["refreshToken"]
    proof = terminal.proof()
    body = {"grantType": "refresh_token", "refreshToken": token}
    following = (await terminal.ask(proof, **body)).json()["refreshToken"]
    assert refused(await terminal.ask(proof, **body), "INVALID_REQUEST", 400)
    # Refused before the used token was looked at: the login goes on.
    assert (await terminal.renew(following)).status_code == 200


async def test_a_proof_stays_used_whatever_becomes_of_the_clock(
    world: SignInWorld, terminal: Terminal
) -> None:
    token = (await log_in(terminal))["refreshToken"]
    proof = terminal.proof()
    body = {"grantType": "refresh_token", "refreshToken": token}
    assert (await terminal.ask(proof, **body)).status_code == 200
    world.clock.move(3500)
    cache: Any = world.services.stores.cache
    await cache.purge()
    world.clock.move(-3500)
    assert refused(await terminal.ask(proof, **body), "INVALID_REQUEST", 400)


async def test_a_code_is_good_once_and_one_that_comes_back_ends_its_login(
    world: SignInWorld, terminal: Terminal
) -> None:
    code = await get_code(terminal)
    token = (await terminal.redeem(code)).json()["refreshToken"]
    thief = Terminal(world, world.browser())
    assert refused(await thief.redeem(code, codeVerifier="w" * 64), "AUTHCODE_EXPIRED")
    following = (await terminal.renew(token)).json()["refreshToken"]
    assert following
    # One that knows the verifier, too, ends what the code gave (RFC 6749 4.1.2).
    code = await get_code(terminal)
    tokens = [(await terminal.redeem(code)).json()["refreshToken"]]
    renewed = (await terminal.renew(tokens[0])).json()
    tokens.append(renewed["refreshToken"])
    assert await is_live(world, renewed)
    assert refused(await thief.redeem(code), "AUTHCODE_EXPIRED")
    assert not await is_live(world, renewed)
    for holder in (terminal, thief):
        assert refused(await holder.renew(tokens[1]), "TOKEN_EXPIRED")
    assert (await terminal.renew(following)).status_code == 200


@cases("changed")
async def test_a_code_is_for_anyone_who_asked(
    terminal: Terminal, changed: dict[str, str]
) -> None:
    code = await get_code(terminal)
    assert refused(
        await terminal.redeem(**{"code": code, **changed}), "AUTHCODE_EXPIRED"
    )


@cases("changed")
async def test_a_grant_has_all_that_proves_it(
    terminal: Terminal, changed: dict[str, str]
) -> None:
    """And what is incomplete uses nothing up."""
    code = await get_code(terminal)
    answer = await terminal.redeem(**{"code": code, **changed})
    assert refused(answer, "INVALID_REQUEST", 400)
    assert (await terminal.redeem(code)).status_code == 200


@pytest.mark.parametrize("count", [0, 2])
async def test_a_request_has_one_proof(terminal: Terminal, count: int) -> None:
    answer = await terminal.http.post(
        "/v1/token",
        json={"clientId": SAME, "grantType": "refresh_token", "refreshToken": "x"},
        headers=[("DPoP", terminal.proof()) for _ in range(count)],
    )
    assert refused(answer, "INVALID_REQUEST", 400)
    assert "Exactly one DPoP" in answer.json()["message"]


async def test_a_code_gets_old(world: SignInWorld, terminal: Terminal) -> None:
    code = await get_code(terminal)
    world.clock.move(301)
    assert refused(await terminal.redeem(code), "AUTHCODE_EXPIRED")


@cases("bad")
async def test_a_proof_of_something_else_proves_nothing(
    terminal: Terminal, bad: dict[str, Any]
) -> None:
    answer = await terminal.ask(terminal.proof(**bad), grantType="refresh_token")
    assert refused(answer, "INVALID_REQUEST", 400)
    assert "DPoP" in answer.json()["message"]


async def test_a_proof_with_another_keys_signature_is_refused(
    terminal: Terminal,
) -> None:
    mine = terminal.proof()
    head, claims, _ = mine.split(".")
    signature = Terminal(terminal.world, terminal.http).proof().rpartition(".")[2]
    answer = await terminal.ask(f"{head}.{claims}.{signature}")
    assert "DPoP" in answer.json()["message"]


def short_key(private: Any) -> dict[str, str]:
    """Its public key as AWS's CLI writes it: without leading zeros (awscrt)."""
    numbers = private.public_key().public_numbers()
    parts = (
        value.to_bytes((value.bit_length() + 7) // 8, "big")
        for value in (numbers.x, numbers.y)
    )
    x, y = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


async def test_a_keys_leading_zeros_may_be_left_out(terminal: Terminal) -> None:
    """One key in 128 has some, and AWS's CLI could not log in with it."""
    login = await log_in(terminal)
    keys = (ec.derive_private_key(n, ec.SECP256R1()) for n in itertools.count(1))
    terminal.key = next(k for k in keys if len(short_key(k)["x"]) < _WHOLE_CHARACTERS)
    code = await get_code(terminal)
    headers = {"jwk": short_key(terminal.key)}
    body = {
        "grantType": "authorization_code",
        "code": code,
        "codeVerifier": VERIFIER,
        "redirectUri": CALLBACK,
    }
    answer = await terminal.ask(terminal.proof(headers), **body)
    assert answer.status_code == 200, answer.text
    # It is the same key, however it is written.
    assert (await terminal.renew(answer.json()["refreshToken"])).status_code == 200
    assert refused(await terminal.renew(login["refreshToken"]), "TOKEN_EXPIRED")


async def test_a_coordinate_is_not_longer_than_32_bytes(terminal: Terminal) -> None:
    y = terminal.key.public_key().public_numbers().y
    written = base64.urlsafe_b64encode(y.to_bytes(33, "big")).decode()
    jwk = {**short_key(terminal.key), "y": written}
    answer = await terminal.ask(terminal.proof({"jwk": jwk}), grantType="refresh_token")
    assert refused(answer, "INVALID_REQUEST", 400)
    assert "DPoP" in answer.json()["message"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"a":1,"a":2}', b"\xff", b"[" * 5000, b"x" * 9000]
)
async def test_a_body_must_be_an_object(terminal: Terminal, body: bytes) -> None:
    answer = await terminal.http.post(
        "/v1/token",
        content=body,
        headers={"DPoP": terminal.proof(), "content-type": "application/json"},
    )
    assert refused(answer, "INVALID_REQUEST", answer.status_code)


@cases("changed")
async def test_a_request_that_does_not_fit_goes_nowhere(
    world: SignInWorld, terminal: Terminal, changed: dict[str, str]
) -> None:
    answer = await world.browser().get(
        "/v1/authorize", params=terminal.wanted(**changed)
    )
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_who_says_no_sends_the_terminal_away(
    world: SignInWorld, terminal: Terminal
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    answer = await allow(terminal, browser, "deny")
    assert answer.headers["location"] == f"{CALLBACK}?error=access_denied&state=st4te"


async def test_a_state_of_any_printable_characters_comes_back_as_it_was(
    world: SignInWorld, terminal: Terminal
) -> None:
    """Editors send a whole address."""
    state = "editor%3A//login?window=1&to=[a] <b>".ljust(2048, "s")
    browser = world.browser()
    await world.sign_in(browser)
    answer = await allow(terminal, browser, state=state)
    assert parse_qs(urlsplit(answer.headers["location"]).query)["state"] == [state]


def test_an_answer_joins_the_query_that_a_redirect_has() -> None:
    request = oauth.LoginRequest(
        client_id="c",
        redirect_uri="http://127.0.0.1:1/callback?session=7",
        challenge="c",
        state="s&t",
    )
    assert request.answer_url(code="x") == (
        "http://127.0.0.1:1/callback?session=7&code=x&state=s%26t"
    )


async def test_an_answer_counts_once_and_needs_the_pages_token(
    world: SignInWorld, terminal: Terminal
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    await browser.get("/v1/authorize", params=terminal.wanted())
    fields = form_fields(await browser.get("/console/login"), "/console/login")
    origin = {"origin": world.services.settings.public_origin}

    async def answer(headers: dict[str, str], **changed: str) -> int:
        data = {**fields, "answer": "allow", **changed}
        done = await browser.post("/console/login", data=data, headers=headers)
        return done.status_code

    assert await answer({"origin": "https://evil.example.org"}) == 403
    assert await answer(origin, csrf="x") == 403
    assert await answer(origin, challenge="other") == 400
    waiting = dict(browser.cookies)
    assert await answer(origin) == 303
    # The browser forgets it; one that did not is told the same.
    assert waiting.keys() - browser.cookies.keys() == {"broker-login"}
    assert await answer(origin) == 400
    browser.cookies.update(waiting)
    assert await answer(origin) == 400


async def test_who_is_no_longer_signed_in_answers_nothing(
    world: SignInWorld, terminal: Terminal
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    await browser.get("/v1/authorize", params=terminal.wanted())
    fields = form_fields(await browser.get("/console/login"), "/console/login")
    await sign_out(world, browser)
    answer = await browser.post(
        "/console/login",
        data={**fields, "answer": "allow"},
        headers={"origin": world.services.settings.public_origin},
    )
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_who_denies_another_device_is_led_home(
    world: SignInWorld, terminal: Terminal
) -> None:
    origin = world.services.settings.public_origin
    remote = {"client_id": CROSS, "redirect_uri": f"{origin}/v1/sessions/confirmation"}
    browser = world.browser()
    await world.sign_in(browser)
    answer = await allow(terminal, browser, "deny", **remote)
    assert answer.headers["location"] == "/console/"


async def test_another_device_takes_a_code(
    world: SignInWorld, terminal: Terminal
) -> None:
    origin = world.services.settings.public_origin
    remote = {"client_id": CROSS, "redirect_uri": f"{origin}/v1/sessions/confirmation"}
    browser = world.browser()
    await world.sign_in(browser)
    response = await allow(terminal, browser, **remote)
    (code,) = html.fromstring(response.text).xpath("//pre[@id='login_code']")
    qs = parse_qs(base64.b64decode(code.text_content()).decode())
    assert qs["state"] == ["st4te"]
    answer = await terminal.redeem(
        qs["code"][0], clientId=CROSS, redirectUri=remote["redirect_uri"]
    )
    assert answer.status_code == 200, answer.text


async def test_the_removed_command_is_told_what_to_use(terminal: Terminal) -> None:
    """`broker login --remote` of an earlier version shows the message as it is."""
    answer = await terminal.http.post("/v1/authorize", data=terminal.wanted())
    assert answer.status_code == 410
    assert "aws login --remote" in answer.json()["message"]


async def test_a_request_that_an_earlier_version_stored_is_read(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_then(request: Any) -> dict[str, Any]:
        return {**asdict(request), "address": "192.0.2.1", "agent": "aws-cli"}

    monkeypatch.setattr(oauth, "asdict", as_then)
    assert await get_code(terminal)


async def test_nothing_in_the_database_opens_a_login(
    world: SignInWorld, terminal: Terminal
) -> None:
    code = await get_code(terminal)
    assert (await terminal.redeem(code)).status_code == 200
    kept = handles_in(world)
    assert {"login-code", "login-family"} <= {space for space, _, _ in kept}
    for _, key, value in kept:
        assert code.encode() not in key + value
        assert b"session_token" not in value
    assert hashlib.sha256(code.encode()).digest() in {key for _, key, _ in kept}


def handles_in(world: SignInWorld) -> list[tuple[str, bytes, bytes]]:
    path = world.services.settings.data_dir / "broker.db"
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT space, key, value FROM handles")
        return rows.fetchall()


async def test_a_login_is_a_session_that_is_listed_and_ends_what_it_gave(
    world: SignInWorld, terminal: Terminal
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    answer = await allow(terminal, browser)
    (code,) = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    login = (await terminal.redeem(code)).json()
    token = login["accessToken"]
    resolved = await world.services.resolver.resolve(
        token["accessKeyId"], token["sessionToken"], world.clock.now()
    )
    family = resolved.session.lineage.ancestors[-1]
    cache = world.services.stores.cache
    record = await cache.find_session(family.access_key_id)
    assert record is not None
    assert record.lineage.ancestors == resolved.session.lineage.ancestors[:-1]
    assert record.expires_at > resolved.session.expires_at
    renewed = (await terminal.renew(login["refreshToken"])).json()
    assert await is_live(world, renewed)
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await revoke_session(change, record, now=world.clock.now())
    for each in (login, renewed):
        assert not await is_live(world, each)
    assert refused(await terminal.renew(login["refreshToken"]), "TOKEN_EXPIRED")
    # Another login of the same console goes on.
    assert (await browser.get("/console/")).status_code == 200
    assert (await terminal.renew((await log_in(terminal))["refreshToken"])).is_success


async def older_login(
    world: SignInWorld, terminal: Terminal
) -> tuple[str, str, Credentials]:
    """The refresh token and handle of a login that an earlier version began."""
    minted = (await world.mint(SessionKind.SAML)).credentials
    services, ends_at = world.services, minted.expiration
    thumbprint = verify_proof(
        terminal.proof(),
        method="POST",
        url=f"{services.settings.public_origin}/v1/token",
        now=world.clock.now(),
        skew=timedelta(minutes=5),
    ).thumbprint
    handle = await Handles(services.handles, services.vault, "login-session").put(
        {
            "access_key_id": minted.access_key_id,
            "session_token": minted.session_token.reveal(),
            "end_marks": [(ACCOUNT, "console-end/7")],
        },
        ends_at,
    )
    family = {
        "client_id": SAME,
        "ends_at": int(ends_at.timestamp()),
        "session": handle,
        "thumbprint": thumbprint,
        "serial": "s",
    }
    token = SealedTexts(services.vault, "login-refresh").seal(family, ends_at)
    return token, handle, minted


async def test_a_login_of_an_earlier_version_goes_on_until_its_end(
    world: SignInWorld, terminal: Terminal
) -> None:
    for marked in ("console-end/7", "its own"):
        token, handle, _ = await older_login(world, terminal)
        answer = await terminal.renew(token)
        assert answer.status_code == 200, answer.text
        assert answer.json()["refreshToken"] == token
        mark = end_mark("login", handle) if marked == "its own" else marked
        await set_mark(world, mark)
        assert not await is_live(world, answer.json())
        assert refused(await terminal.renew(token), "TOKEN_EXPIRED")
        async with world.services.stores.directory.change(ACCOUNT) as change:
            await change.forget_revocation(ACCOUNT, mark)


async def test_an_earlier_version_reads_a_new_refresh_token_and_finds_no_login(
    world: SignInWorld, terminal: Terminal
) -> None:
    """A worker of that version refuses what the other made, and does not fail."""
    services = world.services
    token = (await log_in(terminal))["refreshToken"]
    value = SealedTexts(services.vault, "login-refresh").find_opened(
        token, world.clock.now()
    )
    assert value is not None
    assert value.keys() == {"client_id", "ends_at", "session", "thumbprint", "serial"}
    older = Handles(services.handles, services.vault, "login-session")
    assert await older.find(value["session"]) is None
    code = await get_code(terminal)
    kept = await Handles(services.handles, services.vault, "login-code").find(code)
    assert kept is not None
    assert kept.keys() == {"client_id", "redirect_uri", "challenge", "session"}
    assert await older.find(kept["session"]) is None


@pytest.mark.parametrize("marked", ["console-end/7", "its own"])
async def test_a_code_of_an_earlier_version_becomes_a_login_that_ends_with_its_marks(
    world: SignInWorld, terminal: Terminal, marked: str
) -> None:
    _, handle, _ = await older_login(world, terminal)
    code = await older_code(world, handle)
    login = (await terminal.redeem(code)).json()
    assert await is_live(world, login)
    assert (await terminal.renew(login["refreshToken"])).is_success
    await set_mark(world, end_mark("login", handle) if marked == "its own" else marked)
    assert not await is_live(world, login)
    assert refused(await terminal.renew(login["refreshToken"]), "TOKEN_EXPIRED")


async def test_a_code_of_an_earlier_version_is_refused_once_its_login_is_dropped(
    world: SignInWorld, terminal: Terminal
) -> None:
    code = await older_code(world, "a-handle")
    assert refused(await terminal.redeem(code), "AUTHCODE_EXPIRED")


async def older_code(world: SignInWorld, handle: str) -> str:
    """A code that an earlier version gave for a login that it kept."""
    value = {
        "client_id": SAME,
        "redirect_uri": CALLBACK,
        "challenge": challenge_of(VERIFIER),
        "session": handle,
    }
    services = world.services
    return await Handles(services.handles, services.vault, "login-code").put(
        value, world.clock.now() + timedelta(minutes=5)
    )


async def set_mark(world: SignInWorld, mark: str) -> None:
    async with world.services.stores.directory.change(ACCOUNT) as change:
        revoked = Revocation(
            account=ACCOUNT,
            target=mark,
            not_before_ms=None,
            expires_at=world.clock.now() + timedelta(days=1),
        )
        await change.revoke(revoked)


async def test_a_session_that_was_revoked_is_not_renewed(
    world: SignInWorld, terminal: Terminal
) -> None:
    token = (await log_in(terminal))["refreshToken"]
    async with world.services.stores.directory.change(ACCOUNT) as change:
        role = await world.services.fresh.named(ROLE, ACCOUNT, "Reader")
        assert role is not None
        await change.remove(ROLE, role)
    world.clock.move(120)
    answer = await terminal.renew(token)
    assert answer.status_code == 401
    assert answer.json()["error"] in {"TOKEN_EXPIRED", "USER_CREDENTIALS_CHANGED"}
