"""What every page of the console must hold to, whoever wrote it: from the routes."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2 as httpx
import pytest
from lxml import html
from msgspec.structs import replace

from broker.administration.pages import ADMINISTRATION
from broker.compose import app as composition
from broker.console.csrf import csrf_token
from broker.console.routes import console_routes
from broker.stores.directory.kinds import ROLE, USER
from broker.stores.directory.policies import list_inline_policies, put_inline_policy
from tests.support.console_pages import (
    EXAMPLES,
    NO_PAGES,
    OUTSIDE,
    OWN,
    addresses_inside,
    routes_of,
)
from tests.support.furnished import furnish
from tests.support.signin import ACCOUNT, COOKIE, SignInWorld, open_world, pair, text_of

MARKUP = "\"'><script id=hostile>x</script><img id=hostile src=x onerror=y>{{7*7}}"
SAME = {"sec-fetch-site": "same-origin"}
PAGE_BYTES_MAX = 60_000
ANYONES = {"/console/login"}
"""Has forms of its own kind, tested with the command line's login."""

OPEN = {
    *("/", "/access", "/audit", "/instances/join", "/overview"),
    *("/permissions", "/providers/diagnose", "/roles-anywhere", "/search"),
    *("/sessions", "/settings", "/settings/passwords", "/simulator", "/switch", "/try"),
}
"""Pages for everyone beside forms of new things and one's own credentials."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path, rate_limit=0) as world:
        await furnish(world)
        yield world


@pytest.fixture
async def admin(world: SignInWorld) -> httpx.AsyncClient:
    browser = world.browser()
    await world.sign_in(browser, pair("Admin"))
    return browser


def posts_inside(world: SignInWorld) -> list[str]:
    """Where forms of the console go."""
    deps = composition.console_deps(world.services, ())
    return sorted(
        route.path
        for route in console_routes(deps, ADMINISTRATION)
        if "POST" in (route.methods or ())
        and route.path.startswith("/console/")
        and route.path not in ANYONES
    )


def harmless(page: httpx.Response) -> bool:
    """Whether nothing that was data became markup, or was read as a template."""
    tree = html.fromstring(page.content)
    return not tree.xpath("//*[@id='hostile' or @onerror]") and "49" not in "".join(
        tree.xpath("//main//text()[contains(., 'onerror')]")
    )


async def test_no_form_is_taken_from_elsewhere_or_without_its_token(
    world: SignInWorld, admin: httpx.AsyncClient
) -> None:
    paths = posts_inside(world)
    assert len(paths) > 10
    token = csrf_token(admin.cookies[COOKIE])
    # A read on record says that all before it are, too.
    await admin.get("/console/try")
    await world.recorded("broker:ListServices")
    before = len(await world.audit())
    taken = {}
    for path in paths:
        for how, headers, csrf in (
            ("cross-site", {"sec-fetch-site": "cross-site"}, token),
            ("same-site", {"sec-fetch-site": "same-site"}, token),
            ("another origin", {"origin": "https://evil.example"}, token),
            ("nobody says", {}, token),
            ("no token", SAME, ""),
            ("a wrong token", SAME, token[::-1]),
        ):
            form = {"csrf": csrf, "name": "dana", "do": "delete", "sure": "dana"}
            answer = await admin.post(path, data=form, headers=headers)
            if answer.status_code != 403:
                taken[path, how] = answer.status_code
    assert taken == {}
    await admin.get("/console/permissions")
    await world.recorded("signin:GetOwnPermissions")
    new = (await world.audit())[:-before]
    assert [record.action for record in new] == ["signin:GetOwnPermissions"]


async def test_no_one_sees_a_page_without_a_session(world: SignInWorld) -> None:
    browser = world.browser()
    for address in addresses_inside(world):
        answer = await browser.get(address)
        assert (answer.status_code, answer.headers["location"]) == (303, "/signin")
        stale = {"cookie": f"{COOKIE}={'A' * 43}"}
        assert (await browser.get(address, headers=stale)).status_code == 303


async def test_a_page_that_one_may_not_see_names_the_permission(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser, pair("Brief"))
    view = set()
    for address in addresses_inside(world):
        if address.startswith(OWN):
            continue
        page = await browser.get(address)
        if page.status_code != 403:
            view.add(address.partition("?")[0])
            continue
        missing = r"not authorized to perform: [a-z]+:[A-Z]\w+ on resource: "
        assert re.search(missing, text_of(page)), address
        # In the frame: one goes on from there.
        assert html.fromstring(page.text).xpath("//nav//a[@href='/console/']")
    asked = {path for path in view if "/new" not in path and not path.startswith(OWN)}
    assert {path.removeprefix("/console") for path in asked} == OPEN


async def test_every_page_is_small_private_and_under_the_policy(
    world: SignInWorld, admin: httpx.AsyncClient
) -> None:
    odd = []
    for address in addresses_inside(world):
        page = await admin.get(address)
        policy = page.headers["content-security-policy"]
        inline = re.search(
            r"<style|\sstyle=|\son[a-z]+=|<script>|javascript:", page.text
        )
        if (
            len(page.content) > PAGE_BYTES_MAX
            or page.headers["cache-control"] != "no-store"
            or page.headers["referrer-policy"] != "no-referrer"
            or "unsafe" in policy
            or "default-src 'none'" not in policy
            or "frame-ancestors 'none'" not in policy
            or inline
        ):
            odd.append((address, len(page.content), inline))
    assert odd == []


async def test_markup_in_whatever_is_stored_is_text_on_every_page(
    world: SignInWorld, admin: httpx.AsyncClient
) -> None:
    """Tags, descriptions, statements' values: all that others may have written."""
    await hostile(world)
    addresses = addresses_inside(world)
    wrong, told = [], 0
    for address in addresses:
        page = await admin.get(address)
        told += "hostile" in page.text
        if not harmless(page):
            wrong.append(address)
    assert wrong == []
    assert told >= 5


