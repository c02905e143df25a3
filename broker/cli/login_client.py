"""A client of the broker's authorization and token endpoints.

Source: botocore's signin model; RFC 7636; RFC 9126; RFC 9449.
"""

import base64
import hashlib
import json
import platform
import time
import uuid
from typing import Any
from urllib.parse import urlencode

import httpx2
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from broker.console.terminals.clients import CONFIRMATION
from broker.errors import ValidationError

_SECONDS = 20
_OK, _CREATED = 200, 201


class LoginClient:
    """A client of one broker with one DPoP key."""

    def __init__(self, base: str, key_pem: str | None = None) -> None:
        self.base = base
        self.confirmation = f"{base}{CONFIRMATION}"
        if key_pem is None:
            self._key = ec.generate_private_key(ec.SECP256R1())
        else:
            key = serialization.load_pem_private_key(key_pem.encode(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValidationError("The stored login's key cannot be used.")
            self._key = key

    @property
    def key_pem(self) -> str:
        """The key in the format that AWS's login provider reads."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode("ascii")

    def link(
        self, client_id: str, redirect_uri: str, challenge: str, state: str
    ) -> str:
        """The authorization URL for the browser."""
        query = urlencode(_parameters(client_id, redirect_uri, challenge, state))
        return f"{self.base}/v1/authorize?{query}"

    def push(
        self, client_id: str, redirect_uri: str, challenge: str, state: str
    ) -> str:
        """Push the request first, so that the page can show the terminal's address.

        Raises:
            ValidationError: The broker refuses, or does not answer.
        """
        answer = self._post(
            "/v1/authorize",
            _CREATED,
            data=_parameters(client_id, redirect_uri, challenge, state),
            headers={"user-agent": f"broker login on {platform.node()[:60]}"},
        )
        query = {"client_id": client_id, "request_uri": answer["request_uri"]}
        return f"{self.base}/v1/authorize?{urlencode(query)}"

    def redeem(
        self, client_id: str, code: str, verifier: str, redirect_uri: str
    ) -> dict[str, Any]:
        """Exchange the code for credentials and a refresh token.

        Raises:
            ValidationError: The broker refuses, or does not answer.
        """
        return self._request(
            client_id,
            {
                "grantType": "authorization_code",
                "code": code,
                "codeVerifier": verifier,
                "redirectUri": redirect_uri,
            },
        )

    def renew(self, client_id: str, refresh_token: str) -> dict[str, Any]:
        """Exchange the refresh token for new credentials.

        Raises:
            ValidationError: The broker refuses, or does not answer.
        """
        given = {"grantType": "refresh_token", "refreshToken": refresh_token}
        return self._request(client_id, given)

    def _request(self, client_id: str, given: dict[str, str]) -> dict[str, Any]:
        answer = self._post(
            "/v1/token",
            _OK,
            json={"clientId": client_id, **given},
            headers={"dpop": self._proof(f"{self.base}/v1/token")},
        )
        return {**answer, "clientId": client_id}

    def _proof(self, url: str) -> str:
        jwk = json.loads(ECAlgorithm.to_jwk(self._key.public_key()))
        public = {name: jwk[name] for name in ("kty", "crv", "x", "y")}
        claims = {
            "htm": "POST",
            "htu": url,
            "iat": int(time.time()),
            "jti": str(uuid.uuid4()),
        }
        headers = {"typ": "dpop+jwt", "jwk": public}
        return jwt.encode(claims, self._key, algorithm="ES256", headers=headers)

    def _post(
        self,
        path: str,
        expected: int,
        *,
        headers: dict[str, str],
        data: dict[str, str] | None = None,
        json: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            answer = httpx2.post(
                f"{self.base}{path}",
                headers=headers,
                data=data,
                json=json,
                timeout=_SECONDS,
            )
            body = answer.json() if answer.status_code == expected else None
        except (httpx2.HTTPError, ValueError) as error:
            raise ValidationError(f"{self.base} does not answer: {error}") from error
        if isinstance(body, dict):
            return body
        raise ValidationError(_reason(answer))


def challenge_of(verifier: str) -> str:
    """The PKCE challenge."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _parameters(
    client_id: str, redirect_uri: str, challenge: str, state: str
) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": client_id,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "SHA-256",
        "scope": "openid",
        "redirect_uri": redirect_uri,
    }


def _reason(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"The broker refused (status {answer.status_code})."
