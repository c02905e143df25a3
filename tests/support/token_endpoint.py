"""An OpenID Connect provider whose people come and go: its token endpoint, as real ones do.

Refresh tokens rotate: one that is sent twice is refused, and ends its family, as at
Keycloak with *Revoke Refresh Token*.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2 as httpx

from broker.model.account import AccountId
from broker.model.entities import OidcProvider, Role
from broker.runtime.clock import SystemClock
from broker.stores.directory.kinds import OIDC_PROVIDER, ROLE
from tests.support.oidc_issuer import IssuerServer, send
from tests.support.signin import ACCOUNT, SignInWorld, role_arn

CLIENT = "broker"
PROVIDER_ID = "OIDCPWATCHED"
GROUPS = {"staff": [role_arn("Staff")], "admins": [role_arn("Boss")]}
Answer = tuple[int, dict[str, Any] | bytes, dict[str, str]]


@dataclass
class Grant:
    """A refresh token's family: whose it is, which of its tokens is good, and the used."""

    subject: str
    token: str
    is_over: bool = False
    used: set[str] = field(default_factory=set)


@dataclass
class Provider:
    """The provider; ``groups`` has its people."""

    server: IssuerServer
    now: Callable[[], datetime] = field(default=SystemClock().now)
    groups: dict[str, list[str]] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    fails: Callable[[str], Answer | None] = lambda _token: None
    loses_answers: bool = False
    gives_tokens: bool = True
    at_once: int = 0
    most_at_once: int = 0
    pause_seconds: float = 0.0
    codes: dict[str, tuple[str, str, bool]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def authorize(self, url: str, subject: str) -> str:
        """Where a browser is sent back to, once this person signed in."""
        query = {
            name: value for name, (value, *_) in parse_qs(urlsplit(url).query).items()
        }
        code = secrets.token_urlsafe()
        is_offline = "offline_access" in query["scope"].split()
        self.codes[code] = subject, query["nonce"], is_offline
        return "/signin/oidc/callback?" + urlencode(
            {"code": code, "state": query["state"]}
        )

    def token(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        if form["grant_type"] == "authorization_code":
            subject, nonce, is_offline = self.codes.pop(form["code"])
            document = self._tokens(subject, nonce=nonce)
            if self.gives_tokens and is_offline:
                grant = Grant(subject, secrets.token_urlsafe())
                self.grants.append(grant)
                document["refresh_token"] = grant.token
            self._send(handler, (200, document, {}))
            return
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
            self.refreshed.append(form["refresh_token"])
        time.sleep(self.pause_seconds)
        with self.lock:
            self.at_once -= 1
            answer = self.fails(form["refresh_token"]) or self._refresh(form)
        if self.loses_answers:
            handler.connection.close()
        else:
            self._send(handler, answer)

    def _refresh(self, form: dict[str, str]) -> Answer:
        token = form["refresh_token"]
        for grant in self.grants:
            if token in grant.used:
                grant.is_over = True
            elif grant.token == token and not grant.is_over:
                if grant.subject not in self.groups:
                    break
                grant.used.add(token)
                grant.token = secrets.token_urlsafe()
                tokens = self._tokens(grant.subject)
                return 200, {**tokens, "refresh_token": grant.token}, {}
        return 400, {"error": "invalid_grant", "error_description": "Not active"}, {}

    def revoke(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        """As Keycloak and Google: all of the person's go with one."""
        self.revoked.append(form["token"])
        for grant in self.grants:
            if grant.token == form["token"]:
                for other in self.grants:
                    other.is_over |= other.subject == grant.subject
        self._send(handler, (200, {}, {}))

    def _tokens(self, subject: str, **claims: str) -> dict[str, Any]:
        at = int(self.now().timestamp())
        token = self.server.issuer.token(
            sub=subject,
            aud=CLIENT,
            iat=at,
            exp=at + 300,
            groups=self.groups[subject],
            **claims,
        )
        return {"access_token": "opaque", "token_type": "Bearer", "id_token": token}

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        status, body, headers = answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        send(handler, content, status, headers)

    def discovery(self) -> bytes:
        base = self.server.issuer.url
        return json.dumps(
            {**self.server.issuer.discovery(), "revocation_endpoint": f"{base}/revoke"}
        ).encode()


@contextmanager
def serving_people(**groups: list[str]) -> Iterator[Provider]:
    """The provider while the block runs, with the groups of its people."""
    server = IssuerServer()
    provider = Provider(server, groups=dict(groups))
    server.posts["/token"] = provider.token
    server.posts["/revoke"] = provider.revoke
    server.answers[server.discovery_path] = lambda handler: send(
        handler, provider.discovery()
    )
    server.start()
    try:
        yield provider
    finally:
        server.stop()


async def trust_provider(
    world: SignInWorld,
    provider: Provider,
    account: AccountId = ACCOUNT,
    **options: object,
) -> OidcProvider:
    """Register it, with the roles of its groups."""
    entity = OidcProvider(
        account=account,
        unique_id=PROVIDER_ID,
        url=provider.server.issuer.url,
        client_ids=(CLIENT,),
        thumbprints=(),
        created_at=world.clock.now(),
        options={
            "ClientId": CLIENT,
            "GroupRoles": GROUPS,
            "Watch": "RefreshToken",
            "WatchSeconds": 30,
            **options,
        },
    )
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"Federated": entity.arn},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{entity.host_and_path}:aud": CLIENT}},
            },
        }
    )
    async with world.services.stores.directory.change(account) as change:
        await change.insert(OIDC_PROVIDER, entity)
        for number, name in enumerate(("Staff", "Boss")):
            await change.insert(
                ROLE,
                Role(
                    account=account,
                    role_id=f"AROA{account}8{number:04d}",
                    name=name,
                    path="/",
                    trust_policy=trust,
                    created_at=world.clock.now(),
                    max_session_duration_seconds=3600,
                ),
            )
    return entity


async def sign_in(
    world: SignInWorld, provider: Provider, subject: str, destination: str = ""
) -> httpx.AsyncClient:
    """The browser of somebody who has signed in, to the console or to ``destination``."""
    browser = world.browser()
    more = {"Destination": destination} if destination else {}
    sent = await browser.get(f"/signin/{ACCOUNT}/with/{PROVIDER_ID}", params=more)
    assert sent.status_code == 303, sent.text
    back = provider.authorize(sent.headers["location"], subject)
    arrived = await browser.get(back)
    assert arrived.status_code == 303, arrived.text
    opened = await browser.get(arrived.headers["location"])
    assert opened.status_code == 303, opened.text
    return browser
