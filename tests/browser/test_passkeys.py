"""Passkeys with Chromium's own authenticator, and the page of one's credentials."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, CDPSession, Page, expect

from broker.stores.directory.kinds import PASSKEY
from tests.browser.test_accessibility import looked_at, needs_axe
from tests.support.browser import PHONE, Scene, open_scene, submit
from tests.support.passwords import PASSWORD, create_user
from tests.support.rows import cases
from tests.support.signin import ACCOUNT, SignInWorld
from tests.support.totp import oath_code

ALL = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:*","Resource":"*"}}'
SECURITY = "/console/security"


@pytest_asyncio.fixture(loop_scope="session")
async def scene(tmp_path: Path, browser: Browser) -> AsyncIterator[Scene]:
    """At a name: a number has no passkeys."""
    async with open_scene(tmp_path, browser, host="localhost") as scene:
        await create_user(scene.world, policy=ALL)
        yield scene


async def give_authenticator(page: Page, **options: object) -> tuple[CDPSession, str]:
    """Put a software authenticator into the browser; its end of the protocol."""
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable")
    made = await session.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
                **options,
            }
        },
    )
    return session, made["authenticatorId"]


async def sign_in(scene: Scene, page: Page) -> None:
    await page.goto(f"{scene.origin}/signin/example")
    await page.fill("[name=username]", "ann")
    await page.fill("[name=password]", PASSWORD)
    async with page.expect_navigation():
        await page.press("[name=password]", "Enter")


async def register(scene: Scene, page: Page, name: str = "Laptop") -> None:
    await page.goto(f"{scene.origin}{SECURITY}")
    await page.click("#new_device")
    await page.click("#new_passkey")
    await page.get_by_label("Name of the device").fill(name)
    await page.click("#passkey_button")


async def passkeys(world: SignInWorld) -> list[int]:
    """How often each was used, as its authenticator counts."""
    stored_passkeys = await world.services.stores.directory.all_of(PASSKEY, ACCOUNT)
    return [passkey.sign_count for passkey in stored_passkeys]


@cases("authenticator")
async def test_a_passkey_is_registered_and_signs_in(
    scene: Scene, authenticator: dict[str, object]
) -> None:
    page = await scene.page()
    page.set_default_timeout(30_000)
    await give_authenticator(page, **authenticator)
    await sign_in(scene, page)
    await register(scene, page)
    await expect(page.get_by_role("status").first).to_contain_text("was assigned")
    await expect(page.locator("text=u2f/user/ann/Laptop-")).to_be_visible()
    # Not twice: the browser refuses before anything is sent.
    await register(scene, page, "Again")
    await expect(page.locator("[data-passkey-said]")).to_contain_text(
        "registered already"
    )
    await submit(page, "#signout_button")
    await sign_in(scene, page)
    await expect(page.locator("h1")).to_have_text("Second factor")
    await page.click("#passkey_button")
    await page.wait_for_url(f"{scene.origin}/console/")
    (count,) = await passkeys(scene.world)
    assert count > 1
    await page.goto(f"{scene.origin}{SECURITY}")
    await page.click("text=Remove")
    await page.click("#remove_button")
    await expect(page.get_by_role("status").first).to_contain_text("was removed")
    assert await passkeys(scene.world) == []
    assert scene.complaints == []


async def test_another_device_gets_nowhere(scene: Scene) -> None:
    page = await scene.page()
    page.set_default_timeout(30_000)
    session, made = await give_authenticator(page)
    await sign_in(scene, page)
    await register(scene, page)
    await expect(page.get_by_role("status").first).to_be_visible()
    await submit(page, "#signout_button")
    await sign_in(scene, page)
    await session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": made})
    await give_authenticator(page)
    await page.click("#passkey_button")
    await expect(page.locator("[data-passkey-said]")).to_be_visible()
    await expect(page.locator("h1")).to_have_text("Second factor")


async def test_without_a_script_an_app_does_instead(scene: Scene) -> None:
    page = await scene.page(size=PHONE, scripts=False)
    page.set_default_timeout(30_000)
    await sign_in(scene, page)
    await page.goto(f"{scene.origin}{SECURITY}/mfa/passkey")
    await expect(page.locator("noscript p")).to_contain_text("need JavaScript")
    await expect(page.locator("#passkey_button")).to_be_hidden()
    await page.goto(f"{scene.origin}{SECURITY}/mfa/app")
    await page.click("#create_button")
    await expect(page.locator("img.qr")).not_to_have_js_property("naturalWidth", 0)
    await page.click("main summary")
    seed = (await page.inner_text("#seed")).strip()
    now = int(scene.world.clock.now().timestamp())
    await page.fill("[name=first_code]", oath_code(seed, now - 30))
    await page.fill("[name=second_code]", oath_code(seed, now))
    await page.click("#enable_button")
    await expect(page.get_by_role("status").first).to_contain_text("was assigned")


async def test_keys_and_password_are_changed(scene: Scene) -> None:
    page = await scene.page()
    page.set_default_timeout(30_000)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await sign_in(scene, page)
    await page.goto(f"{scene.origin}{SECURITY}")
    await submit(page, "#new_key")
    secret = (await page.inner_text("#secret")).strip()
    await page.click("[data-copy=secret]")
    await expect(page.locator("[data-copy=secret]")).to_have_text("Copied")
    assert (await page.evaluate("navigator.clipboard.readText()")).strip() == secret
    await page.click("text=Done")
    await page.get_by_role("button", name="Deactivate AKIA").click()
    await expect(page.locator(".badge.no")).to_have_text("Inactive")
    await page.get_by_role("link", name="Delete AKIA").click()
    await page.click("#remove_button")
    await expect(page.get_by_role("status").first).to_contain_text("deleted")
    await page.click("text=Change the password")
    await page.get_by_label("Current password").fill(PASSWORD)
    for label in ("New password", "New password again"):
        await page.get_by_label(label, exact=True).fill("Another-horse-8")
    await page.click("#change_button")
    await expect(page.get_by_role("status").first).to_contain_text("was changed")
    assert scene.complaints == []


@needs_axe
@pytest.mark.deep
@pytest.mark.timeout(200)
async def test_the_pages_that_only_a_form_leads_to_are_accessible(scene: Scene) -> None:
    page = await scene.page()
    page.set_default_timeout(30_000)
    await give_authenticator(page)
    await sign_in(scene, page)
    await page.goto(f"{scene.origin}{SECURITY}/mfa/passkey")
    results = await looked_at(page)
    await page.goto(f"{scene.origin}{SECURITY}/mfa/app")
    await submit(page, "#create_button")
    results += await looked_at(page)
    await page.fill("[name=first_code]", "000000")
    await page.fill("[name=second_code]", "000000")
    await submit(page, "#enable_button")
    results += await looked_at(page)
    await page.goto(f"{scene.origin}{SECURITY}")
    await submit(page, "#new_key")
    results += await looked_at(page)
    await register(scene, page)
    await expect(page.get_by_role("status").first).to_be_visible()
    results += await looked_at(page)
    await submit(page, "#signout_button")
    await sign_in(scene, page)
    results += await looked_at(page)
    assert "\n".join(results) == ""