async def test_markup_in_a_query_is_text_on_every_page(
    world: SignInWorld, admin: httpx.AsyncClient
) -> None:
    hostile_query = quote(MARKUP)
    names = ("q", "name", "arn", "policy", "kind", "action", "caller", "since", "at")
    names += ("marker", "next", "event", "version", "principal", "path", "for", "done")
    query = "&".join(f"{name}={hostile_query}" for name in names)
    routes = routes_of(world) - NO_PAGES - set(OUTSIDE)
    for path in sorted({*routes, *EXAMPLES} & routes):
        page = await admin.get(f"{path}?{query}")
        assert page.status_code < 500, path
        assert harmless(page), path


async def hostile(world: SignInWorld) -> None:
    """Write markup wherever IAM lets texts be written."""
    directory = world.services.stores.directory
    document = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Sid": "Odd",
                "Effect": "Allow",
                "Action": "*",
                "Resource": f"arn:aws:s3:::{MARKUP}",
                "Condition": {"StringLike": {f"aws:PrincipalTag/{MARKUP}": MARKUP}},
            },
        }
    )
    async with directory.change(ACCOUNT) as change:
        await change.update(ROLE, await changed(change, "Reader"))
        for policy in await list_inline_policies(
            change, ACCOUNT, await user_id(change)
        ):
            if policy.name == "Own":
                await put_inline_policy(change, replace(policy, document=document))


async def user_id(change: Any) -> str:
    user = await change.named(USER, ACCOUNT, "dana")
    await change.update(USER, replace(user, tags={"note": MARKUP, MARKUP: "x"}))
    return str(user.user_id)


async def changed(change: Any, name: str) -> Any:
    role = await change.named(ROLE, ACCOUNT, name)
    return replace(role, description=MARKUP, tags={"note": MARKUP, MARKUP: "x"})
