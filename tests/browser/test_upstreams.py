"""A SAML sign-in in a real browser that ends in an upstream's console."""

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.scenarios.installation import ADMIN, READER, Installation, policy, trust
from tests.support.broker import ACCOUNT, RunningBroker, running_broker
from tests.support.browser import (
    DESKTOP,
    PHONE,
    IdentityProvider,
    choose_role,
    serving_app,
)
from tests.support.oidc_issuer import serving
from tests.support.servers import find_free_port

THERE = "999988887777"
ROLE = f"arn:aws:iam::{THERE}:role/ReadOnly"


@dataclass
class World:
    """A broker, one in AWS's place, and an identity provider's page."""

    front: Installation
    aws: RunningBroker
    idp: IdentityProvider
    browser: Browser

    async def page(self, size: dict[str, int], *, scripts: bool) -> Page:
        context = await self.browser.new_context(
            viewport=size,  # type: ignore[arg-type] # a plain dictionary will do
            java_script_enabled=scripts,
        )
        page = await context.new_page()
        page.set_default_timeout(30_000)
        return page

    async def arrive(self, page: Page, *roles: str) -> None:
        """Come from the identity provider with a fresh response."""
        start = self.idp.offer("app", self.front.assertion(*roles), RelayState="")
        await page.goto(start)
        await page.click("#go")


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path, browser: Browser) -> AsyncIterator[World]:
    for name in ("front", "aws"):
        (tmp_path / name).mkdir()
    async with AsyncExitStack() as stack:
        issuer = stack.enter_context(serving("/idp"))
        broker = stack.enter_context(running_broker(tmp_path / "front", start=False))
        aws = stack.enter_context(
            running_broker(
                tmp_path / "aws", internal_issuers=f"127.0.0.1:{broker.port}"
            )
        )
        reached = ",".join(f"127.0.0.1:{port}" for port in (issuer.port, aws.port))
        broker.environment["BROKER_INTERNAL_ISSUERS"] = reached
        broker.start()
        front = Installation(broker, issuer)
        prepare(front, aws)
        idp = IdentityProvider(front.acs, find_free_port())
        await stack.enter_async_context(serving_app(idp, "localhost", idp.port))
        yield World(front, aws, idp, browser)


def prepare(front: Installation, aws: RunningBroker) -> None:
    """As docs/upstreams.md does it."""
    front.iam.enable_outbound_web_identity_federation()
    iam = aws.client("iam", aws.create_account(THERE))
    issuer = f"{front.broker.url}/issuer/{ACCOUNT}"
    name = issuer.removeprefix("http://")
    provider = iam.create_open_id_connect_provider(
        Url=issuer, ClientIDList=["sts.amazonaws.com"]
    )["OpenIDConnectProviderArn"]
    condition = {
        "StringEquals": {f"{name}:aud": "sts.amazonaws.com", f"{name}:sub": READER}
    }
    actions = ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"]
    iam.create_role(
        RoleName="ReadOnly",
        AssumeRolePolicyDocument=trust(({"Federated": provider}, actions, condition)),
    )
    iam.put_role_policy(
        RoleName="ReadOnly", PolicyName="read", PolicyDocument=policy("iam:List*")
    )
    file = front.broker.folder / "upstream.json"
    definition = {
        "Endpoint": aws.url,
        "Roles": {"Reader": ROLE},
        "SignIn": f"{aws.url}/federation",
        "Console": f"{aws.url}/console/",
    }
    file.write_text(json.dumps(definition))
    command = front.broker.command
    command("upstreams", "set", "aws", "--account", ACCOUNT, str(file))
    time.sleep(1.2)  # until the worker knows


async def test_a_sign_in_ends_in_the_upstreams_console(world: World) -> None:
    there = re.compile(f"^{re.escape(world.aws.url)}/console/$")
    for size, scripts in ((DESKTOP, True), (PHONE, False)):
        page = await world.page(size, scripts=scripts)
        await world.arrive(page, READER, ADMIN)
        await expect(page.locator("h1")).to_have_text("Choose a role")
        await choose_role(page, "Reader")
        # The page in between redirects automatically.
        await expect(page).to_have_url(there)
        await expect(page.locator(".who")).to_contain_text("ReadOnly")
        assert "alice@example.com" in await page.inner_text("body")
        # No session was opened here.
        await page.goto(f"{world.front.broker.url}/console/")
        await expect(page).to_have_url(re.compile(r"/signin"))


async def test_other_roles_of_the_account_open_the_brokers_own(world: World) -> None:
    page = await world.page(DESKTOP, scripts=True)
    await world.arrive(page, ADMIN)
    await expect(page).to_have_url(f"{world.front.broker.url}/console/")
    # An administrator sees where the credentials come from.
    await page.goto(f"{world.front.broker.url}/console/upstreams")
    await expect(page.locator("main")).to_contain_text(world.aws.url)
    await page.goto(f"{world.front.broker.url}/console/roles/role?name=Reader")
    await expect(page.locator("main")).to_contain_text(
        "Revoking sessions here does not affect it"
    )


async def test_ending_a_session_says_what_it_does_not_reach(world: World) -> None:
    key_id = world.front.saml()["Credentials"]["AccessKeyId"]
    page = await world.page(PHONE, scripts=False)
    await world.arrive(page, ADMIN)
    await page.goto(f"{world.front.broker.url}/console/sessions/all")
    row = page.locator("tr", has_text=key_id)
    await expect(row).to_contain_text("from aws")
    own = page.locator("tr", has_text="Admin").first
    await expect(own).not_to_contain_text("from aws")
    await row.locator("input[type=checkbox]").check()
    await page.click("button[value=end]")
    await expect(page.locator("main")).to_contain_text(
        "Credentials from the upstream aws stay valid there"
    )
    await expect(page.locator("main")).to_contain_text("stop working here.")
