"""The documentation in Chromium, under the policy that the broker serves it with."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from fastapi import FastAPI
from playwright.async_api import Browser, expect

from broker.edges.documentation import documentation_routes
from tests.browser.test_accessibility import needs_axe, require_none, violations
from tests.support.browser import DESKTOP, PHONE, serving_app
from tests.support.servers import find_free_port
from tests.support.site import build_site

pytestmark = pytest.mark.long
PAGES = ("", "operating/settings.html", "recipes/keycloak.html", "changelog.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site(tmp_path_factory)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def origin(site: Path) -> AsyncIterator[str]:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(documentation_routes(site))
    port = find_free_port()
    async with serving_app(app, "127.0.0.1", port):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_pages_need_nothing_that_the_policy_forbids(
    browser: Browser, origin: str, size: dict[str, int]
) -> None:
    context = await browser.new_context(viewport=size)  # type: ignore[arg-type]
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for path in PAGES:
        await page.goto(f"{origin}/docs/{path}", wait_until="networkidle")
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], path
    assert said == []


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("aws sso login", "portal.html"),
        ("rotate keys", "operating/keys.html"),
        ("421", "operating/settings.html"),
        ("quota", "apply.html"),
        ("add identity provider", "recipes/index.html"),
        ("terraform", "recipes/terraform.html"),
    ],
)
async def test_the_search_finds_the_right_page_first(
    browser: Browser, origin: str, words: str, first: str
) -> None:
    page = await browser.new_page()
    await page.goto(f"{origin}/docs")
    await page.fill("input[name=q]", words)
    await page.press("input[name=q]", "Enter")
    locator = page.locator("#search-results li a").first
    assert first in (await locator.get_attribute("href") or "")


def pages_of(site: Path) -> list[str]:
    return sorted(str(page.relative_to(site)) for page in site.rglob("*.html"))


@needs_axe
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(
    browser: Browser, origin: str, site: Path, scheme: Literal["light", "dark"]
) -> None:
    context = await browser.new_context(bypass_csp=True, color_scheme=scheme)
    page = await context.new_page()
    results = []
    # The colours are the same on every page.
    for name in pages_of(site) if scheme == "light" else PAGES:
        await page.goto(f"{origin}/docs/{name}")
        results += [f"{name}: {text}" for text in await violations(page)]
    require_none(results)


async def test_the_theme_can_be_changed(browser: Browser, origin: str) -> None:
    """By Furo's script, which is a file here."""
    page = await browser.new_page()
    await page.goto(f"{origin}/docs/")
    body = page.locator("body")
    before = await body.get_attribute("data-theme")
    assert before
    await page.locator(".theme-toggle:visible").first.click()
    await expect(body).not_to_have_attribute("data-theme", before)
