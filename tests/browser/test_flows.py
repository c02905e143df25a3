"""The ways in and through that begin at the broker: SP-initiated, OIDC, other roles."""

import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree
from msgspec.structs import replace
from playwright.async_api import Browser, expect

from broker.model.entities import InlinePolicy
from broker.stores.directory.kinds import ROLE, SAML_PROVIDER
from broker.stores.directory.policies import put_inline_policy
from tests.support.browser import DESKTOP, PHONE, Scene, choose_role, submit
from tests.support.oidc_world import oidc_world
from tests.support.saml_idp import metadata_xml
from tests.support.signin import ACCOUNT, pair

UUID = f"SAMLSP{ACCOUNT}AAAA"

windows = pytest.mark.parametrize(
    ("size", "scripts", "scheme"),
    [(DESKTOP, True, "light"), (PHONE, False, "dark")],
    ids=["desktop", "phone"],
)


async def offer_provider(scene: Scene) -> None:
    """Put the provider on the account's sign-in page, under an address that serves."""
    metadata = metadata_xml(sso_url=f"http://localhost:{scene.idp.port}/sso")
    async with scene.world.services.stores.directory.change(ACCOUNT) as change:
        provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
        assert provider is not None
        await change.update(
            SAML_PROVIDER,
            replace(provider, metadata=metadata, options={"SignIn": True}),
        )


def answering(scene: Scene, *roles: str) -> Callable[[str], tuple[str, str]]:
    """The identity provider's answer to the request that a browser brings."""

    def answer(packed: str) -> tuple[str, str]:
        text = zlib.decompress(base64.b64decode(packed), -15)
        request = etree.fromstring(text)
        acs = str(request.get("AssertionConsumerServiceURL"))
        response = scene.world.response(
            *roles,
            recipient=acs,
            in_response_to=request.get("ID"),
            response={"destination": acs, "in_response_to": request.get("ID")},
        )
        return acs, response

    return answer


@windows
async def test_signing_in_begins_at_the_broker_and_remembers_the_provider(
    scene: Scene, size: dict[str, int], scripts: bool, scheme: str
) -> None:
    await offer_provider(scene)
    page = await scene.page(size=size, scripts=scripts, color_scheme=scheme)
    scene.idp.answer = answering(scene, pair("Reader"), pair("Admin"))
    await page.goto(f"{scene.origin}/signin")
    await page.get_by_label("Account number or alias").fill("example")
    await page.click("#account_button")
    await page.click(".way:has-text('Corp')")
    await page.click("#go")
    await choose_role(page, "Admin")
    await expect(page.locator("h1")).to_have_text("alice@example.com")
    renew = await page.locator("#renew_link").get_attribute("href")
    assert renew == f"/signin/{ACCOUNT}/with/{UUID}"
    if size == DESKTOP:
        await submit(page, "#signout_button")
        await page.goto(f"{scene.origin}/signin")
        first = page.locator(".way").first
        await expect(first).to_contain_text("Corp")
        await expect(first).to_contain_text("Last used")
    assert scene.complaints == []


@windows
async def test_another_role_and_back(
    scene: Scene, size: dict[str, int], scripts: bool, scheme: str
) -> None:
    await let_switch(scene)
    page = await scene.page(size=size, scripts=scripts, color_scheme=scheme)
    await scene.arrive(page, pair("Reader"))
    await page.goto(f"{scene.origin}/console/switch")
    await page.get_by_label("Role").first.fill("Nobody")
    await page.click("#switch_button")
    await expect(page.locator("#problem")).to_contain_text("not authorized")
    await expect(page.get_by_label("Role").first).to_have_value("Nobody")
    await page.get_by_label("Role").first.fill("Admin")
    await page.click("#switch_button")
    await expect(page.locator("dl.facts").first).to_contain_text("Admin")
    await page.goto(f"{scene.origin}/console/switch")
    await expect(page.locator("main")).to_contain_text("role/Admin")
    await page.click("#back_button")
    await expect(page.locator("dl.facts").first).to_contain_text("Reader")
    await page.goto(f"{scene.origin}/console/switch")
    await page.click("main button:has-text('Admin')")
    await expect(page.locator("dl.facts").first).to_contain_text("Admin")
    assert [text for text in scene.complaints if "403" not in text] == []


async def let_switch(scene: Scene) -> None:
    """The reader may become the administrator, who lets the account in."""

    def document(**statement: object) -> str:
        whole = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", **statement}}
        return json.dumps(whole)

    async with scene.world.services.stores.directory.change(ACCOUNT) as change:
        reader = await change.named(ROLE, ACCOUNT, "Reader")
        admin = await change.named(ROLE, ACCOUNT, "Admin")
        assert reader is not None
        assert admin is not None
        await put_inline_policy(
            change,
            InlinePolicy(
                account=ACCOUNT,
                owner_id=reader.role_id,
                name="Switch",
                document=document(Action="sts:AssumeRole", Resource="*"),
            ),
        )
        root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
        trust = document(Principal=root, Action=["sts:AssumeRole", "sts:TagSession"])
        await change.update(ROLE, replace(admin, trust_policy=trust))


@windows
async def test_an_openid_connect_provider_and_a_choice_of_roles(
    tmp_path: Path, browser: Browser, size: dict[str, int], scripts: bool, scheme: str
) -> None:
    with oidc_world(tmp_path) as world:
        context = await browser.new_context(
            viewport=size,  # type: ignore[arg-type]  # a dictionary will do
            java_script_enabled=scripts,
            color_scheme=scheme,  # type: ignore[arg-type]  # one of the two
        )
        page = await context.new_page()
        page.set_default_timeout(30_000)
        await page.goto(world.start)
        await page.fill("[name=login]", "admin")
        await page.fill("[name=password]", "any")
        await page.click("[type=submit]")
        await page.click("[type=submit]")
        await expect(page.locator("h1")).to_have_text("Choose a role")
        await page.click("button[aria-label='Sign in to Admin']")
        await expect(page.locator("h1")).to_have_text("admin@example.com")
