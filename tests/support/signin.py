"""A whole broker in this process, with accounts to sign in to, and browsers for it."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2 as httpx
from lxml import html

from broker.audit.entry import AuditEntry
from broker.compose import app as composition
from broker.compose.services import Services
from broker.model.account import Account, AccountId
from broker.model.audit import AuditFilter
from broker.model.entities import Role, SamlProvider
from broker.model.page import PageRequest
from broker.model.session import SessionKind, SessionPolicies
from broker.sessions.issue import MintResult
from broker.settings import Settings
from broker.stores.directory import kinds
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.kinds import ROLE, SAML_PROVIDER
from tests.support import saml_idp
from tests.support.clocks import MovableClock
from tests.support.mints import mint_order
from tests.support.saml_idp import KeyPair, key_pair
from tests.support.tables import lay_tables

ORIGIN = "http://127.0.0.1:8080"
ACCOUNT = AccountId("111122223333")
OTHER = AccountId("444455556666")
APPS = "https://apps.example.com"
COOKIE = "broker-session"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
"""What browsers ask for when they show a page."""


def provider_arn(account: str = ACCOUNT, name: str = "Corp") -> str:
    return f"arn:aws:iam::{account}:saml-provider/{name}"


def role_arn(name: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:iam::{account}:role/{name}"


def pair(name: str, account: str = ACCOUNT, provider: str = "Corp") -> str:
    """A value of the Role attribute."""
    return f"{role_arn(name, account)},{provider_arn(account, provider)}"


@dataclass
class SignInWorld:
    """The broker, its clock, and what a test may do to it."""

    services: Services
    clock: MovableClock
    app: Any
    browsers: list[httpx.AsyncClient] = field(default_factory=list)

    def browser(
        self, headers: Mapping[str, str] | None = None, **options: Any
    ) -> httpx.AsyncClient:
        """A client with a cookie jar of its own, which follows no redirect."""
        client = httpx.AsyncClient(
            headers={**BROWSER, **(headers or {})},
            transport=httpx.ASGITransport(app=self.app),
            base_url=self.services.settings.public_origin,
            **options,
        )
        self.browsers.append(client)
        return client

    def response(
        self, *roles: str, signing_key: KeyPair | None = None, **knobs: Any
    ) -> str:
        """A SAMLResponse for these values of the Role attribute."""
        acs = f"{self.services.settings.public_origin}/saml"
        attributes = knobs.pop("aws", {})
        params: dict[str, Any] = {
            "now": self.clock.now(),
            "assertion_id": f"_{uuid.uuid4().hex}",
            "recipient": acs,
            "response": {"destination": acs},
            "attributes": saml_idp.aws_attributes(
                role=list(roles or (pair("Reader"),)), **attributes
            ),
            "signing_key": signing_key,
        }
        return saml_idp.build_response(**{**params, **knobs})

    async def sign_in(
        self, browser: httpx.AsyncClient, *roles: str, **knobs: Any
    ) -> httpx.Response:
        """From the posted response to the answer that gives the cookie."""
        posted = await browser.post(
            "/saml", data={"SAMLResponse": self.response(*roles, **knobs)}
        )
        assert posted.status_code == 303, posted.text
        return await browser.get(posted.headers["location"])

    async def mint(self, kind: SessionKind, **order: Any) -> MintResult:
        """Temporary credentials of any kind, for the reader's role."""
        fresh = self.services.fresh
        account = await fresh.find(kinds.ACCOUNT, ACCOUNT)
        role = await fresh.named(ROLE, ACCOUNT, "Reader")
        assert account is not None
        assert role is not None
        params: dict[str, Any] = {
            "account": ACCOUNT,
            "account_salt": account.session_salt,
            "kind": kind,
            "principal_id": role.role_id if kind.is_role else ACCOUNT,
            "principal_arn": "arn:aws:sts::111122223333:assumed-role/Reader/carol",
            "name": "carol",
            "now": self.clock.now(),
            "duration_seconds": 3600,
        }
        if kind is SessionKind.FEDERATION_TOKEN:
            params["policies"] = (SessionPolicies(ALLOW_READ, ()),)
        order_ = mint_order(**{**params, **order})
        entry = AuditEntry(
            event_id=str(uuid.uuid4()),
            at=self.clock.now(),
            account=ACCOUNT,
            door="api",
            action="test",
            source_ip="",
            user_agent="",
        )
        return await self.services.issuer.issue(order_, entry)

    async def audit(self) -> list[Any]:
        """All audit records, newest first; denials may take a moment to be there."""
        page = await self.services.stores.ledger.search(
            AuditFilter(), PageRequest(limit=1000)
        )
        return list(page.items)

    async def recorded(self, action: str) -> Any:
        """The newest record of an action, as soon as it is durable."""
        async with asyncio.timeout(5):
            while True:
                for record in await self.audit():
                    if record.action == action:
                        return record
                await asyncio.sleep(0.02)


