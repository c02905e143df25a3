"""Terminals that log in: what `aws login` and `aws sso login` send and get.

In a long run the AWS CLI itself logs in, and leaves what it got in its caches; what is
held is then asked about from there.
"""

import base64
import hashlib
import json
import time
import uuid
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.leavers.people import Browser, Person, code_in
from tests.support.broker import Key

_DEVTOOLS = "arn:aws:signin:::devtools/same-device"
_CALLBACK = "http://127.0.0.1:7777/oauth/callback"
_VERIFIER = "v" * 64
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def _challenge() -> str:
    digest = hashlib.sha256(_VERIFIER.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Login:
    """One `aws login`, which the person allowed: its code is not yet redeemed."""

    def __init__(self, browser: Browser) -> None:
        self.world = browser.world
        self._key = ec.generate_private_key(ec.SECP256R1())
        query = {
            "response_type": "code",
            "client_id": _DEVTOOLS,
            "redirect_uri": _CALLBACK,
            "state": "st4te",
            "scope": "openid",
            "code_challenge": _challenge(),
            "code_challenge_method": "SHA-256",
        }
        page = browser.get(f"/v1/authorize?{urlencode(query)}")
        self._code = code_in(browser.submit(page, goes_on=False, answer="allow"))
        self._refresh_token = ""
        self.key = Key("", "")

    def redeem(self, node: int = 0) -> bool:
        return self._ask(
            node,
            grantType="authorization_code",
            code=self._code,
            codeVerifier=_VERIFIER,
            redirectUri=_CALLBACK,
        )

    def renew(self, node: int = 0) -> bool:
        return self._ask(
            node, grantType="refresh_token", refreshToken=self._refresh_token
        )

    def _ask(self, node: int, **body: str) -> bool:
        answer = self.world.ask(
            "POST",
            "/v1/token",
            node,
            json={"clientId": _DEVTOOLS, **body},
            headers={"dpop": self._proof()},
        )
        if answer.status_code != 200:
            return False
        made = answer.json()
        self._refresh_token = made["refreshToken"]
        token = made["accessToken"]
        self.key = Key(
            token["accessKeyId"], token["secretAccessKey"], token["sessionToken"]
        )
        return True

    def _proof(self) -> str:
        jwk = json.loads(ECAlgorithm.to_jwk(self._key.public_key()))
        claims = {
            "htm": "POST",
            "htu": f"{self.world.url}/v1/token",
            "iat": int(time.time()),
            "jti": str(uuid.uuid4()),
        }
        public = {name: jwk[name] for name in ("kty", "crv", "x", "y")}
        headers = {"typ": "dpop+jwt", "jwk": public}
        return jwt.encode(claims, self._key, algorithm="ES256", headers=headers)


def log_in(person: Person) -> Login:
    login = Login(person.console)
    assert login.redeem()
    return login


class Device:
    """One `aws sso login --use-device-code`, which the person allowed in the portal."""

    def __init__(self, person: Person) -> None:
        self.world, self._account = person.world, person.account.number
        self._role = person.portal_role
        registered = self._begin(
            "client/register",
            clientName="terminal",
            clientType="public",
            scopes=["sso:account:access"],
            grantTypes=[_DEVICE_GRANT, "refresh_token"],
        )
        self._client = {name: registered[name] for name in ("clientId", "clientSecret")}
        begun = self._begin(
            "device_authorization",
            **self._client,
            startUrl=f"{self.world.url}{person.portal_path}",
        )
        address = begun["verificationUriComplete"]
        page = person.portal.get(address.removeprefix(self.world.url))
        person.portal.submit(page, answer="allow")
        self._device_code = begun["deviceCode"]
        self._access_token = self._refresh_token = ""

    def _begin(self, path: str, **body: object) -> dict[str, str]:
        """From an address of its own; it waits while too many begin."""
        http = Browser(self.world).http
        while (answer := http.post(f"/sso-oidc/{path}", json=body)).status_code != 200:
            assert "Too many sign-ins are being started" in answer.text, answer.text
            time.sleep(0.2)
        made: dict[str, str] = answer.json()
        return made

    def redeem(self, node: int = 0) -> bool:
        return self._token(node, grantType=_DEVICE_GRANT, deviceCode=self._device_code)

    def renew(self, node: int = 0) -> bool:
        return self._token(
            node, grantType="refresh_token", refreshToken=self._refresh_token
        )

    def _token(self, node: int, **body: str) -> bool:
        answer = self.world.ask(
            "POST", "/sso-oidc/token", node, json={**self._client, **body}
        )
        if answer.status_code != 200:
            return False
        made = answer.json()
        self._access_token = made["accessToken"]
        self._refresh_token = made["refreshToken"]
        return self.gives_role(node)

    def gives_role(self, node: int = 0) -> bool:
        return self.credentials(node) is not None

    def credentials(self, node: int = 0) -> Key | None:
        """New ones of the role that the portal offers; None if it is refused."""
        params = {"role_name": self._role, "account_id": self._account}
        path = f"/sso/federation/credentials?{urlencode(params)}"
        headers = {"x-amz-sso_bearer_token": self._access_token}
        answer = self.world.ask("GET", path, node, headers=headers)
        if answer.status_code != 200:
            return None
        made = answer.json()["roleCredentials"]
        return Key(made["accessKeyId"], made["secretAccessKey"], made["sessionToken"])


def sso_log_in(person: Person) -> Device:
    device = Device(person)
    assert device.redeem()
    return device
