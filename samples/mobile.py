"""A mobile app's sign-in, end to end: PKCE at an identity provider, then the broker.

    python samples/mobile.py --issuer https://idp.example.com --client-id app \
        --broker https://broker.example.com --role arn:aws:iam::123456789012:role/App

A public client has no secret. It opens the identity provider's page in the browser,
receives the code on a loopback address (RFC 8252), exchanges it with its PKCE verifier,
and sends the ID token to the broker in an unsigned call. botocore renews the credentials
before they expire.
"""

import argparse
import base64
import hashlib
import json
import secrets
import urllib.request
import webbrowser
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.session import get_session


def main() -> None:
    """Sign in, then say who that is, with credentials that renew themselves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--issuer", required=True)
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--broker", default="http://127.0.0.1:8080")
    parser.add_argument("--role", required=True)
    # A role that GroupRoles names needs the groups, often: openid groups
    parser.add_argument("--scope", default="openid")
    parser.add_argument("--port", type=int, default=8765)
    given = parser.parse_args()

    def renew() -> dict[str, str]:
        return exchange(given.broker, given.role, sign_in(given, webbrowser.open))

    session = get_session()
    session._credentials = RefreshableCredentials.create_from_metadata(  # noqa: SLF001  # botocore's documented way in
        metadata=renew(), refresh_using=renew, method="mobile"
    )
    client = boto3.Session(botocore_session=session, region_name="us-east-1").client(
        "sts", endpoint_url=given.broker
    )
    print("You are:", client.get_caller_identity()["Arn"])


def sign_in(given: argparse.Namespace, open_page: Callable[[str], object]) -> str:
    """An ID token: authorization code with PKCE (RFC 7636), state and nonce."""
    endpoints = fetch(f"{given.issuer.rstrip('/')}/.well-known/openid-configuration")
    redirect_uri = f"http://127.0.0.1:{given.port}/callback"
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    digest = hashlib.sha256(verifier.encode()).digest()
    question = urlencode(
        {
            "response_type": "code",
            "client_id": given.client_id,
            "redirect_uri": redirect_uri,
            "scope": given.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
    )
    with Callback(given.port) as callback:
        open_page(f"{endpoints['authorization_endpoint']}?{question}")
        answer = callback.wait()
    if answer.get("state") != state:
        raise SystemExit("The answer is not to our question.")
    if "code" not in answer:
        raise SystemExit(f"The identity provider refused: {answer.get('error')}")
    tokens = fetch(
        endpoints["token_endpoint"],
        {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": redirect_uri,
            "client_id": given.client_id,
            "code_verifier": verifier,
        },
    )
    token = tokens["id_token"]
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if claims.get("nonce") != nonce:
        raise SystemExit("The token is not for this sign-in.")
    return token


def exchange(broker: str, role: str, token: str) -> dict[str, str]:
    """Temporary credentials, in the form that botocore renews."""
    sts = boto3.client(
        "sts",
        endpoint_url=broker,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )
    found = sts.assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="mobile", WebIdentityToken=token
    )["Credentials"]
    return {
        "access_key": found["AccessKeyId"],
        "secret_key": found["SecretAccessKey"],
        "token": found["SessionToken"],
        "expiry_time": found["Expiration"].isoformat(),
    }


class Callback:
    """The loopback address that the browser comes back to, for one answer."""

    def __init__(self, port: int) -> None:
        self.answer: dict[str, str] = {}
        handler = type("Handler", (_Handler,), {"callback": self})
        self._server = HTTPServer(("127.0.0.1", port), handler)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    def wait(self) -> dict[str, str]:
        """What the identity provider answered."""
        while not self.answer:
            self._server.handle_request()
        return self.answer


class _Handler(BaseHTTPRequestHandler):
    callback: Callback

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/callback":
            query = parse_qs(parts.query)
            self.callback.answer = {name: value[0] for name, value in query.items()}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"You may close this page.")

    def log_message(self, *_: object) -> None:
        """The address holds the code: keep it out of logs."""


def fetch(url: str, form: dict[str, str] | None = None) -> dict[str, str]:
    """A JSON document."""
    data = urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, data, timeout=10) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
