"""What someone did before a page's script came, or a browser restored, still counts."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Dialog, Page, Route, expect

from tests.support.administrator import grant
from tests.support.browser import Scene
from tests.support.furnished import furnish
from tests.support.signin import pair


@asynccontextmanager
async def without_scripts(page: Page) -> AsyncIterator[None]:
    """Scripts of pages that are opened meanwhile come when this ends."""
    come = asyncio.Event()

    async def hold(route: Route) -> None:
        await come.wait()
        await route.continue_()

    await page.route("**/*.js", hold)
    yield
    come.set()
    await page.wait_for_load_state("load")


async def test_a_chosen_file_is_read(scene: Scene, tmp_path: Path) -> None:
    await grant(scene.world, "*")
    file = tmp_path / "metadata.xml"
    file.write_text("<EntityDescriptor/>")
    page = await scene.page()
    await scene.arrive(page, pair("Admin"))
    async with without_scripts(page):
        await page.goto(
            f"{scene.origin}/console/providers/new/saml", wait_until="commit"
        )
        await page.set_input_files("input[type=file]", file)
    await expect(page.locator("#metadata-text")).to_have_value("<EntityDescriptor/>")
    assert scene.complaints == []


async def test_a_time_is_taken_as_the_viewers(scene: Scene) -> None:
    await furnish(scene.world)
    page = await scene.page(timezone_id="Asia/Kolkata")
    await scene.arrive(page, pair("Admin"))
    url = f"{scene.origin}/console/audit?until=2026-01-31T10%3A00%3A00"
    async with without_scripts(page):
        await page.goto(url, wait_until="commit")
        await page.locator("main details").first.evaluate("one => { one.open = true; }")
        await page.get_by_label("From").fill("2026-01-31T08:30")
    await expect(page.locator("[data-zone]").first).to_have_text("Asia/Calcutta")
    await expect(page.get_by_label("From")).to_have_value("2026-01-31T08:30")
    await expect(page.get_by_label("Until")).to_have_value("2026-01-31T15:30")
    await page.click("text=Find")
    await expect(page).to_have_url(re.compile(r"since=2026-01-31T03%3A00&"))
    await expect(page).to_have_url(re.compile(r"until=2026-01-31T10%3A00$"))
    assert scene.complaints == []


async def test_a_policys_mistake_is_where_it_was(scene: Scene) -> None:
    """Text that was typed since does not move the mark of what was sent."""
    await grant(scene.world, "*")
    page = await scene.page()
    await scene.arrive(page, pair("Admin"))
    await page.goto(f"{scene.origin}/console/policies/new")
    await page.click("[aria-label='Show as JSON']")
    await page.fill("#policy-text", '{\n  "Statement": [}\n}')
    await page.fill("[name=name]", "ReadFiles")
    async with without_scripts(page):
        await page.click("button:has-text('Create policy')", no_wait_after=True)
        await expect(page.locator("#problem")).to_contain_text("Line 2")
        sent = await page.input_value("#policy-text")
        await page.fill("#policy-text", f"\n{sent}")
    await expect(page.locator(".gutter span")).to_have_count(4)
    await expect(page.locator(".gutter .wrong")).to_have_count(0)
    await page.fill("#policy-text", sent)
    await expect(page.locator(".gutter .wrong")).to_have_text("2\n")


async def test_typed_text_is_not_left_behind_without_a_question(scene: Scene) -> None:
    await grant(scene.world, "*")
    page = await scene.page()
    await scene.arrive(page, pair("Admin"))
    asked: list[str] = []

    async def accept(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.accept()

    page.on("dialog", accept)
    for typed in (True, False):
        async with without_scripts(page):
            url = f"{scene.origin}/console/policies/new"
            await page.goto(url, wait_until="commit")
            if typed:
                await page.fill("[name=name]", "ReadFiles")
        await page.goto(f"{scene.origin}/console/policies")
    assert asked == ["beforeunload"]
