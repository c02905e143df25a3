"""Every page against WCAG 2.2 AA by axe-core: light and dark, desktop and phone.

The list of pages is the list of routes, so that none is forgotten.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from broker import app as composition
from broker.console.routes import console_routes
from tests.support.browser import DESKTOP, PHONE, Scene
from tests.support.furnished import furnish
from tests.support.signin import ACCOUNT, SignInWorld, open_world, pair

AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOKS = (
    (DESKTOP, "light"),
    (DESKTOP, "dark"),
    (PHONE, "light"),
    (PHONE, "dark"),
)
OUTSIDE = {
    "/signin": ["/signin"],
    "/signin/{account}": [f"/signin/{ACCOUNT}", "/signin/example", "/signin/nobody"],
    "/signin/signed-out": ["/signin/signed-out"],
    "/federation": ["/federation?Action=login&SigninToken=no&Destination=/console/"],
    "/v1/authorize": ["/v1/authorize"],
    "/console/{rest:path}": ["/console/nowhere"],
}
"""Addresses of the pages of nobody, by route."""

INSIDE: dict[str, list[str]] = {
    "/console/login": ["/console/login"],
    "/console/access": [
        f"/console/access?arn=arn:aws:iam::{ACCOUNT}:user/dana",
        f"/console/access?arn=arn:aws:iam::{ACCOUNT}:group/Finance",
    ],
    **{
        f"/console/users/{page}": [f"/console/users/{page}?name=dana"]
        for page in (
            "user",
            "permissions",
            "attach",
            "groups",
            "credentials",
            "tags",
            "delete",
        )
    },
    **{
        f"/console/groups/{page}": [f"/console/groups/{page}?name=Finance"]
        for page in ("group", "permissions", "attach", "delete")
    },
}
"""Addresses by route, where the route itself is none or not enough."""

NO_PAGES = {
    "/saml",
    "/signin/continue",
    "/signin/oidc/callback",
    "/signin/{account}/with/{provider}",
    "/static/saml-metadata.xml",
    "/static/saml/{uuid}/saml-metadata.xml",
    "/console",
    "/console/static/{name}",
    "/console/credential-report/download",
}
"""Routes that answer with a redirect, a file, or the page of an error."""

needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is not there: .ci/setup test installs it"
)


def test_continuous_integration_has_axe() -> None:
    if "CI" not in os.environ:
        pytest.skip("not in CI")
    assert AXE.is_file(), "run .ci/setup test"


def pages_of(world: SignInWorld) -> set[str]:
    """The console's routes that answer to GET."""
    router = console_routes(composition._console_deps(world.services, ()))
    return {
        route.path  # type: ignore[attr-defined]  # all are routes of this router
        for route in router.routes
        if "GET" in route.methods  # type: ignore[attr-defined]  # ditto
    }


def inside_of(world: SignInWorld) -> list[str]:
    """The addresses of all pages of somebody who is signed in."""
    routes = pages_of(world) - NO_PAGES - set(OUTSIDE)
    return sorted(address for route in routes for address in INSIDE.get(route, [route]))


async def test_no_page_is_forgotten(tmp_path: Path) -> None:
    """A page whose address has a part to fill in needs an example above."""
    async with open_world(tmp_path) as world:
        routes = pages_of(world)
        assert [a for a in inside_of(world) if "{" in a] == []
        assert (NO_PAGES | set(OUTSIDE) | set(INSIDE)) - routes == set()


async def violations(page: Page) -> list[str]:
    """What axe finds on the page as it is."""
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(AXE.read_text())
    found: dict[str, Any] = await page.evaluate(
        "tags => axe.run({runOnly: tags, resultTypes: ['violations']})", TAGS
    )
    return [
        f"{violation['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


async def looked_at(page: Page) -> list[str]:
    """What axe finds on the page in every look of it; none is wider than its window."""
    found = []
    for size, scheme in LOOKS:
        await page.set_viewport_size(size)  # type: ignore[arg-type]  # a dictionary
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        look = f"{page.url} {scheme} {size['width']}"
        found += [f"{look}: {text}" for text in await violations(page)]
        width = await page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            found.append(f"{look}: the page is {width} wide")
    return found


async def visit(scene: Scene, page: Page, addresses: Iterable[str]) -> list[str]:
    found = []
    for address in addresses:
        await page.goto(scene.origin + address)
        found += await looked_at(page)
    return found


@needs_axe
async def test_pages_of_nobody(scene: Scene) -> None:
    page = await scene.page()
    addresses = (address for group in OUTSIDE.values() for address in group)
    found = await visit(scene, page, addresses)
    await scene.arrive(page, pair("Reader"), pair("Admin"))
    found += await looked_at(page)
    assert "\n".join(found) == ""


@needs_axe
async def test_pages_of_somebody(scene: Scene) -> None:
    await furnish(scene.world)
    page = await scene.page()
    page.set_default_timeout(30_000)
    await scene.arrive(page, pair("Admin"))
    assert "\n".join(await visit(scene, page, inside_of(scene.world))) == ""


@needs_axe
async def test_pages_that_answer_a_form(scene: Scene) -> None:
    await furnish(scene.world)
    page = await scene.page()
    page.set_default_timeout(30_000)
    await scene.arrive(page, pair("Admin"))
    await page.click("#credentials_button")
    found = await looked_at(page)
    await page.goto(f"{scene.origin}/console/try")
    for action in ("iam:ListUsers", "nonsense"):
        await page.fill("[name=action]", action)
        await page.click("#try_button")
        found += await looked_at(page)
    await page.goto(f"{scene.origin}/console/audit")
    await page.click("tbody a")
    found += await looked_at(page)
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # a dictionary
    await page.click(".menu-button")
    found += await violations(page)
    await page.keyboard.press("Escape")
    await scene.arrive(page, pair("Reader"))
    found += await looked_at(page)
    await page.click("#switch_button")
    await page.goto(f"{scene.origin}/console/audit")
    found += await looked_at(page)
    scene.world.clock.move(8 * 3600)
    await page.reload()
    found += await looked_at(page)
    assert "\n".join(found) == ""
