"""Every page against WCAG 2.2 AA by axe-core: light and dark, desktop and phone.

The deciding run looks at a light desktop and a dark phone, a long one at all four.

No look of a page is wider than its window, and nor are its tables.

The list of pages is the list of routes, so that none is forgotten.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page

from tests.support import effort
from tests.support.browser import DESKTOP, PHONE, Scene, submit
from tests.support.console_pages import (
    NO_PAGES,
    OUTSIDE,
    OWN,
    addresses_inside,
    routes_of,
)
from tests.support.furnished import PASSWORD, furnish
from tests.support.signin import open_world, pair

AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

PICTURES = Path(__file__).parents[2] / "artefacts" / "pages"
LOOK_RULES = ["color-contrast", "target-size", "scrollable-region-focusable"]
LOOKS = ((DESKTOP, "light"), (PHONE, "dark"))
"""Each width and each scheme; a picture of these stays with a long run."""

MORE_LOOKS = ((DESKTOP, "dark"), (PHONE, "light"))
"""Looked at in a long run, too."""

ODD_TABLES = """() => [...document.querySelectorAll(".wide")].flatMap(area => {
    const heads = [...area.querySelectorAll("thead th")].map(th => th.textContent);
    const cells = [...area.querySelectorAll(":scope:not(.narrow) td")];
    const odd = cells.filter(td => td.textContent && heads[td.cellIndex] !== "Actions"
        && td.dataset.label !== heads[td.cellIndex]);
    return [
        ...odd.map(td => `a cell of "${heads[td.cellIndex]}" is called otherwise`),
        ...area.scrollWidth > area.clientWidth ? [`${area.ariaLabel}: scrolls`] : [],
    ];
})"""
"""Tables that scroll sideways, and cells that are not called as their column is."""

PARTS = 4
"""Of the pages of somebody: what looks at all of them would be the last to end."""

needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed")


def test_continuous_integration_has_axe() -> None:
    if "CI" not in os.environ:
        pytest.skip("not in CI")
    assert AXE.is_file(), "run .ci/setup test"


async def test_every_page_has_an_address_to_look_at(tmp_path: Path) -> None:
    """None is forgotten: each route is a page here, or said to be none."""
    async with open_world(tmp_path) as world:
        routes = routes_of(world)
        assert [a for a in addresses_inside(world) if "{" in a] == []
        assert (NO_PAGES | set(OUTSIDE)) - routes == set()
        await furnish(world)
        browser = world.browser()
        await world.sign_in(browser, pair("Admin"))
        odd = {}
        for address in addresses_inside(world):
            status = (await browser.get(address)).status_code
            if status != (400 if "never" in address else 200):
                odd[address] = status
        assert odd == {}


async def violations(page: Page, *, looks_only: bool = False) -> list[str]:
    """What axe finds on the page as it is; ``looks_only`` what styles can change."""
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(AXE.read_text())
    only = {"type": "rule", "values": LOOK_RULES} if looks_only else TAGS
    results: dict[str, Any] = await page.evaluate(
        "only => axe.run({runOnly: only, resultTypes: ['violations']})", only
    )
    return [
        f"{violation['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for violation in results["violations"]
        for node in violation["nodes"]
    ]


async def looked_at(page: Page) -> list[str]:
    """What axe finds on the page in every look of it; none is wider than its window."""
    results = []
    looks = LOOKS + MORE_LOOKS if effort.is_long else LOOKS
    for number, (size, scheme) in enumerate(looks):
        await page.set_viewport_size(size)  # type: ignore[arg-type]  # a dictionary
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        look = f"{page.url} {scheme} {size['width']}"
        results += [
            f"{look}: {text}" for text in await violations(page, looks_only=number > 0)
        ]
        if effort.is_long and number < len(LOOKS):
            await keep_picture(page, f"{scheme}-{size['width']}")
        width = await page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            results.append(f"{look}: the page is {width} wide")
        results += [f"{look}: {text}" for text in await page.evaluate(ODD_TABLES)]
    return results


async def keep_picture(page: Page, look: str) -> None:
    """For somebody to look at after the run; not for the repository."""
    parts = urlsplit(page.url)
    query = "" if "handle=" in parts.query else parts.query
    name = re.sub(r"[^A-Za-z0-9]+", "-", f"{parts.path}-{query}").strip("-")
    await page.screenshot(path=PICTURES / f"{name[:80]}-{look}.png", full_page=True)


def require_none(results: list[str]) -> None:
    if results:
        pytest.fail("\n".join(results), pytrace=False)


async def visit(scene: Scene, page: Page, addresses: Iterable[str]) -> list[str]:
    results = []
    for address in addresses:
        await page.goto(scene.origin + address)
        results += await looked_at(page)
    return results


@needs_axe
@pytest.mark.deep
async def test_pages_of_no_one(scene: Scene) -> None:
    page = await scene.page()
    addresses = (address for group in OUTSIDE.values() for address in group)
    results = await visit(scene, page, addresses)
    await scene.arrive(page, pair("Reader"), pair("Admin"))
    results += await looked_at(page)
    require_none(results)


@needs_axe
@pytest.mark.deep
@pytest.mark.timeout(400)
@pytest.mark.parametrize("part", range(PARTS))
async def test_pages_of_someone(scene: Scene, part: int) -> None:
    await furnish(scene.world)
    page = await scene.page()
    await scene.arrive(page, pair("Admin"))
    addresses = addresses_inside(scene.world)[part::PARTS]
    require_none(await visit(scene, page, addresses))


@needs_axe
@pytest.mark.deep
@pytest.mark.timeout(200)
async def test_pages_of_a_user_with_a_password(scene: Scene) -> None:
    await furnish(scene.world)
    page = await scene.page()
    await page.goto(f"{scene.origin}/signin/example")
    await page.fill("#username", "dana")
    await page.fill("#password", PASSWORD)
    await page.click("#password_button")
    await page.wait_for_url(f"{scene.origin}/console/")
    addresses = [a for a in addresses_inside(scene.world) if a.startswith(OWN)]
    results = await visit(scene, page, ["/console/", *addresses])
    require_none(results)


@needs_axe
@pytest.mark.deep
async def test_pages_that_answer_a_form(scene: Scene) -> None:
    await furnish(scene.world)
    page = await scene.page()
    await scene.arrive(page, pair("Admin"))
    await submit(page, "#credentials_button")
    results = await looked_at(page)
    await page.goto(f"{scene.origin}/console/try")
    for action in ("iam:ListUsers", "nonsense"):
        await page.fill("[name=action]", action)
        await submit(page, "#try_button")
        results += await looked_at(page)
    await page.goto(f"{scene.origin}/console/switch")
    await page.fill("[name=role]", "Nobody")
    await submit(page, "#switch_button")
    results += await looked_at(page)
    await page.goto(f"{scene.origin}/console/nowhere")
    results += await looked_at(page)
    await page.goto(f"{scene.origin}/console/audit")
    await page.click(".by-time summary")
    await page.click(".filter-panel summary")
    results += await looked_at(page)
    await submit(page, ".log tbody a")
    results += await looked_at(page)
    await page.goto(f"{scene.origin}/console/sessions/all")
    await page.locator("[name=picked]").first.check()
    await submit(page, ".bulk button")
    results += await looked_at(page)
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a dictionary
    await page.click(".menu-button")
    results += await violations(page)
    await page.keyboard.press("Escape")
    await scene.arrive(page, pair("Reader"))
    results += await looked_at(page)
    await submit(page, "#switch_button")
    await page.goto(f"{scene.origin}/console/audit")
    results += await looked_at(page)
    await page.goto(f"{scene.origin}/console/try")
    await page.fill("[name=action]", "s3:GetObject")
    scene.world.clock.move(8 * 3600)
    await submit(page, "#try_button")
    results += await looked_at(page)
    await page.goto(f"{scene.origin}/console/")
    results += await looked_at(page)
    require_none(results)
