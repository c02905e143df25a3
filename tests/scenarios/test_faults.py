"""A full disk, and connections cut in the middle of calls: nothing is half written."""

import asyncio
import json
import resource
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.scenarios.installation import Installation
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.in_process import InProcess, in_process
from tests.support.oidc_issuer import serving
from tests.support.refusals import refused
from tests.support.servers import start_postgresql

UNAVAILABLE = {"", "ServiceUnavailable"}
LEAST, MOST = 10, 500
"""Users that each of those who are cut off makes: until one was cut off, at any rate."""
TAGS = [{"Key": f"key{number}", "Value": "x" * 200} for number in range(40)]


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Installation]:
    with (
        serving("/idp") as issuer,
        running_broker(tmp_path, internal_issuers=f"127.0.0.1:{issuer.port}") as broker,
    ):
        yield Installation(broker, issuer)


@contextmanager
def full_disk(broker: RunningBroker) -> Iterator[None]:
    """No file of the broker's grows any more: writing ends as on a full disk."""
    assert broker.process is not None
    pid = broker.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


def wait_for_ledger(broker: RunningBroker, state: str) -> None:
    """Until ``/readyz`` says this of the ledger; it stays so while nothing changes."""
    for _ in range(100):
        with urllib.request.urlopen(f"{broker.url}/readyz", timeout=5) as answer:
            told = json.load(answer)
        if told["components"]["ledger"] == state:
            break
        time.sleep(0.1)
    assert told == {
        "status": "ready" if state == "ready" else "degraded",
        "components": {"database": "ready", "cache": "ready", "ledger": state},
    }


def test_a_full_disk_refuses_what_it_cannot_keep_and_nothing_else(
    embedded: Installation,
) -> None:
    iam = embedded.iam
    iam.create_user(UserName="before")
    earlier = embedded.web_identity()
    assertion = embedded.assertion()
    with full_disk(embedded.broker):
        assert refused(iam.create_user, UserName="during", Tags=TAGS).code == (
            "ServiceUnavailable"
        )
        assert refused(embedded.saml, assertion).code == "ServiceUnavailable"
        assert refused(embedded.web_identity).code == "ServiceUnavailable"
        assert embedded.identity(earlier)["Account"] == ACCOUNT
        assert iam.get_user(UserName="before")["User"]["UserName"] == "before"
        assert refused(iam.get_user, UserName="during").code == "NoSuchEntity"
        wait_for_ledger(embedded.broker, "unavailable")
    wait_for_ledger(embedded.broker, "ready")
    assert iam.create_user(UserName="during", Tags=TAGS)
    assert len(iam.list_user_tags(UserName="during")["Tags"]) == len(TAGS)
    answer = embedded.saml(assertion)
    assert embedded.identity(answer)["Account"] == ACCOUNT
    embedded.broker.stop()
    embedded.broker.start()
    names = {user["UserName"] for user in iam.list_users()["Users"]}
    assert names == {"before", "during"}
    assert embedded.identity(answer)["Account"] == ACCOUNT


@pytest_asyncio.fixture
async def cut(
    tmp_path: Path,
) -> AsyncIterator[tuple[InProcess, Key, asyncpg.Connection]]:
    """A broker, and somebody who may end its connections."""
    with start_postgresql() as server:
        url = server.create_database("broker")
        operator = await asyncpg.connect(server.url)
        async with in_process(tmp_path, database_url=url) as broker:
            yield broker, await broker.create_account(ACCOUNT), operator
        await operator.close()


async def cut_connections(operator: asyncpg.Connection, done: asyncio.Event) -> None:
    while not done.is_set():
        await operator.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = 'broker' and pid <> pg_backend_pid()"
        )
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), 0.03)


async def test_a_connection_lost_in_the_middle_leaves_all_or_nothing(
    cut: tuple[InProcess, Key, asyncpg.Connection],
) -> None:
    broker, root, operator = cut
    codes: dict[str, str] = {}
    done = asyncio.Event()

    async def create(mine: int) -> None:
        for number in range(MOST):
            if number >= LEAST and "ServiceUnavailable" in codes.values():
                break
            name = f"user-{mine}-{number}"
            reply = await broker.call(
                "iam", "CreateUser", root, UserName=name, Tags=TAGS
            )
            assert reply.code in UNAVAILABLE, reply.body
            codes[name] = reply.code

    cutting = asyncio.create_task(cut_connections(operator, done))
    try:
        await asyncio.gather(*map(create, range(6)))
    finally:
        done.set()
        await cutting
    assert "ServiceUnavailable" in codes.values(), "nothing was cut"
    listed = await settled(broker, root)
    assert {name for name, code in codes.items() if not code} <= listed
    for name in sorted(listed):
        # Whoever was told of a failure may be there all the same, but whole.
        tags = await broker.ask("iam", "ListUserTags", root, UserName=name)
        assert len(tags["Tags"]) == len(TAGS)
    for name in sorted(set(codes) - listed):
        assert await broker.ask("iam", "CreateUser", root, UserName=name)


async def settled(broker: InProcess, root: Key) -> set[str]:
    """The users there are, as soon as the database answers again."""
    async with asyncio.timeout(30):
        while True:
            reply = await broker.call("iam", "ListUsers", root, MaxItems=1000)
            if reply.status == 200:
                users = reply.parsed("iam", "ListUsers")["Users"]
                return {user["UserName"] for user in users}
            assert reply.code in UNAVAILABLE, reply.body
            await asyncio.sleep(0.1)
