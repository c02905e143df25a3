"""The pages inside, in a real browser."""

import asyncio
import re

import pytest
from playwright.async_api import Route, expect

from tests.support.browser import PHONE, Scene, choose_role, follow
from tests.support.furnished import furnish
from tests.support.signin import pair


@pytest.mark.parametrize("scripts", [True, False])
async def test_the_pages_inside_on_a_phone(scene: Scene, scripts: bool) -> None:
    """Each is reached by its link, fits, and needs no script."""
    page = await scene.page(size=PHONE, scripts=scripts, color_scheme="dark")
    await scene.arrive(page)
    for name in ("My permissions", "Try it", "Switch role", "Sessions"):
        await follow(page, name)
        await expect(page.locator("h1")).to_be_visible()
        await page.click(".menu-button")
        await expect(page.locator("#menu [aria-current=page]")).to_have_text(name)
        await page.keyboard.press("Escape")
        await expect(page.locator("#menu")).to_be_hidden()
        box = await page.locator("main").bounding_box()
        assert box is not None
        assert box["width"] <= PHONE["width"]
    await follow(page, "Try it")
    await page.fill("[name=action]", "s3:GetObject")
    await page.click("#try_button")
    await expect(page.locator(".answer")).to_contain_text("Not allowed")
    await follow(page, "Sessions")
    await page.check("[name=picked]")
    await page.click("button:has-text('End…')")
    await expect(page.locator(".answer")).to_contain_text("you will be signed out")
    await page.click("button:has-text('End it')")
    await expect(page.locator("h1")).to_have_text("Your session has ended")
    assert [text for text in scene.complaints if "403" not in text] == []


async def test_times_are_typed_and_shown_in_the_viewers_zone(scene: Scene) -> None:
    """What is sent is UTC, so that a link means the same to everybody."""
    await furnish(scene.world)
    page = await scene.page(timezone_id="Asia/Kolkata")
    await scene.arrive(page, pair("Admin"))
    await page.goto(f"{scene.origin}/console/audit")
    await expect(page.locator("[data-zone]").first).to_have_text("Asia/Calcutta")
    await page.click("main summary")
    await page.get_by_label("From").fill("2026-01-31T08:30")
    await page.click("text=Find")
    await expect(page).to_have_url(re.compile(r"since=2026-01-31T03%3A00$"))
    await expect(page.get_by_label("From")).to_have_value("2026-01-31T08:30")
    assert "until=" not in page.url
    assert scene.complaints == []


async def test_nothing_jumps_while_a_page_loads(scene: Scene) -> None:
    """No shift of layout that anybody could see, by the browser's own measure.

    Scripts come late, as on a busy machine; pages are first painted with what they add.
    """
    await furnish(scene.world)
    page = await scene.page(size=PHONE)
    await page.route("**/*.js", _come_late)
    await page.add_init_script(
        "window.shifts = []; new PerformanceObserver(list => {"
        " for (const entry of list.getEntries()) window.shifts.push(entry.value);"
        "}).observe({type: 'layout-shift', buffered: true});"
    )
    roles = [pair(f"Team-{n:03d}") for n in range(30)]
    await scene.arrive(page, pair("Admin"), *roles)
    shifts = {page.url: await page.evaluate("shifts.reduce((a, b) => a + b, 0)")}
    await choose_role(page, "Admin")
    await page.click("#credentials_button")
    providers = ("providers/diagnose", "providers/new/saml")
    for path in ("credentials", "audit", "permissions", "roles", "users", *providers):
        if path != "credentials":
            await page.goto(f"{scene.origin}/console/{path}")
        await page.wait_for_load_state("networkidle")
        shifts[path] = await page.evaluate("shifts.reduce((a, b) => a + b, 0)")
    assert {path: shift for path, shift in shifts.items() if shift > 0.01} == {}


async def _come_late(route: Route) -> None:
    await asyncio.sleep(0.3)
    await route.continue_()


async def test_what_needs_a_script_is_not_there_without(scene: Scene) -> None:
    page = await scene.page(scripts=False)
    await scene.arrive(page, pair("Admin"), *(pair(f"Team-{n:02d}") for n in range(30)))
    await expect(page.locator(".filter")).to_be_hidden()
    await choose_role(page, "Admin")
    await page.click("#credentials_button")
    await expect(page.locator("[data-copy]").first).to_be_hidden()


async def test_the_audit_log_is_followed(scene: Scene) -> None:
    """New records come by themselves, in the viewer's zone, until the page is left."""
    await furnish(scene.world)
    page = await scene.page(timezone_id="Asia/Kolkata")
    await page.clock.install()
    await scene.arrive(page, pair("Admin"))
    await page.goto(f"{scene.origin}/console/audit?view=sign-ins")
    await page.click("text=Follow")
    await expect(page.locator("text=Stop following")).to_be_visible()
    rows = page.locator(".log tbody tr")
    before = await rows.count()
    other = await scene.page()
    await scene.arrive(other, pair("Admin"))
    async with page.expect_response(re.compile("/console/audit")):
        await page.clock.run_for(5_000)
    await expect(rows).to_have_count(before + 1)
    await expect(rows.first.locator("time")).not_to_contain_text("UTC")
    # For ten minutes; then it rests.
    await page.clock.run_for(700_000)
    await page.click("text=Stop following")
    await expect(page.locator("text=Stop following")).to_have_count(0)
    assert scene.complaints == []
