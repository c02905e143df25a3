"""Changes of one account take turns, and whoever only reads does not wait for them."""

import asyncio
from datetime import UTC, datetime

from msgspec.structs import replace

from broker.model.account import Account, AccountId
from broker.model.entities import User
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.kinds import USER
from broker.stores.directory.sql import SqlDirectory

ACCOUNT = AccountId("000000000001")
AT = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
WRITERS = 8
ROUNDS = 10


async def fill(directory: SqlDirectory) -> None:
    async with directory.change(ACCOUNT) as change:
        await insert_account(
            change,
            Account(
                account_id=ACCOUNT, alias=None, session_salt=bytes(32), created_at=AT
            ),
        )
        await change.insert(
            USER,
            User(account=ACCOUNT, user_id="AIDA1", name="ann", path="/", created_at=AT),
        )


async def put_tag(directory: SqlDirectory, key: str, value: str) -> None:
    async with directory.change(ACCOUNT) as change:
        user = await change.named(USER, ACCOUNT, "ann")
        assert user is not None
        await change.update(USER, replace(user, tags={**user.tags, key: value}))


async def test_eight_writers_of_two_workers_lose_no_update(
    directory: SqlDirectory, other_directory: SqlDirectory
) -> None:
    await fill(directory)

    async def write(number: int) -> None:
        mine = directory if number % 2 else other_directory
        for value in range(ROUNDS):
            await put_tag(mine, f"writer-{number}", str(value))

    await asyncio.gather(*map(write, range(WRITERS)))
    user = await directory.named(USER, ACCOUNT, "ann")
    assert user is not None
    assert user.tags == {f"writer-{n}": str(ROUNDS - 1) for n in range(WRITERS)}
    last = (await directory.last_changes([ACCOUNT]))[ACCOUNT]
    assert last.generation == 1 + WRITERS * ROUNDS


async def test_reads_go_on_while_changes_wait(directory: SqlDirectory) -> None:
    """However many wait: they hold no connection until it is their turn."""
    await fill(directory)
    async with directory.change(ACCOUNT):
        waiting = [
            asyncio.create_task(put_tag(directory, f"writer-{number}", "1"))
            for number in range(WRITERS)
        ]
        await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.wait_for(directory.named(USER, ACCOUNT, "ann"), 4)
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    user = await directory.named(USER, ACCOUNT, "ann")
    assert user is not None
    assert len(user.tags) == WRITERS


async def test_a_change_that_is_given_up_lets_the_next_one_in(
    directory: SqlDirectory,
) -> None:
    await fill(directory)
    async with directory.change(ACCOUNT):
        waiting = asyncio.create_task(put_tag(directory, "never", "1"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
    await put_tag(directory, "next", "1")
    user = await directory.named(USER, ACCOUNT, "ann")
    assert user is not None
    assert user.tags == {"next": "1"}


async def test_a_cancelled_change_leaves_nothing_and_no_lock(
    directory: SqlDirectory,
) -> None:
    await fill(directory)

    async def hang() -> None:
        async with directory.change(ACCOUNT) as change:
            user = await change.named(USER, ACCOUNT, "ann")
            assert user is not None
            await change.update(USER, replace(user, tags={"half": "done"}))
            await asyncio.sleep(60)

    hanging = asyncio.create_task(hang())
    await asyncio.sleep(0.2)
    hanging.cancel()
    await asyncio.wait([hanging])
    await put_tag(directory, "next", "1")
    user = await directory.named(USER, ACCOUNT, "ann")
    assert user is not None
    assert user.tags == {"next": "1"}
