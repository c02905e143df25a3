"""A company's people sign in at once, from one address: nobody is refused."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from argon2 import PasswordHasher, Type

from broker.kinds import passwords
from broker.kinds.passwords import Hashes, Passwords
from broker.model.entities import LoginProfile, User
from broker.proofs.attempts import PER_ADDRESS, PER_USER
from broker.stores.directory.kinds import LOGIN_PROFILE, USER
from broker.stores.postgresql_engine import _POOL_SIZE, PostgresqlEngine
from tests.support.passwords import PASSWORD, send_password
from tests.support.servers import start_redis
from tests.support.signin import ACCOUNT, SignInWorld, open_world
from tests.support.storage import STORAGES
from tests.support.tables import own_database

PEOPLE = 160
"""More than may fail at one address, and than may wait for one connection each."""


@pytest.fixture(params=STORAGES)
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SignInWorld]:
    hasher = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1, type=Type.ID)
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    settings = {}
    with ExitStack() as servers:
        if request.param != "embedded":
            settings["database_url"] = servers.enter_context(own_database())
            settings["redis_url"] = servers.enter_context(start_redis()).url
        async with open_world(tmp_path, **settings) as world:
            await hire(world)
            yield world


async def hire(world: SignInWorld) -> None:
    """All of them have the same password, which is hashed once."""
    keeper = Passwords(world.services.vault)
    hashes = Hashes(await keeper.hash(PASSWORD))
    now = world.clock.now()
    async with world.services.stores.directory.change(ACCOUNT) as change:
        for number in range(PEOPLE):
            user_id = f"AIDA{number:017d}"
            await change.insert(
                USER,
                User(
                    account=ACCOUNT,
                    user_id=user_id,
                    name=f"person-{number}",
                    path="/",
                    created_at=now,
                ),
            )
            await change.insert(
                LOGIN_PROFILE,
                LoginProfile(
                    account=ACCOUNT,
                    user_id=user_id,
                    sealed=keeper.seal(ACCOUNT, user_id, hashes),
                    created_at=now,
                    changed_at=now,
                ),
            )


async def test_people_who_sign_in_together_all_get_in(world: SignInWorld) -> None:
    async def sign_in(number: int) -> int:
        browser = world.browser(timeout=120)
        answer = await send_password(browser, f"person-{number}")
        return answer.status_code

    statuses = await asyncio.gather(*map(sign_in, range(PEOPLE)))
    assert Counter(statuses) == {303: PEOPLE}


async def test_guesses_that_come_together_are_no_more_than_the_limit(
    world: SignInWorld,
) -> None:
    async def guess(name: str) -> str:
        browser = world.browser(timeout=120)
        answer = await send_password(browser, name, "wrong")
        return "too many" if "too many attempts" in answer.text else "wrong"

    answers = await asyncio.gather(*(guess("person-0") for _ in range(4 * PER_USER)))
    assert Counter(answers) == {"wrong": PER_USER, "too many": 3 * PER_USER}
    names = (f"person-{number}" for number in range(1, PEOPLE))
    answers = await asyncio.gather(*map(guess, names))
    assert Counter(answers)["wrong"] == PER_ADDRESS - PER_USER


async def test_the_database_is_there_while_every_connection_is_in_use(
    world: SignInWorld,
) -> None:
    """Known credentials do not fail because others keep the database busy."""
    engine = world.services.stores.database._engine
    if not isinstance(engine, PostgresqlEngine):
        pytest.skip("SQLite has no connections to wait for")
    for _ in range(_POOL_SIZE):
        await engine._places.acquire()
    await world.services.freshness.check()
    assert (await world.browser().get("/readyz")).json()["status"] == "ready"
