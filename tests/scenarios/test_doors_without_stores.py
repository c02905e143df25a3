"""Every door answers when a store is away, silent or busy: 503, and never 500."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from lxml import html

from broker.stores import database, postgresql_engine
from broker.stores.postgresql_engine import PostgresqlEngine
from tests.support.console_pages import NO_PAGES, OUTSIDE, addresses_inside
from tests.support.furnished import PASSWORD, furnish
from tests.support.rows import of_file
from tests.support.servers import (
    PostgresqlServer,
    RedisServer,
    find_postgresql,
    find_redis,
    start_postgresql,
    start_redis,
)
from tests.support.signin import ACCOUNT, SignInWorld, open_world

SAME = {"sec-fetch-site": "same-origin"}
UUID = f"SAMLSP{ACCOUNT}AAAA"
ALSO = tuple(of_file(__file__, "ALSO"))
"""Addresses besides those of the console's pages."""

PASSWORDS = {"kind": "user", "username": "dana", "password": PASSWORD}
SILENT_SECONDS = 0.3
"""For tests: how long a silent database is waited for."""


@dataclass
class Doors:
    """A broker on servers, somebody who is signed in, and what there is to ask."""

    world: SignInWorld
    postgresql: PostgresqlServer
    redis: RedisServer
    browser: httpx.AsyncClient
    addresses: list[str]
    forms: list[tuple[str, dict[str, str]]]

    async def ask_all(self) -> dict[str, httpx.Response]:
        """The answers to every address and form."""
        answers: dict[str, httpx.Response] = {}
        few = asyncio.Semaphore(16)

        async def get(address: str) -> None:
            async with few:
                answers[f"GET {address}"] = await self.browser.get(address)

        async def post(number: int, address: str, fields: dict[str, str]) -> None:
            async with few:
                answers[f"POST {address} {number}"] = await self.browser.post(
                    address, data=fields, headers=SAME
                )

        await asyncio.gather(
            *map(get, self.addresses),
            *(post(n, *form) for n, form in enumerate(self.forms)),
            *(post(n, address, {}) for n, address in enumerate(BARE_POSTS)),
        )
        return answers


BARE_POSTS = tuple(of_file(__file__, "BARE_POSTS"))


@pytest.fixture
async def doors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Doors]:
    if find_redis() is None or find_postgresql() is None:
        pytest.skip("redis-server or PostgreSQL is not installed")
    monkeypatch.setattr(postgresql_engine, "STATEMENT_SECONDS", SILENT_SECONDS)
    monkeypatch.setattr(postgresql_engine, "POOL_WAIT_SECONDS", SILENT_SECONDS)
    monkeypatch.setattr(database, "POOL_WAIT_SECONDS", SILENT_SECONDS)
    with start_redis() as redis, start_postgresql() as postgresql:
        url = postgresql.create_database("doors")
        async with open_world(tmp_path, database_url=url, redis_url=redis.url) as world:
            await furnish(world)
            browser = world.browser(follow_redirects=False, timeout=60)
            page = await browser.get("/signin/example")
            fields = hidden(page, "/signin/example")
            posted = await browser.post(
                "/signin/example", data={**fields, **PASSWORDS}, headers=SAME
            )
            assert posted.status_code == 303, posted.text
            made = Doors(world, postgresql, redis, browser, [], [])
            made.addresses = [
                *(address for known in OUTSIDE.values() for address in known),
                *addresses_inside(world),
                *(path for path in NO_PAGES if "{" not in path),
                *ALSO,
            ]
            await collect_forms(made)
            # The sign-in itself, with a password, is a form of a page of nobody.
            made.forms.append(("/signin/example", {**fields, **PASSWORDS}))
            made.forms.append((f"/signin/{ACCOUNT}", {**fields, **PASSWORDS}))
            yield made


def hidden(page: httpx.Response, action: str) -> dict[str, str]:
    (form,) = html.fromstring(page.text).xpath(f"//form[@action='{action}']")
    return {f.get("name"): f.get("value") for f in form.xpath(".//input[@name]")}


async def collect_forms(doors: Doors) -> None:
    """Every form of every page as it is shown; what is typed into it is not needed."""
    for answer in (await doors.ask_all()).values():
        if "html" not in answer.headers.get("content-type", ""):
            continue
        for form in html.fromstring(answer.text).xpath("//form[@method='post']"):
            fields = {
                field.get("name"): field.get("value") or ""
                for field in form.xpath(".//input[@name]")
            }
            action = form.get("action") or str(answer.request.url.path)
            if "sign-out" not in action and (action, fields) not in doors.forms:
                doors.forms.append((action, fields))


def require_no_fault(answers: dict[str, httpx.Response], least: int) -> None:
    """``least`` of them really asked a store that was not there."""
    away = 0
    for door, answer in answers.items():
        assert answer.status_code < 500 or answer.status_code == 503, (
            door,
            answer.status_code,
            answer.text[:500],
        )
        if answer.status_code == 503:
            away += 1
            assert answer.headers["retry-after"], door
    assert away >= least, {d: a.status_code for d, a in answers.items()}


async def test_no_door_answers_500_whichever_store_is_away(doors: Doors) -> None:
    assert len(doors.addresses) > 60
    assert len(doors.forms) > 30
    for leave in (
        stopped(doors.postgresql),
        frozen(doors.postgresql),
        full_pool(doors),
        stopped(doors.redis),
        frozen(doors.redis),
    ):
        async with leave:
            require_no_fault(await doors.ask_all(), 40)
        await come_back(doors)


async def come_back(doors: Doors) -> None:
    """Served again without a restart; somebody signs in."""
    async with asyncio.timeout(10):
        while True:
            page = await doors.browser.get("/signin/example")
            if page.status_code == 200:
                answer = await doors.browser.post(
                    "/signin/example",
                    data={**hidden(page, "/signin/example"), **PASSWORDS},
                    headers=SAME,
                )
                if answer.status_code in {200, 303}:
                    return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def stopped(server: Any) -> AsyncIterator[None]:
    await asyncio.to_thread(server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@asynccontextmanager
async def frozen(server: Any) -> AsyncIterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@asynccontextmanager
async def full_pool(doors: Doors) -> AsyncIterator[None]:
    engine = doors.world.services.stores.database._engine
    assert isinstance(engine, PostgresqlEngine)
    for _ in range(postgresql_engine._POOL_SIZE):
        await engine._places.acquire()
    try:
        yield
    finally:
        for _ in range(postgresql_engine._POOL_SIZE):
            engine._places.release()
