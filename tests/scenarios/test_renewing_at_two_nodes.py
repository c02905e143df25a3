"""Terminals renew their logins at two nodes at the same time."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from broker.compose import app as composition
from tests.support.portal import Terminal as PortalTerminal
from tests.support.portal import logged_in
from tests.support.servers import start_redis
from tests.support.signin import SignInWorld, open_world
from tests.support.tables import own_database
from tests.unit.console.signin.test_command_line import Terminal, log_in, refused

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])


@asynccontextmanager
async def two_nodes(folder: Path) -> AsyncIterator[tuple[SignInWorld, SignInWorld]]:
    """With a database and a Redis in common, and one public address."""
    with own_database() as url, start_redis() as redis:
        shared: dict[str, Any] = {"database_url": url, "redis_url": redis.url}
        async with open_world(folder / "one", **shared) as one:
            data = folder / "other" / "data"
            data.mkdir(mode=0o700, parents=True)
            shutil.copy2(folder / "one" / "data" / "keyring.json", data)
            settings = one.services.settings.model_copy(update={"data_dir": data})
            async with composition.open_services(settings, one.clock) as services:
                yield (
                    one,
                    SignInWorld(services, one.clock, composition.compose(services, ())),
                )


async def test_a_login_is_renewed_at_both_with_one_token(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (one, other):
        here = Terminal(one, one.browser())
        there = replace(here, world=other, http=other.browser())
        token = (await log_in(here))["refreshToken"]
        answers = await asyncio.gather(
            *(terminal.renew(token) for terminal in (here, there) * 2)
        )
        assert [answer.status_code for answer in answers] == [200] * 4
        assert {answer.json()["refreshToken"] for answer in answers} == {token}
        # What is stolen without the key, or sent again, is refused at both.
        thief = Terminal(other, other.browser())
        assert refused(await thief.renew(token), "TOKEN_EXPIRED")
        proof, body = here.proof(), {"grantType": "refresh_token"}
        sent = await here.ask(proof, refreshToken=token, **body)
        assert sent.status_code == 200
        again = await there.ask(proof, refreshToken=token, **body)
        assert refused(again, "INVALID_REQUEST", 400)
        assert (await there.renew(token)).status_code == 200


async def test_a_token_of_the_portal_has_one_successor_at_both(tmp_path: Path) -> None:
    async with two_nodes(tmp_path) as (one, other):
        _, here, tokens = await logged_in(one)
        there = PortalTerminal(other)
        there.client = here.client
        first = tokens["refreshToken"]
        answers = await asyncio.gather(
            *(
                terminal.token("refresh_token", refreshToken=first)
                for terminal in (here, there) * 2
            )
        )
        assert [answer.status_code for answer in answers] == [200] * 4
        (successor,) = {answer.json()["refreshToken"] for answer in answers}
        one.clock.move(61)
        # A copy of the used one ends the family, wherever that comes back.
        stolen = await there.token("refresh_token", refreshToken=first)
        assert json.loads(stolen.text)["error"] == "invalid_grant"
        # The other node knows within a second.
        async with asyncio.timeout(20):
            while True:
                over = await here.token("refresh_token", refreshToken=successor)
                if over.status_code == 400:
                    break
                await asyncio.sleep(0.05)
