"""What one worker read, the others on the machine read as well."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket

import pytest

from broker.stores.directory import kinds
from broker.stores.directory.freshness import Freshness, telling_siblings
from broker.stores.directory.readings import PEOPLE, REVOKED
from broker.stores.errors import StoreUnavailableError
from tests.support.clocks import SteppedClock
from tests.support.waiting import until
from tests.unit.stores.directory.test_freshness import (
    ACCOUNT,
    OTHER,
    World,
    recall,
    remember,
)

ROLE, USER = kinds.ROLE.by_name, kinds.USER.by_name
READ = ((USER, "k"), (REVOKED, ""), (PEOPLE["emails"], ("SAMLSP1", "a@b.c")))


class Sibling:
    """A worker, and the database as it sees it."""

    def __init__(self) -> None:
        self.world, self.clock = World(), SteppedClock()
        self.memory: Freshness = remember(self.world, self.clock)

    def has_read(self, number: int) -> bool:
        return self.world.loads == number


@pytest.fixture
async def siblings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Sibling]]:
    async with AsyncExitStack() as stack:
        made = [Sibling() for _ in range(3)]
        for number, sibling in enumerate(made):
            stack.push_async_callback(sibling.memory.close)
            await sibling.memory.check()
            monkeypatch.setattr(os, "getpid", lambda number=number: number)
            await stack.enter_async_context(telling_siblings(tmp_path, sibling.memory))
        yield made


async def test_what_one_worker_read_serves_at_all_without_the_database(
    siblings: list[Sibling],
) -> None:
    for kind, key in READ:
        await siblings[0].memory.read(ACCOUNT, kind, key)
    for sibling in siblings[1:]:
        await until(lambda sibling=sibling: sibling.has_read(len(READ)))  # type: ignore[misc]
        sibling.world.away = True
        sibling.clock.seconds += 59
        for kind, key in READ:
            assert await sibling.memory.read(ACCOUNT, kind, key) == "first"
        with pytest.raises(StoreUnavailableError):
            await sibling.memory.read(ACCOUNT, USER, "another")
    # What came while the database was away is read when it is back.
    await siblings[0].memory.read(ACCOUNT, USER, "last")
    for sibling in siblings[1:]:
        memory = sibling.memory
        await until(lambda memory=memory: memory._wanted)  # type: ignore[misc]
        sibling.world.away = False
        await memory.check()
        place = (ACCOUNT, USER, "last")
        await until(lambda memory=memory, at=place: memory._holds(at))  # type: ignore[misc]
    # No worker passes on what it was told.
    assert siblings[0].has_read(len(READ) + 1)


async def test_guesses_are_not_told(siblings: list[Sibling]) -> None:
    """Strangers may name whom they like: it costs no other worker a reading."""
    guessed_at, *others = siblings
    await guessed_at.memory.read(OTHER, REVOKED, "")
    guessed_at.world.value = None
    await guessed_at.memory.read(ACCOUNT, ROLE, "guessed")
    guessed_at.world.value = "first"
    await guessed_at.memory.read(ACCOUNT, USER, "k")
    for sibling in others:
        await until(lambda sibling=sibling: sibling.has_read(1))  # type: ignore[misc]
        assert await recall(sibling.memory, "k") == "first"


async def test_a_missing_or_busy_sibling_does_not_stop_others(
    siblings: list[Sibling], tmp_path: Path
) -> None:
    with socket(AF_UNIX, SOCK_DGRAM) as gone:
        gone.bind(str(tmp_path / "7.worker"))
    with socket(AF_UNIX, SOCK_DGRAM) as busy:
        busy.bind(str(tmp_path / "8.worker"))
        for number in range(1000):
            await siblings[0].memory.read(ACCOUNT, USER, f"{number}")
    assert siblings[0].has_read(1000)


async def test_a_folder_that_takes_no_socket_stops_no_worker(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    sibling = Sibling()
    async with telling_siblings(folder, sibling.memory):
        assert sibling.memory.tell is None
    await sibling.memory.close()
