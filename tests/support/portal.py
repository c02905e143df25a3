"""The access portal of a broker in this process: a person's browser, and a client."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx

from tests.support.signin import ACCOUNT, SignInWorld, form_fields

START = f"/portal/{ACCOUNT}"
CALLBACK = "http://127.0.0.1/oauth/callback"
LISTENING = "http://127.0.0.1:43210/oauth/callback"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
SCOPES = ["sso:account:access"]
VERIFIER = "v" * 64
STATE = "state-of-the-client"


def challenge(verifier: str = VERIFIER) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Terminal:
    """A client of ``sso-oidc`` and ``sso``; it registers when it is made."""

    def __init__(self, world: SignInWorld) -> None:
        self.world = world
        self.http = world.browser()
        self.origin = world.services.settings.public_origin
        self.client: dict[str, Any] = {}

    async def register(self, *, device: bool = False, **more: Any) -> "Terminal":
        params: dict[str, Any] = {
            "clientName": "botocore-client-test",
            "clientType": "public",
            "scopes": SCOPES,
        }
        if not device:
            params |= {
                "grantTypes": ["authorization_code", "refresh_token"],
                "redirectUris": [CALLBACK],
                "issuerUrl": f"{self.origin}{START}",
            }
        answer = await self.post("client/register", **{**params, **more})
        assert answer.status_code == 200, answer.text
        self.client = answer.json()
        return self

    @property
    def credentials(self) -> dict[str, str]:
        return {k: self.client[k] for k in ("clientId", "clientSecret")}

    async def post(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.post(f"/sso-oidc/{path}", json=params)

    async def begin(self, **more: Any) -> dict[str, Any]:
        params = {**self.credentials, "startUrl": f"{self.origin}{START}", **more}
        answer = await self.post("device_authorization", **params)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    async def token(self, grant: str, **more: Any) -> httpx.Response:
        return await self.post("token", grantType=grant, **{**self.credentials, **more})

    async def poll(self, device: dict[str, Any], **more: Any) -> httpx.Response:
        return await self.token(DEVICE_CODE, deviceCode=device["deviceCode"], **more)

    async def redeem(self, code: str, **more: Any) -> httpx.Response:
        params = {"code": code, "redirectUri": LISTENING, "codeVerifier": VERIFIER}
        return await self.token("authorization_code", **{**params, **more})

    async def ask(self, path: str, token: str, **query: Any) -> httpx.Response:
        headers = {"x-amz-sso_bearer_token": token}
        method = self.http.post if path == "logout" else self.http.get
        return await method(f"/sso/{path}", params=query, headers=headers)

    async def role(
        self, token: str, name: str = "Reader", account: str = ACCOUNT
    ) -> httpx.Response:
        return await self.ask(
            "federation/credentials", token, role_name=name, account_id=account
        )

    def authorize_query(self, **more: str | None) -> dict[str, str]:
        params = {
            "response_type": "code",
            "client_id": self.client["clientId"],
            "redirect_uri": LISTENING,
            "state": STATE,
            "code_challenge_method": "S256",
            "scopes": "sso:account:access",
            "code_challenge": challenge(),
            **more,
        }
        return {name: value for name, value in params.items() if value is not None}


class Person:
    """Somebody with a browser, who signs in with the test identity provider."""

    def __init__(self, world: SignInWorld) -> None:
        self.world = world
        self.browser = world.browser()

    async def sign_in(self, *roles: str, place: str = ACCOUNT, **knobs: Any) -> None:
        data = {
            "SAMLResponse": self.world.response(*roles, **knobs),
            "RelayState": f"/portal/{place}",
        }
        posted = await self.browser.post("/saml", data=data)
        assert posted.status_code == 303, posted.text
        arrived = await self.browser.get(posted.headers["location"])
        if "already signed in" in arrived.text:
            arrived = await self.press(arrived)
        assert arrived.headers.get("location") == f"/portal/{place}", arrived.text

    async def press(
        self, page: httpx.Response, answer: str = "allow", **more: str
    ) -> httpx.Response:
        """Press a button of a consent page."""
        assert page.status_code == 200, page.headers.get("location") or page.text
        path = page.url.path
        data = {**form_fields(page, path), "answer": answer, **more}
        origin = self.world.services.settings.public_origin
        return await self.browser.post(path, data=data, headers={"origin": origin})

    async def answer_device(
        self, user_code: str, answer: str = "allow"
    ) -> httpx.Response:
        page = await self.browser.get("/portal/device", params={"user_code": user_code})
        return await self.press(page, answer)

    async def consent_page(
        self, terminal: Terminal, **more: str | None
    ) -> httpx.Response:
        """The page that a client's address leads to."""
        sent = await self.browser.get(
            "/authorize", params=terminal.authorize_query(**more)
        )
        assert sent.status_code == 303, sent.text
        return await self.browser.get(sent.headers["location"])

    async def code_for(self, terminal: Terminal) -> str:
        """The code that the client's loopback address receives."""
        answered = await self.press(await self.consent_page(terminal))
        location = answered.headers["location"]
        assert location.startswith(f"{LISTENING}?"), location
        qs = parse_qs(urlsplit(location).query)
        assert qs["state"] == [STATE]
        return qs["code"][0]


async def logged_in(
    world: SignInWorld, *roles: str
) -> tuple[Person, Terminal, dict[str, Any]]:
    """A person, their terminal, and the tokens that it got with PKCE."""
    person, terminal = Person(world), await Terminal(world).register()
    await person.sign_in(*roles)
    answer = await terminal.redeem(await person.code_for(terminal))
    assert answer.status_code == 200, answer.text
    return person, terminal, answer.json()
