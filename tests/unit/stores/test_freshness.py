"""A worker's memory of the directory follows generations, and is never too old."""

import asyncio
from collections.abc import Collection, Hashable, Mapping
from datetime import UTC, datetime

import pytest

from broker.model.account import AccountId
from broker.stores.directory.freshness import (
    KEY_CHARACTERS_MAX,
    TRUST_SECONDS,
    Freshness,
)
from broker.stores.errors import StoreUnavailableError
from tests.support.waiting import until

ACCOUNT = AccountId("000000000001")
OTHER = AccountId("000000000002")
NOTHING = object()


class SteppingClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.seconds


class World:
    """A database that counts, changes and goes away."""

    def __init__(self) -> None:
        self.numbers: dict[AccountId, int] = {ACCOUNT: 1}
        self.value: object = "first"
        self.away = False
        self.loads = 0
        self.asked: list[tuple[AccountId, ...] | None] = []
        self.gate: asyncio.Event | None = None

    async def generations(
        self, accounts: Collection[AccountId] | None = None
    ) -> Mapping[AccountId, int]:
        self.asked.append(None if accounts is None else tuple(accounts))
        if self.away:
            raise StoreUnavailableError("away")
        return dict(self.numbers)

    async def load(self) -> object:
        self.loads += 1
        value = self.value
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise StoreUnavailableError("away")
        return value

    def change(self, value: object) -> None:
        self.value = value
        self.numbers[ACCOUNT] += 1


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def fresh(world: World, clock: SteppingClock) -> Freshness:
    return Freshness(world, clock, stale_seconds=60)


async def recall(
    fresh: Freshness, key: Hashable, account: AccountId = ACCOUNT
) -> object:
    """What is remembered; ``NOTHING`` when it would be loaded."""

    async def load() -> object:
        raise LookupError

    try:
        return await fresh.get(account, key, load)
    except LookupError:
        return NOTHING


async def test_a_value_is_loaded_once_and_then_found_without_waiting(
    fresh: Freshness, world: World
) -> None:
    assert await recall(fresh, "k") is NOTHING
    assert await fresh.get(ACCOUNT, "k", world.load) == "first"
    assert await fresh.get(ACCOUNT, "k", world.load) == "first"
    assert await recall(fresh, "k") == "first"
    assert await recall(fresh, "k", OTHER) is NOTHING
    assert world.loads == 1


async def test_absence_is_remembered_as_well(fresh: Freshness, world: World) -> None:
    world.value = None
    assert await fresh.get(ACCOUNT, "k", world.load) is None
    assert await recall(fresh, "k") is None
    assert world.loads == 1


async def test_concurrent_callers_share_one_load_and_one_check(
    fresh: Freshness, world: World
) -> None:
    got = await asyncio.gather(
        *(fresh.get(ACCOUNT, "k", world.load) for _ in range(50))
    )
    assert set(got) == {"first"}
    assert world.loads == 1
    assert world.asked.count(()) == 1


async def test_accounts_that_are_met_together_share_a_query(
    fresh: Freshness, world: World
) -> None:
    await fresh.check()
    asked = len(world.asked)
    accounts = [AccountId(f"{number:012d}") for number in range(100, 200)]
    got = await asyncio.gather(*(fresh.get(a, "k", world.load) for a in accounts))
    assert len(got) == world.loads == 100
    assert len(world.asked) - asked <= 2
    world.away = True
    others = (AccountId(f"{number:012d}") for number in range(200, 250))
    failed = await asyncio.gather(
        *(fresh.get(a, "k", world.load) for a in others), return_exceptions=True
    )
    assert {type(error) for error in failed} == {StoreUnavailableError}
    world.away = False
    assert await fresh.get(AccountId("000000000200"), "k", world.load) == "first"


async def test_a_caller_that_gives_up_does_not_spoil_the_load_for_the_others(
    fresh: Freshness, world: World
) -> None:
    world.gate = asyncio.Event()
    first = asyncio.create_task(fresh.get(ACCOUNT, "k", world.load))
    second = asyncio.create_task(fresh.get(ACCOUNT, "k", world.load))
    await until(lambda: world.loads == 1)
    first.cancel()
    world.gate.set()
    assert await second == "first"


async def test_a_polled_change_makes_the_value_old(
    fresh: Freshness, world: World
) -> None:
    await fresh.get(ACCOUNT, "k", world.load)
    world.change("second")
    assert await recall(fresh, "k") == "first"
    await fresh.check()
    assert await recall(fresh, "k") is NOTHING
    assert await fresh.get(ACCOUNT, "k", world.load) == "second"


