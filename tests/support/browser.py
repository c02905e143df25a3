"""A real Chromium, a broker on 127.0.0.1 and an identity provider on localhost.

The two names are two sites to a browser, so that cookies behave as in production.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from playwright.async_api import Browser, Page, async_playwright

from tests.support.servers import find_free_port
from tests.support.signin import SignInWorld, open_world

CHROMIUM = Path("/usr/bin/chromium-headless-shell")
"""Debian's, without a window: it takes less than half of Chromium's CPU time."""

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}


@dataclass
class IdentityProvider:
    """Pages that post a form to the broker when their button is clicked."""

    acs: str
    port: int
    forms: dict[str, dict[str, str]] = field(default_factory=dict)
    answer: Callable[[str], tuple[str, str]] | None = None
    """Of a ``SAMLRequest``: where the response goes, and the response."""

    def offer(self, name: str, response: str, **more: str) -> str:
        """The address of a page that posts this response."""
        self.forms[f"/{name}"] = {"SAMLResponse": response, **more}
        return f"http://localhost:{self.port}/{name}"

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        acs, form = self.acs, self.forms.get(scope["path"], {})
        query = parse_qs(scope["query_string"].decode())
        if self.answer is not None and "SAMLRequest" in query:
            acs, response = self.answer(query["SAMLRequest"][0])
            form = {"SAMLResponse": response}
        fields = "".join(
            f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
            for name, value in form.items()
        )
        page = (
            f'<form method="post" action="{escape(acs)}">{fields}'
            '<button id="go">Go</button></form>'
        ).encode()
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page})


@dataclass
class Scene:
    """Everything a browser test acts on."""

    world: SignInWorld
    idp: IdentityProvider
    browser: Browser
    origin: str
    complaints: list[str] = field(default_factory=list)

    async def page(
        self, *, size: dict[str, int] = DESKTOP, scripts: bool = True, **options: Any
    ) -> Page:
        """A window of a new browser profile; what it complains about is kept."""
        context = await self.browser.new_context(
            viewport=size,  # type: ignore[arg-type] # a plain dictionary will do
            java_script_enabled=scripts,
            **options,
        )
        page = await context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    async def arrive(self, page: Page, *roles: str, **knobs: Any) -> None:
        """Come from the identity provider with a fresh response."""
        relay = knobs.pop("relay", "")
        response = self.world.response(*roles, **knobs)
        start = self.idp.offer("app", response, RelayState=relay)
        await page.goto(start)
        await page.click("#go")
        await page.wait_for_url(lambda url: url != start)


async def follow(page: Page, label: str) -> None:
    """A link of the menu, which is a drawer on a phone."""
    drawer = page.locator(".menu-button")
    if await drawer.is_visible():
        await drawer.click()
    entry = page.locator(f"nav#menu >> text={label}")
    if not await entry.is_visible():
        await page.click("nav#menu summary")
    await entry.click()


async def submit(page: Page, selector: str) -> None:
    """Click what another page answers, and wait until that page is there."""
    async with page.expect_navigation():
        await page.click(selector)


async def choose_role(page: Page, role: str) -> None:
    """Sign in to one of several roles."""
    await page.get_by_role("button", name=f"Sign in to {role}", exact=True).click()


@contextlib.asynccontextmanager
async def chromium_running() -> AsyncIterator[Browser]:
    """Chromium, in which each test has profiles of its own."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, timeout=60_000
        )
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def open_scene(
    folder: Path, browser: Browser, *, host: str = "127.0.0.1"
) -> AsyncIterator[Scene]:
    """A broker at ``host`` and an identity provider, for pages of the browser."""
    port, other = find_free_port(), find_free_port()
    origin = f"http://{host}:{port}"
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(
            open_world(
                folder,
                public_url=origin,
                allowed_destinations=(f"http://localhost:{other}",),
            )
        )
        idp = IdentityProvider(f"{origin}/saml", other)
        await stack.enter_async_context(serving_app(world.app, host, port))
        await stack.enter_async_context(serving_app(idp, "localhost", other))
        yield Scene(world, idp, browser, origin)


@contextlib.asynccontextmanager
async def serving_app(app: Any, host: str, port: int) -> AsyncIterator[None]:
    """An ASGI application at an address."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        lifespan="off",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    try:
        while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await task
