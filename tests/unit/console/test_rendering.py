"""What all pages have in common."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from broker.console.rendering import Pages
from broker.model.session import SessionKind
from tests.support.servers import RedisServer, start_redis
from tests.support.signin import (
    APPS,
    ORIGIN,
    SignInWorld,
    get_signin_token,
    login_url,
    open_world,
    pair,
)

PATHS = ["/signin", "/signin/example", "/signin/signed-out", "/federation"]


@pytest.mark.parametrize("path", PATHS)
async def test_pages_are_private_and_run_nothing_foreign(
    world: SignInWorld, path: str
) -> None:
    page = await world.browser().get(path)
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-content-type-options"] == "nosniff"
    policy = page.headers["content-security-policy"].split("; ")
    assert policy == [
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        f"form-action 'self' {ORIGIN} {APPS}",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]


async def test_no_page_has_inline_script_or_style(world: SignInWorld) -> None:
    browser = world.browser()
    texts = [(await browser.get(path)).text for path in PATHS]
    response = world.response(pair("Reader"), pair("Admin"))
    texts.append((await browser.post("/saml", data={"SAMLResponse": response})).text)
    await world.sign_in(browser)
    texts.append((await browser.get("/console/")).text)
    for text in texts:
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script>|javascript:", text)
        assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


async def test_pages_are_small(world: SignInWorld) -> None:
    browser = world.browser()
    page = await browser.get("/signin")
    size = len(page.content)
    for path in set(re.findall(r'"(/console/static/[^"#]+)', page.text)):
        file = await browser.get(path)
        assert file.headers["content-encoding"] == "gzip"
        size += int(file.headers["content-length"])
    assert size < 30_000


async def test_static_files_are_whole_for_clients_that_unpack_nothing(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    url = Pages(()).files.url("console.css")
    plain = await browser.get(url, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == (await browser.get(url)).content


async def test_static_files_are_kept_for_good_under_their_hash(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    for name, kind in (
        ("console.css", "text/css"),
        ("console.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ):
        answer = await browser.get(Pages(()).files.url(name))
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert "immutable" in answer.headers["cache-control"]
    for name in ("console.css", "nothing.js", "..%2fpages.py", "%00"):
        assert (await browser.get(f"/console/static/{name}")).status_code == 404


async def test_an_error_page_shows_the_requests_id(world: SignInWorld) -> None:
    page = await world.browser().get("/federation")
    assert page.status_code == 400
    assert re.search(r"Request ID <code>[0-9a-f-]{36}</code>", page.text)


async def test_an_unexpected_failure_is_a_page_without_details() -> None:
    secret = "a secret in a traceback"

    async def fail(_request: Request) -> Response:
        raise RuntimeError(secret)

    scope = {"type": "http", "headers": [], "state": {"request_id": "r1", "line": {}}}
    answer = await Pages(()).guarded(fail)(Request(scope))
    assert answer.status_code == 500
    assert secret.encode() not in answer.body
    assert b"r1" in answer.body


async def test_a_prefetch_uses_nothing_up(world: SignInWorld) -> None:
    browser = world.browser()
    token = await get_signin_token(browser, await world.mint(SessionKind.ASSUME_ROLE))
    posted = await browser.post("/saml", data={"SAMLResponse": world.response()})
    for url in (login_url(token), posted.headers["location"]):
        for header in ("sec-purpose", "purpose"):
            looked = await browser.get(url, headers={header: "prefetch;prerender"})
            assert looked.status_code == 503
        assert (await browser.head(url)).status_code == 405
        assert (await browser.get(url)).status_code in {302, 303, 200}


async def test_an_early_logout_request_signs_nobody_out(
    world: SignInWorld,
) -> None:
    browser = world.browser()
    await world.sign_in(browser)
    await browser.get("/federation?Action=logout", headers={"sec-purpose": "prefetch"})
    assert (await browser.get("/console/")).status_code == 200


@pytest.fixture
async def with_redis(tmp_path: Path) -> AsyncIterator[tuple[SignInWorld, RedisServer]]:
    with start_redis() as redis:
        async with open_world(tmp_path, redis_url=redis.url) as world:
            yield world, redis


async def test_without_the_cache_pages_say_so_and_recover(
    with_redis: tuple[SignInWorld, RedisServer],
) -> None:
    world, redis = with_redis
    browser = world.browser()
    await world.sign_in(browser)
    minted = await world.mint(SessionKind.ASSUME_ROLE)
    response = world.response()
    redis.stop()
    for request in (
        browser.get("/console/"),
        browser.post("/saml", data={"SAMLResponse": response}),
        browser.get(login_url("x" * 43)),
        browser.get("/signin/continue?handle=" + "x" * 43),
    ):
        page = await request
        assert page.status_code == 503
        assert page.headers["retry-after"] == "1"
        assert page.headers["content-type"].startswith("text/html")
    redis.start()
    await asyncio.sleep(1)  # what the cache's port promises
    token = await get_signin_token(browser, minted)
    assert (await browser.get(login_url(token))).status_code in {200, 302}
    browser = world.browser()
    posted = await browser.post("/saml", data={"SAMLResponse": response})
    entered = await browser.get(posted.headers["location"])
    assert entered.status_code == 303, "the refused post must not have spent it"