async def test_an_own_change_is_seen_at_once(fresh: Freshness, world: World) -> None:
    await fresh.get(ACCOUNT, "k", world.load)
    world.change("second")
    fresh.observed(ACCOUNT, world.numbers[ACCOUNT])
    assert await recall(fresh, "k") is NOTHING
    assert await fresh.get(ACCOUNT, "k", world.load) == "second"


async def test_a_load_that_began_before_a_change_does_not_answer_after_it(
    fresh: Freshness, world: World
) -> None:
    await fresh.check()
    world.gate = asyncio.Event()
    before = asyncio.create_task(fresh.get(ACCOUNT, "k", world.load))
    await until(lambda: world.loads == 1)
    world.change("second")
    fresh.observed(ACCOUNT, world.numbers[ACCOUNT])
    after = asyncio.create_task(fresh.get(ACCOUNT, "k", world.load))
    await until(lambda: world.loads == 2)
    world.gate.set()
    assert await before == "first"
    assert await after == "second"
    assert await recall(fresh, "k") == "second"


async def test_a_poll_that_was_overtaken_does_not_bring_an_old_generation_back(
    fresh: Freshness, world: World
) -> None:
    await fresh.get(ACCOUNT, "k", world.load)
    fresh.observed(ACCOUNT, 7)
    await fresh.check()
    assert await recall(fresh, "k") is NOTHING


async def test_an_old_check_is_made_again_before_anything_is_trusted(
    fresh: Freshness, world: World, clock: SteppingClock
) -> None:
    await fresh.get(ACCOUNT, "k", world.load)
    world.change("second")
    clock.seconds += TRUST_SECONDS + 0.01
    assert await fresh.get(ACCOUNT, "k", world.load) == "second"


async def test_without_the_database_remembered_values_serve_for_the_grace_only(
    fresh: Freshness, world: World, clock: SteppingClock
) -> None:
    await fresh.get(ACCOUNT, "k", world.load)
    world.away = True
    clock.seconds += 59
    assert await fresh.get(ACCOUNT, "k", world.load) == "first"
    with pytest.raises(StoreUnavailableError):
        await fresh.get(ACCOUNT, "unknown", world.load)
    clock.seconds += 2
    with pytest.raises(StoreUnavailableError):
        await fresh.get(ACCOUNT, "k", world.load)
    world.away = False
    assert await fresh.get(ACCOUNT, "k", world.load) == "first"
    assert world.loads == 1


async def test_no_one_waits_again_for_a_database_that_did_not_answer(
    fresh: Freshness, world: World, clock: SteppingClock
) -> None:
    await fresh.start()
    assert await fresh.get(ACCOUNT, "name", world.load) == "first"
    world.away = True
    clock.seconds += 2 * TRUST_SECONDS
    with pytest.raises(StoreUnavailableError):
        await fresh.check()
    asked = len(world.asked)
    assert await fresh.get(ACCOUNT, "name", world.load) == "first"
    with pytest.raises(StoreUnavailableError):
        await fresh.get(ACCOUNT, "another", world.load)
    assert len(world.asked) == asked
    world.away = False
    await fresh.check()
    assert await fresh.get(ACCOUNT, "another", world.load) == "first"
    await fresh.close()


async def test_a_value_known_to_be_old_serves_without_the_database_for_the_grace_only(
    fresh: Freshness, world: World, clock: SteppingClock
) -> None:
    await fresh.get(ACCOUNT, "k", world.load)
    world.change("second")
    await fresh.check()
    world.away = True
    assert await fresh.get(ACCOUNT, "k", world.load) == "first"
    clock.seconds += 59
    assert await fresh.get(ACCOUNT, "k", world.load) == "first"
    clock.seconds += 2
    with pytest.raises(StoreUnavailableError):
        await fresh.get(ACCOUNT, "k", world.load)
    world.away = False
    assert await fresh.get(ACCOUNT, "k", world.load) == "second"


async def test_a_value_that_became_old_long_ago_does_not_serve(
    fresh: Freshness, world: World, clock: SteppingClock
) -> None:
    await fresh.get(ACCOUNT, "unused since", world.load)
    world.change("revoked")
    await fresh.check()
    for _ in range(61):
        clock.seconds += 1
        world.change("something else")
        await fresh.check()
    world.away = True
    with pytest.raises(StoreUnavailableError):
        await fresh.get(ACCOUNT, "unused since", world.load)


async def test_a_value_serves_although_changes_come_all_the_time(
    fresh: Freshness, world: World, clock: SteppingClock
) -> None:
    for number in range(2000):
        clock.seconds += 0.05
        world.change(number)
        if number == 1000:
            await fresh.get(ACCOUNT, "50 seconds old", world.load)
        await fresh.check()
    world.away = True
    assert await fresh.get(ACCOUNT, "50 seconds old", world.load) == 1000


