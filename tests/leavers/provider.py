"""An OpenID Connect provider whose people are signed in already: each path is an issuer.

It has one person, ``leaver`` in the group ``staff``, with one session. Its tokens are
what an identity provider would issue; a refresh token is good until the person is gone.
"""

import base64
import json
import secrets
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from tests.support.oidc_issuer import OidcIssuer, send, send_json

CLIENT = "federation-broker"
SUBJECT, SID = "leaver", "session-at-the-provider"
_DISCOVERY = "/.well-known/openid-configuration"
_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


class Provider:
    """Issuers of one origin, which share a key."""

    def __init__(self) -> None:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.host = f"127.0.0.1:{self._http.server_address[1]}"
        self.nonces: dict[str, str] = {}

    def issuer(self, name: str) -> OidcIssuer:
        return OidcIssuer(f"http://{self.host}/{name}", audience=CLIENT)

    def id_token(self, name: str, **claims: Any) -> str:
        """A fresh one of the person's."""
        return self.issuer(name).token(
            sub=SUBJECT,
            sid=SID,
            groups=["staff"],
            preferred_username=SUBJECT,
            **claims,
        )

    def logout_token(self, name: str, **about: str) -> str:
        """Says that a ``sid``, or all sessions of a ``sub``, ended."""
        return self.issuer(name).token(
            drop=("sub",) if "sub" not in about else (),
            header={"typ": "logout+jwt"},
            jti=uuid.uuid4().hex,
            events={_LOGOUT: {}},
            **about,
        )

    def authorize(self, query: dict[str, str]) -> str:
        """Where the person's browser goes, with a code."""
        code = secrets.token_urlsafe(16)
        self.nonces[code] = query["nonce"]
        return (
            query["redirect_uri"]
            + "?"
            + urlencode({"code": code, "state": query["state"]})
        )

    def serve(self) -> None:
        threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: Provider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        name = parts.path.split("/")[1]
        issuer = self.owner.issuer(name)
        if parts.path == f"/{name}{_DISCOVERY}":
            flow = {
                "response_types_supported": ["code"],
                "scopes_supported": ["openid", "offline_access"],
                "backchannel_logout_supported": True,
                "backchannel_logout_session_supported": True,
                "code_challenge_methods_supported": ["S256"],
            }
            send_json(self, {**issuer.discovery(), **flow})
        elif parts.path == f"/{name}/jwks":
            send_json(self, issuer.jwks())
        elif parts.path == f"/{name}/authorize":
            query = {key: value[0] for key, value in parse_qs(parts.query).items()}
            send(self, b"", 302, {"location": self.owner.authorize(query)})
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        name = self.path.split("/")[1]
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        form = dict(parse_qsl(body))
        token = self.owner.id_token(name, nonce=self.owner.nonces.pop(form["code"]))
        send_json(
            self,
            {
                "access_token": base64.b64encode(uuid.uuid4().bytes).decode(),
                "token_type": "Bearer",
                "expires_in": 300,
                "id_token": token,
            },
        )

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def serving() -> Iterator[Provider]:
    """The provider, while the block runs."""
    provider = Provider()
    provider.serve()
    try:
        yield provider
    finally:
        provider.stop()


def claims_of(token: str) -> dict[str, Any]:
    """What a token says."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return claims


def wait_for_the_next_second() -> None:
    """Times in tokens are whole seconds."""
    time.sleep(1 - time.time() % 1)