ALLOW_READ = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "iam:Get*", "Resource": "*"},
    }
)


def session_json(minted: MintResult, **changed: str) -> str:
    """The ``Session`` parameter."""
    credentials = minted.credentials
    return json.dumps(
        {
            "sessionId": credentials.access_key_id,
            "sessionKey": credentials.secret_access_key.reveal(),
            "sessionToken": credentials.session_token.reveal(),
            **changed,
        }
    )


async def get_signin_token(
    browser: httpx.AsyncClient, minted: MintResult, **more: str
) -> str:
    answer = await browser.get(
        "/federation",
        params={"Action": "getSigninToken", "Session": session_json(minted), **more},
    )
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["SigninToken"]
    return token


def login_url(token: str, destination: str = "/console/", **more: str) -> str:
    params = {"Action": "login", "Destination": destination, "SigninToken": token}
    return "/federation?" + urlencode({**params, **more})


def form_fields(page: httpx.Response, action: str) -> dict[str, str]:
    """The hidden fields of the form that posts to ``action``."""
    (form,) = html.fromstring(page.text).xpath(f"//form[@action='{action}']")
    return {
        field.get("name"): field.get("value")
        for field in form.xpath(".//input[@type='hidden']")
    }


def text_of(page: httpx.Response) -> str:
    """What a reader sees, white space made one."""
    return " ".join(html.fromstring(page.text).text_content().split())


@asynccontextmanager
async def open_world(folder: Path, **settings: Any) -> AsyncIterator[SignInWorld]:
    """A broker whose provider ``Corp`` signs with the test identity provider's key.

    ``OTHER`` has a provider with the very same entity id and a key of its own.
    """
    clock = MovableClock()
    values = Settings(
        data_dir=folder / "data",
        public_url=settings.pop("public_url", ORIGIN),
        allowed_destinations=settings.pop("allowed_destinations", (APPS,)),
        **settings,
    )
    lay_tables(values)
    async with composition.open_services(values, clock) as services:
        await fill(services, clock.now())
        world = SignInWorld(services, clock, composition.compose(services, ()))
        try:
            yield world
        finally:
            for browser in world.browsers:
                await browser.aclose()


async def fill(services: Services, now: datetime) -> None:
    """The accounts."""
    for account, alias, key in (
        (ACCOUNT, "example", key_pair()),
        (OTHER, None, key_pair("other")),
    ):
        async with services.stores.directory.change(account) as change:
            await insert_account(
                change,
                Account(
                    account_id=account,
                    alias=alias,
                    session_salt=uuid.uuid4().bytes * 2,
                    created_at=now,
                ),
            )
            await change.insert(
                SAML_PROVIDER,
                SamlProvider(
                    account=account,
                    uuid=f"SAMLSP{account}AAAA",
                    name="Corp",
                    metadata=saml_idp.metadata_xml(key),
                    created_at=now,
                    valid_until=now + timedelta(days=365),
                ),
            )
            for number, (name, seconds) in enumerate(
                (("Reader", 7200), ("Admin", 3600), ("Brief", 3600))
            ):
                await change.insert(
                    ROLE,
                    Role(
                        account=account,
                        role_id=f"AROA{account}{number:05d}",
                        name=name,
                        path="/",
                        trust_policy=_trust(provider_arn(account)),
                        created_at=now,
                        max_session_duration_seconds=seconds,
                        tags={"team": "blue"},
                    ),
                )


def _trust(provider: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"Federated": provider},
                "Action": [
                    "sts:AssumeRoleWithSAML",
                    "sts:TagSession",
                    "sts:SetSourceIdentity",
                ],
            },
        }
    )
