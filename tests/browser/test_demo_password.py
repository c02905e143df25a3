"""`broker demo` in a real browser: Dana comes in and looks after her credentials."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.browser import CHROMIUM, DESKTOP, PHONE, submit
from tests.support.demo import RunningDemo, running_demo
from tests.support.totp import Device

NEW = "Another-horse-8"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[RunningDemo]:
    if not CHROMIUM.exists():
        pytest.skip("Debian's chromium is not installed")
    with running_demo(tmp_path / "demo") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(demo: RunningDemo, browser: Browser) -> Page:
    context = await browser.new_context(viewport=DESKTOP)  # type: ignore[arg-type] # a dictionary will do
    await context.grant_permissions(
        ["clipboard-read", "clipboard-write"], origin=demo.idp
    )
    page = await context.new_page()
    page.set_default_timeout(60_000)
    return page


async def test_dana_signs_in_adds_a_device_and_changes_her_password(
    demo: RunningDemo, page: Page
) -> None:
    await page.goto(f"{demo.idp}/")
    await expect(
        page.get_by_role("heading", name="Sign in with a password")
    ).to_be_visible()
    password = await page.locator("#password").inner_text()
    await page.get_by_role("button", name="Copy the password").click()
    await expect(page.locator("[data-copy=password]")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == password
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type] # a dictionary will do
    width: int = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]
    await page.set_viewport_size(DESKTOP)  # type: ignore[arg-type] # likewise

    await page.click("#password-sign-in")
    await expect(page).to_have_url(f"{demo.broker}/signin/demo")
    await page.fill("#username", "dana")
    await page.fill("#password", password)
    await page.click("#password_button")
    await expect(page).to_have_url(f"{demo.broker}/console/")
    await expect(page.locator("h1")).to_have_text("dana")

    await page.goto(f"{demo.broker}/console/security")
    await expect(page.locator("main")).not_to_contain_text("is not authorized")
    await page.goto(f"{demo.broker}/console/security/mfa/app")
    await submit(page, "#create_button")
    await expect(page.locator(".qr")).not_to_have_js_property("naturalWidth", 0)
    phone = Device(await page.locator("#seed").text_content() or "")
    await page.fill("[name=first_code]", phone.code())
    await page.fill("[name=second_code]", phone.code())
    await page.click("#enable_button")
    await expect(page.locator("main")).to_contain_text("mfa/dana")

    await page.goto(f"{demo.broker}/console/security/password")
    await page.fill("[name=old_password]", password)
    await page.fill("[name=new_password]", NEW)
    await page.fill("[name=new_password_again]", NEW)
    await page.click("#change_button")
    await expect(page).to_have_url(f"{demo.broker}/console/security")
    await expect(page.get_by_role("status").first).to_contain_text("was changed")

    await submit(page, "#signout_button")
    await page.goto(f"{demo.broker}/signin/demo")
    await page.fill("#username", "dana")
    await page.fill("#password", NEW)
    await page.click("#password_button")
    await expect(page.locator("h1")).to_have_text("Second factor")
    await page.fill("#code", phone.code())
    await page.click("#code_button")
    await expect(page).to_have_url(f"{demo.broker}/console/")