async def test_a_value_of_one_table_becomes_old_with_a_change_of_that_table(
    fresh: Freshness, world: World, clock: SteppingClock
) -> None:
    await fresh.get(ACCOUNT, "key", world.load, of="keys")
    for _ in range(100):
        clock.seconds += 1
        world.change("second")
        fresh.observed(ACCOUNT, world.numbers[ACCOUNT], {"users"})
    world.change("third")
    await fresh.check()
    world.away = True
    assert await fresh.get(ACCOUNT, "key", world.load, of="keys") == "first"


async def test_no_one_waits_for_a_silent_database_whose_value_is_known(
    fresh: Freshness, world: World
) -> None:
    await fresh.start()
    await fresh.get(ACCOUNT, "k", world.load)
    world.change("second")
    await fresh.check()
    world.gate = asyncio.Event()
    waiting = asyncio.create_task(fresh.get(ACCOUNT, "k", world.load))
    await until(lambda: world.loads == 2)
    world.away = True
    assert await waiting == "first"
    loads = world.loads
    assert await fresh.get(ACCOUNT, "k", world.load) == "first"
    assert world.loads == loads
    world.gate.set()
    await fresh.close()


async def test_what_was_made_of_an_older_value_is_not_remembered(
    fresh: Freshness, world: World
) -> None:
    """Or it would count for the change that it does not know, until the next one."""

    async def compiled(source: object) -> object:
        async def load() -> object:
            return f"compiled {source}"

        return await fresh.get(ACCOUNT, "compiled", load)

    async def nested() -> object:
        async def load() -> object:
            return f"made of {await fresh.get(ACCOUNT, 'k', world.load)}"

        return await fresh.get(ACCOUNT, "nested", load)

    async def call() -> tuple[object, object]:
        source = await fresh.get(ACCOUNT, "k", world.load)
        return await compiled(source), await nested()

    await fresh.get(ACCOUNT, "k", world.load)
    world.change("second")
    await fresh.check()
    world.away = True
    assert await asyncio.create_task(nested()) == "made of first"
    assert await asyncio.create_task(call()) == ("compiled first", "made of first")
    world.away = False
    assert await asyncio.create_task(call()) == ("compiled second", "made of second")
    assert await recall(fresh, "compiled") == "compiled second"


async def test_a_dropped_value_is_loaded_again(fresh: Freshness, world: World) -> None:
    await fresh.get(ACCOUNT, "k", world.load)
    fresh.drop(ACCOUNT, "k")
    assert await recall(fresh, "k") is NOTHING


async def test_the_memory_is_bounded_and_keeps_what_is_used(
    world: World, clock: SteppingClock
) -> None:
    fresh = Freshness(world, clock, capacity=100)
    for number in range(1000):
        account = AccountId(f"{number:012d}")
        await fresh.get(account, "k", world.load)
        assert await fresh.get(ACCOUNT, "hot", world.load) == "first"
    assert len(fresh._young) + len(fresh._old) <= 100
    assert len(fresh._generations) <= 102
    await fresh.check()
    assert world.asked[-1] is not None
    assert len(world.asked[-1]) <= 102
    # Every account is loaded once, the value in use only once.
    assert world.loads == 1001


async def test_what_is_asked_for_by_an_overlong_name_is_not_remembered(
    fresh: Freshness, world: World
) -> None:
    world.value = None
    long = "x" * (KEY_CHARACTERS_MAX + 1)
    for asked in (long, ("user", long)):
        assert await fresh.get(ACCOUNT, asked, world.load) is None
        assert await recall(fresh, asked) is NOTHING
    known = ("resource-policy", "x" * KEY_CHARACTERS_MAX)
    await fresh.get(ACCOUNT, known, world.load)
    assert await recall(fresh, known) is None


async def test_accounts_that_never_were_are_forgotten_soon(
    fresh: Freshness, world: World
) -> None:
    """Strangers may name as many as they like, and roles in each."""
    world.value = None
    for number in range(2000):
        account = AccountId(f"{number + 10:012d}")
        for role in range(20 if number % 100 == 0 else 1):
            assert await fresh.get(account, ("role", role), world.load) is None
    assert await recall(fresh, ("role", 0), AccountId("000000002009")) is None
    await fresh.check()
    assert world.asked[-1] is not None
    assert len(world.asked[-1]) <= 260
    assert len(fresh._young) + len(fresh._old) <= 8 * 260
    # One that comes to be is known as any other from then on.
    world.numbers[AccountId("000000002009")] = 1
    world.value = "there"
    await fresh.check()
    account = AccountId("000000002009")
    assert await fresh.get(account, ("role", 0), world.load) == "there"


