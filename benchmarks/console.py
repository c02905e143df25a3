"""The console: server time of every page, of sign-ins, the role page and the portal.

In this process, without a network: from the request to the last byte of the answer,
with a thousand roles in the account. ``python -m benchmarks console``
"""

import asyncio
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import structlog
from msgspec.structs import replace

from broker.stores.directory.kinds import ROLE
from tests.support.console_pages import addresses_inside
from tests.support.furnished import furnish
from tests.support.portal_accounts import (
    add_accounts,
    numbers,
    of_groups,
    organisation,
)
from tests.support.signin import ACCOUNT, SignInWorld, open_world, pair

ROLES = 1000
ROUNDS = 15
_FORM = (b"content-type", b"application/x-www-form-urlencoded")


class Visitor:
    """A browser that costs nothing: it calls the application as servers do."""

    def __init__(self, world: SignInWorld) -> None:
        self._world = world
        self._cookies: dict[str, str] = {}
        self.milliseconds = 0.0

    async def ask(self, path: str, form: dict[str, str] | None = None) -> str:
        """Send a request, note how long it took; where the answer leads, if so."""
        path, _, query = path.partition("?")
        headers = [
            (b"host", b"127.0.0.1:8080"),
            (b"accept", b"text/html"),
            (b"accept-encoding", b"gzip"),
        ]
        if self._cookies:
            pairs = "; ".join(f"{name}={text}" for name, text in self._cookies.items())
            headers.append((b"cookie", pairs.encode()))
        if form is not None:
            headers.append(_FORM)
        body = urlencode(form or {}).encode()
        answer: dict[str, Any] = {}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.update(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET" if form is None else "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8080),
        }
        began = time.perf_counter()
        await self._world.app(scope, receive, send)
        self.milliseconds = (time.perf_counter() - began) * 1000
        if answer["status"] >= 400:  # the statuses of failures
            raise RuntimeError(f"{path} answered {answer['status']}")
        stored_headers = dict(answer["headers"])
        for name, value in answer["headers"]:
            if name == b"set-cookie":
                cookie, _, text = value.decode().partition(";")[0].partition("=")
                self._cookies[cookie] = text
        return str(stored_headers.get(b"location", b"").decode())

    async def sign_in(self, role: str) -> float:
        """From the posted response to the console; the milliseconds of it all."""
        return await self.arrive({"SAMLResponse": self._world.response(pair(role))})

    async def arrive(self, form: dict[str, str]) -> float:
        """Post a SAML response and follow redirects to the page; the milliseconds spent."""
        onward = await self.ask("/saml", form)
        spent = self.milliseconds
        while onward:
            onward = await self.ask(onward)
            spent += self.milliseconds
        return spent


def run() -> Iterator[tuple[str, str]]:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )
    yield from asyncio.run(_portal_figures())
    yield from asyncio.run(_figures())


async def _figures() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        async with open_world(Path(folder), rate_limit=0) as world:
            await furnish(world)
            await _add_roles(world)
            visitor = Visitor(world)
            figures = [
                ("sign-in, from the post to the console", await _sign_ins(visitor)),
                ("role page with 200 roles", await _role_pages(world)),
            ]
            pages = [
                address for address in addresses_inside(world) if "never" not in address
            ]
            for address in pages:
                times = []
                for _ in range(ROUNDS):
                    await visitor.ask(address)
                    times.append(visitor.milliseconds)
                figures.append((address[:58], _told(times)))
            return figures


async def _portal_figures() -> list[tuple[str, str]]:
    """The portal of fifty accounts of twenty roles, all open to who signs in."""
    accounts = numbers()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "organisations.json"
        path.write_text(organisation(accounts))
        async with open_world(
            Path(folder), rate_limit=0, organisations_file=path
        ) as world:
            await add_accounts(world, accounts, group="engineers")
            visitor, signed_in = Visitor(world), []
            for _ in range(ROUNDS):
                response = world.response(**of_groups("engineers"))
                form = {"SAMLResponse": response, "RelayState": "/portal/corp"}
                signed_in.append(await visitor.arrive(form))
            figures = [("portal, 50 accounts x 20 roles: sign-in", _told(signed_in))]
            for name, query in (
                ("first page", ""),
                ("last page", "?from=950"),
                ("search that finds 50 roles", "?q=team-07"),
                ("search that finds none", "?q=nothing"),
            ):
                times = []
                for _ in range(ROUNDS):
                    await visitor.ask(f"/portal/corp{query}")
                    times.append(visitor.milliseconds)
                figures.append((f"  {name}", _told(times)))
            return figures


async def _sign_ins(visitor: Visitor) -> str:
    return _told([await visitor.sign_in("Admin") for _ in range(ROUNDS)])


async def _role_pages(world: SignInWorld) -> str:
    times = []
    for _ in range(ROUNDS):
        response = world.response(*(pair(f"Team-{n:04d}") for n in range(200)))
        visitor = Visitor(world)
        await visitor.ask("/saml", {"SAMLResponse": response})
        times.append(visitor.milliseconds)
    return _told(times)


async def _add_roles(world: SignInWorld) -> None:
    role = await world.services.stores.directory.named(ROLE, ACCOUNT, "Reader")
    if role is None:
        raise RuntimeError("the world has no reader")
    async with world.services.stores.directory.change(ACCOUNT) as change:
        for number in range(ROLES):
            await change.insert(
                ROLE,
                replace(
                    role,
                    role_id=f"AROATEAM{number:09d}",
                    name=f"Team-{number:04d}",
                ),
            )


def _told(times: list[float]) -> str:
    return f"{statistics.median(times):.1f} ms, best {min(times):.1f} ms"