async def test_the_background_poll_sees_a_change_and_outlives_an_outage(
    world: World,
) -> None:
    class RealClock(SteppingClock):
        def monotonic(self) -> float:
            return asyncio.get_running_loop().time()

    async def poll() -> None:
        asked = len(world.asked)
        await until(lambda: len(world.asked) > asked)

    fresh = Freshness(world, RealClock())
    await fresh.start()
    await fresh.get(ACCOUNT, "k", world.load)
    world.away = True
    await poll()
    world.away = False
    world.change("second")
    await poll()
    assert await recall(fresh, "k") is NOTHING
    assert fresh.age_seconds < 1
    await fresh.close()


async def test_a_database_that_never_answers_counts_as_away(
    clock: SteppingClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(World):
        async def generations(
            self, accounts: Collection[AccountId] | None = None
        ) -> Mapping[AccountId, int]:
            await asyncio.sleep(60)
            return await super().generations(accounts)

    monkeypatch.setattr("broker.stores.directory.freshness.TRUST_SECONDS", 0.05)
    fresh = Freshness(Silent(), clock)
    with pytest.raises(StoreUnavailableError):
        await fresh.get(ACCOUNT, "k", world.load)


async def test_a_hit_is_answered_without_giving_way(
    fresh: Freshness, world: World
) -> None:
    await fresh.get(ACCOUNT, "k", world.load)
    with pytest.raises(StopIteration, match="first"):
        fresh.get(ACCOUNT, "k", world.load).send(None)


class SlowDirectory:
    """Answers when it is told to, and tells whether it was cut off."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.answered = False

    async def generations(
        self, _accounts: Collection[AccountId] | None = None
    ) -> Mapping[AccountId, int]:
        self.asked.set()
        await self.gate.wait()
        self.answered = True
        return {}


async def test_closing_waits_for_the_read_that_is_on_its_way() -> None:
    directory = SlowDirectory()
    freshness = Freshness(directory, SteppingClock())
    await freshness.start()
    await directory.asked.wait()
    closing = asyncio.create_task(freshness.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    directory.gate.set()
    await closing
    assert directory.answered


async def test_closing_gives_a_read_up_that_never_ends() -> None:
    directory = SlowDirectory()
    freshness = Freshness(directory, SteppingClock())
    await freshness.start()
    await directory.asked.wait()
    async with asyncio.timeout(2 * TRUST_SECONDS):
        await freshness.close()
    assert not directory.answered


async def test_a_change_of_other_tables_leaves_what_was_read_from_one(
    fresh: Freshness, world: World
) -> None:
    await fresh.get(ACCOUNT, "user", world.load, of="users")
    await fresh.get(ACCOUNT, "key", world.load, of="keys")
    await fresh.get(ACCOUNT, "policies", world.load)
    world.change("second")
    fresh.observed(ACCOUNT, world.numbers[ACCOUNT], {"users", "audit"})
    assert await recall(fresh, "key") == "first"
    assert await recall(fresh, "user") is NOTHING
    assert await recall(fresh, "policies") is NOTHING
    assert await fresh.get(ACCOUNT, "user", world.load, of="users") == "second"
    world.change("third")
    fresh.observed(ACCOUNT, world.numbers[ACCOUNT], {"keys"})
    assert await recall(fresh, "user") == "second"
    assert await recall(fresh, "key") is NOTHING


async def test_a_change_that_is_not_the_next_one_leaves_nothing(
    fresh: Freshness, world: World
) -> None:
    """Another worker's came between, and nobody says what that one wrote."""
    await fresh.get(ACCOUNT, "key", world.load, of="keys")
    world.change("another worker's")
    world.change("ours")
    fresh.observed(ACCOUNT, world.numbers[ACCOUNT], {"users"})
    assert await recall(fresh, "key") is NOTHING


async def test_a_polled_change_leaves_nothing(fresh: Freshness, world: World) -> None:
    await fresh.get(ACCOUNT, "key", world.load, of="keys")
    world.change("another worker's")
    await fresh.check()
    assert await recall(fresh, "key") is NOTHING


async def test_a_change_during_a_load_counts_for_the_table_that_it_wrote(
    fresh: Freshness, world: World
) -> None:
    world.gate = asyncio.Event()
    loads = [
        asyncio.create_task(fresh.get(ACCOUNT, table, world.load, of=table))
        for table in ("users", "keys")
    ]
    await until(lambda: world.loads == 2)
    world.change("second")
    fresh.observed(ACCOUNT, world.numbers[ACCOUNT], {"users"})
    world.gate.set()
    await asyncio.gather(*loads)
    assert await recall(fresh, "users") is NOTHING
    assert await recall(fresh, "keys") == "first"
