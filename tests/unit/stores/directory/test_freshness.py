"""A worker's memory of the directory follows generations, and is never too old."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest

from broker.model.account import AccountId
from broker.runtime.bounded import CacheMemory
from broker.stores.directory import kinds
from broker.stores.directory.changed_rows import ChangedRows
from broker.stores.directory.freshness import (
    KEY_CHARACTERS_MAX,
    TRUST_SECONDS,
    Freshness,
)
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.readings import REVOKED
from broker.stores.directory.stored import Key, Reading
from broker.stores.directory.timeline import (
    CHANGES_KEPT,
    NEVER,
    TIMELINES,
    ChangeId,
)
from broker.stores.errors import StoreUnavailableError
from tests.support.clocks import SteppedClock
from tests.support.waiting import until

ACCOUNT = AccountId("000000000001")
OTHER = AccountId("000000000002")
NOTHING = object()
ACCESS_KEY = kinds.ACCESS_KEY.by_key
ROLE, USER = kinds.ROLE.by_name, kinds.USER.by_name


def rows(*names: str) -> ChangedRows:
    """A change of these users."""
    return ChangedRows(
        {"users": [{"name_key": name, "user_id": name} for name in names]}
    )


class World:
    """A database that counts, changes and goes away."""

    def __init__(self) -> None:
        self.numbers: dict[AccountId, int] = {ACCOUNT: 1}
        self.rows: dict[int, ChangedRows] = {1: rows("k")}
        self.marks: dict[int, int] = {}
        self.era = 1
        self.timeline = NEVER
        self.announced = 0
        self.value: object = "first"
        self.away = False
        self.loads = 0
        self.asked: list[tuple[AccountId, ...] | None] = []
        self.gate: asyncio.Event | None = None

    def change_id(self, number: int) -> ChangeId:
        return ChangeId(number, self.marks.setdefault(number, self.era))

    async def last_changes(
        self, accounts: Collection[AccountId] | None = None
    ) -> Mapping[AccountId, ChangeId]:
        asked = tuple(n for n in accounts or () if n != TIMELINES)
        self.asked.append(None if accounts is None else asked)
        if self.away:
            raise StoreUnavailableError("away")
        last = {n: self.change_id(g) for n, g in self.numbers.items() if n in asked}
        return {**last, TIMELINES: self.timeline} if self.timeline else last

    async def new_changes(
        self, known: Mapping[AccountId, ChangeId]
    ) -> Mapping[AccountId, ChangeId]:
        last = {**dict.fromkeys(known, NEVER), **await self.last_changes(known)}
        return {n: change for n, change in last.items() if change != known[n]}

    async def changes(
        self, since: Mapping[AccountId, int]
    ) -> Mapping[AccountId, Mapping[ChangeId, ChangedRows]]:
        if self.away:
            raise StoreUnavailableError("away")
        return {
            account: {
                self.change_id(n): changed
                for n, changed in self.rows.items()
                if n >= generation and account == ACCOUNT
            }
            for account, generation in since.items()
        }

    async def announce_timeline(self, last: ChangeId) -> ChangeId:
        if last == self.timeline:
            self.announced += 1
            self.timeline = ChangeId(last.generation + 1, self.era)
        return self.timeline

    async def load(self, *_: object) -> object:
        self.loads += 1
        value = self.value
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise StoreUnavailableError("away")
        return value

    find = named = revocations = list_entities = load

    def go_back(self, number: int, value: object) -> None:
        """Lose the changes after a number, and the mark of any later one."""
        self.era += 1
        self.value = value
        self.numbers[ACCOUNT] = number
        for lost in [n for n in self.rows if n > number]:
            del self.rows[lost]
            del self.marks[lost]

    def change(self, value: object, changed: ChangedRows | None = None) -> ChangeId:
        """Another worker's, of the user ``k`` if nothing else is said."""
        self.value = value
        self.numbers[ACCOUNT] += 1
        self.rows[self.numbers[ACCOUNT]] = changed or rows("k")
        return self.change_id(self.numbers[ACCOUNT])


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def fresh(world: World, clock: SteppedClock) -> Freshness:
    return remember(world, clock)


def remember(world: object, clock: SteppedClock, **options: Any) -> Freshness:
    return Freshness(cast("DirectoryReader", world), clock, **options)


async def recall(
    fresh: Freshness,
    key: Key,
    account: AccountId = ACCOUNT,
    reading: Reading[Any] = USER,
) -> object:
    """What is remembered; ``NOTHING`` when it would be read."""
    load = AsyncMock(side_effect=LookupError)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fresh, "_load", load)
        try:
            return await fresh.read(account, reading, key)
        except LookupError:
            return NOTHING


async def test_a_value_is_loaded_once_and_then_found_without_waiting(
    fresh: Freshness, world: World
) -> None:
    assert await recall(fresh, "k") is NOTHING
    assert await fresh.read(ACCOUNT, USER, "k") == "first"
    assert await fresh.read(ACCOUNT, USER, "k") == "first"
    assert await recall(fresh, "k") == "first"
    assert await recall(fresh, "k", OTHER) is NOTHING
    assert world.loads == 1


async def test_absence_is_remembered_as_well(fresh: Freshness, world: World) -> None:
    world.value = None
    assert await fresh.read(ACCOUNT, USER, "k") is None
    assert await recall(fresh, "k") is None
    assert world.loads == 1


async def test_concurrent_callers_share_one_load_and_one_check(
    fresh: Freshness, world: World
) -> None:
    got = await asyncio.gather(*(fresh.read(ACCOUNT, USER, "k") for _ in range(50)))
    assert set(got) == {"first"}
    assert world.loads == 1
    assert world.asked.count(()) == 1


async def test_accounts_that_are_met_together_share_a_query(
    fresh: Freshness, world: World
) -> None:
    await fresh.check()
    asked = len(world.asked)
    accounts = [AccountId(f"{number:012d}") for number in range(100, 200)]
    got = await asyncio.gather(*(fresh.read(a, USER, "k") for a in accounts))
    assert len(got) == world.loads == 100
    assert len(world.asked) - asked <= 2
    world.away = True
    others = (AccountId(f"{number:012d}") for number in range(200, 250))
    failed = await asyncio.gather(
        *(fresh.read(a, USER, "k") for a in others), return_exceptions=True
    )
    assert {type(error) for error in failed} == {StoreUnavailableError}
    world.away = False
    assert await fresh.read(AccountId("000000000200"), USER, "k") == "first"


async def test_a_caller_that_gives_up_does_not_spoil_the_load_for_the_others(
    fresh: Freshness, world: World
) -> None:
    world.gate = asyncio.Event()
    first = asyncio.create_task(fresh.read(ACCOUNT, USER, "k"))
    second = asyncio.create_task(fresh.read(ACCOUNT, USER, "k"))
    await until(lambda: world.loads == 1)
    first.cancel()
    world.gate.set()
    assert await second == "first"


async def test_a_polled_change_is_forgotten_and_read_again(
    fresh: Freshness, world: World
) -> None:
    await fresh.read(ACCOUNT, USER, "k")
    await fresh.read(ACCOUNT, USER, "another")
    world.change("second")
    assert await recall(fresh, "k") == "first"
    world.gate = asyncio.Event()
    await fresh.check()
    assert await recall(fresh, "k") is NOTHING
    assert await recall(fresh, "another") == "first"
    await until(lambda: world.loads == 3)
    world.gate.set()
    assert await fresh.read(ACCOUNT, USER, "k") == "second"
    await fresh.check()
    assert await recall(fresh, "k") == "second"
    assert world.loads == 3


async def test_an_own_change_is_seen_at_once(fresh: Freshness, world: World) -> None:
    await fresh.read(ACCOUNT, USER, "k")
    fresh.observed(ACCOUNT, world.change("second"), rows("k"))
    assert await recall(fresh, "k") is NOTHING
    assert await fresh.read(ACCOUNT, USER, "k") == "second"


async def test_a_load_that_began_before_a_change_does_not_answer_after_it(
    fresh: Freshness, world: World
) -> None:
    await fresh.check()
    world.gate = asyncio.Event()
    before = asyncio.create_task(fresh.read(ACCOUNT, USER, "k"))
    await until(lambda: world.loads == 1)
    fresh.observed(ACCOUNT, world.change("second"), rows("k"))
    after = asyncio.create_task(fresh.read(ACCOUNT, USER, "k"))
    await until(lambda: world.loads == 2)
    world.gate.set()
    assert await before == "first"
    assert await after == "second"
    assert await recall(fresh, "k") == "second"


async def test_a_poll_that_was_overtaken_forgets_nothing_new(
    fresh: Freshness, world: World
) -> None:
    await fresh.read(ACCOUNT, USER, "k")
    fresh.observed(ACCOUNT, world.change("second"), rows("k"))
    assert await fresh.read(ACCOUNT, USER, "k") == "second"
    await fresh.check()
    assert await recall(fresh, "k") == "second"


async def test_a_change_that_came_between_is_found_by_the_poll(
    fresh: Freshness, world: World
) -> None:
    await fresh.read(ACCOUNT, USER, "another worker's")
    await fresh.read(ACCOUNT, USER, "ours")
    world.change("second", rows("another worker's"))
    ours = world.change("second", rows("ours"))
    fresh.observed(ACCOUNT, ours, rows("ours"))
    assert await recall(fresh, "ours") is NOTHING
    assert await recall(fresh, "another worker's") == "first"
    assert await fresh.read(ACCOUNT, USER, "ours") == "second"
    await fresh.check()
    assert await recall(fresh, "ours") == "second"
    assert await fresh.read(ACCOUNT, USER, "another worker's") == "second"
    assert not fresh._accounts[ACCOUNT].seen


async def test_an_old_check_is_made_again_before_anything_is_trusted(
    fresh: Freshness, world: World, clock: SteppedClock
) -> None:
    await fresh.read(ACCOUNT, USER, "k")
    world.change("second")
    clock.seconds += TRUST_SECONDS + 0.01
    assert await fresh.read(ACCOUNT, USER, "k") == "second"


async def test_without_the_database_remembered_values_serve_for_the_grace_only(
    fresh: Freshness, world: World, clock: SteppedClock
) -> None:
    await fresh.read(ACCOUNT, USER, "k")
    world.away = True
    clock.seconds += 59
    assert await fresh.read(ACCOUNT, USER, "k") == "first"
    with pytest.raises(StoreUnavailableError):
        await fresh.read(ACCOUNT, USER, "unknown")
    clock.seconds += 2
    with pytest.raises(StoreUnavailableError):
        await fresh.read(ACCOUNT, USER, "k")
    world.away = False
    assert await fresh.read(ACCOUNT, USER, "k") == "first"
    assert world.loads == 1


async def test_no_one_waits_again_for_a_database_that_did_not_answer(
    fresh: Freshness, world: World, clock: SteppedClock
) -> None:
    await fresh.start()
    assert await fresh.read(ACCOUNT, USER, "name") == "first"
    world.away = True
    clock.seconds += 2 * TRUST_SECONDS
    with pytest.raises(StoreUnavailableError):
        await fresh.check()
    asked = len(world.asked)
    assert await fresh.read(ACCOUNT, USER, "name") == "first"
    with pytest.raises(StoreUnavailableError):
        await fresh.read(ACCOUNT, USER, "another")
    assert len(world.asked) == asked
    world.away = False
    await fresh.check()
    assert await fresh.read(ACCOUNT, USER, "another") == "first"
    await fresh.close()


async def test_what_is_known_to_be_outdated_never_serves(
    fresh: Freshness, world: World, clock: SteppedClock
) -> None:
    """The database went away between the change and the reading of it."""

    async def compute() -> object:
        return f"made of {await fresh.read(ACCOUNT, USER, 'k')}"

    async def compute_other() -> object:
        return f"made of {await fresh.read(ACCOUNT, USER, 'another')}"

    await fresh.read(ACCOUNT, USER, "k")
    assert await fresh.get(ACCOUNT, "made", compute) == "made of first"
    assert await fresh.get(ACCOUNT, "other", compute_other) == "made of first"
    world.change("second")
    world.gate = asyncio.Event()
    await fresh.check()
    world.away = True
    world.gate.set()
    for seconds in (0, 30, 29):
        clock.seconds += seconds
        with pytest.raises(StoreUnavailableError):
            await fresh.read(ACCOUNT, USER, "k")
        with pytest.raises(StoreUnavailableError):
            await fresh.get(ACCOUNT, "made", compute)
        assert await fresh.read(ACCOUNT, USER, "another") == "first"
        assert await fresh.get(ACCOUNT, "other", compute_other) == "made of first"
    world.away = False
    # Once it is back, what is outdated is read again without a caller.
    loads = world.loads
    await fresh.check()
    await until(lambda: world.loads > loads)
    assert await recall(fresh, "k") == "second"
    assert await fresh.get(ACCOUNT, "made", compute) == "made of second"


async def test_a_poll_that_learns_only_that_something_changed_has_failed(
    fresh: Freshness, world: World, clock: SteppedClock, monkeypatch: Any
) -> None:
    await fresh.read(ACCOUNT, USER, "k")
    world.change("second")
    fails = AsyncMock(side_effect=StoreUnavailableError("away"))
    with monkeypatch.context() as patch:
        patch.setattr(world, "changes", fails)
        with pytest.raises(StoreUnavailableError):
            await fresh.check()
        clock.seconds += 59
        assert await recall(fresh, "k") == "first"
        clock.seconds += 2
        with pytest.raises(StoreUnavailableError):
            await fresh.read(ACCOUNT, USER, "k")
    assert await fresh.read(ACCOUNT, USER, "k") == "second"


@pytest.mark.parametrize("missing", ["first", "last", "both"])
async def test_where_it_is_not_known_what_changed_everything_may_have(
    fresh: Freshness, world: World, missing: str
) -> None:
    """An older version notes nothing, and old notes are deleted."""
    await fresh.read(ACCOUNT, USER, "untouched")
    await fresh.read(ACCOUNT, REVOKED, "")
    await fresh.read(OTHER, USER, "untouched")
    first, last = world.change("second"), world.change("second")
    for number in {"first": [first], "last": [last], "both": [first, last]}[missing]:
        del world.rows[number.generation]
    world.gate = asyncio.Event()
    await fresh.check()
    assert await recall(fresh, "untouched") is NOTHING
    assert await recall(fresh, "", reading=REVOKED) is NOTHING
    assert await recall(fresh, "untouched", OTHER) == "first"
    world.gate.set()
    assert await fresh.read(ACCOUNT, USER, "untouched") == "second"


@pytest.mark.parametrize(
    "changed",
    [
        {"users": None},
        {"users": [{"user_id": "k"}]},
        {"users": [{"name_key": "another", "user_id": "x"}, {"user_id": "k"}]},
    ],
)
async def test_a_row_that_does_not_say_which_it_is_may_be_any_of_its_table(
    fresh: Freshness, world: World, changed: dict[str, Any]
) -> None:
    await fresh.read(ACCOUNT, USER, "k")
    await fresh.read(ACCOUNT, ROLE, "k")
    fresh.observed(ACCOUNT, world.change("second"), ChangedRows(changed))
    assert await recall(fresh, "k") is NOTHING
    assert await recall(fresh, "k", reading=ROLE) == "first"


async def test_a_change_of_what_nothing_depends_on_leaves_everything(
    fresh: Freshness, world: World
) -> None:
    async def compute() -> object:
        return await world.load()

    await fresh.get(ACCOUNT, "computed", compute)
    unread = ChangedRows({"mfa_devices": None})
    fresh.observed(ACCOUNT, world.change("second", unread), unread)
    await fresh.check()
    assert await fresh.get(ACCOUNT, "computed", compute) == "first"


async def test_what_is_computed_of_its_key_alone_stays(
    fresh: Freshness, world: World
) -> None:
    for _ in range(2):
        assert await fresh.keep(ACCOUNT, "role", "text", world.load) == "first"
        fresh.observed(ACCOUNT, world.change("second"), rows("k"))
    assert await fresh.keep(ACCOUNT, "role", "another text", world.load) == "second"


async def test_only_what_the_newest_text_came_to_is_kept(
    world: World, clock: SteppedClock
) -> None:
    memory = CacheMemory()
    fresh = remember(world, clock, memory=memory)
    world.value = "x" * 10_000
    await fresh.keep(ACCOUNT, "role", "0", world.load)
    before = memory.bytes
    for number in range(1, 10):
        await fresh.keep(ACCOUNT, "role", f"{number}", world.load)
    assert memory.bytes == before


async def test_what_was_computed_goes_with_the_change_that_outdates_it(
    world: World, clock: SteppedClock
) -> None:
    memory = CacheMemory()
    fresh = remember(world, clock, memory=memory)
    world.value = "x" * 10_000
    for number in range(10):
        await fresh.get(ACCOUNT, f"{number}", world.load)
    assert memory.bytes > 100_000
    fresh.observed(ACCOUNT, world.change("second"), rows("k"))
    assert not memory.bytes


async def test_everything_can_be_forgotten_at_once(
    world: World, clock: SteppedClock
) -> None:
    memory = CacheMemory()
    fresh = remember(world, clock, memory=memory)
    await fresh.read(ACCOUNT, USER, "k")
    await fresh.keep(ACCOUNT, "role", "text", world.load)
    await fresh.get(ACCOUNT, "key", world.load)
    world.gate = asyncio.Event()
    reading = asyncio.create_task(fresh.read(ACCOUNT, USER, "slow"))
    await until(lambda: world.loads == 4)
    fresh.forget_everything()
    assert not memory.bytes
    world.gate.set()
    assert await reading == "first"
    assert await recall(fresh, "slow") is NOTHING
    world.value = "second"
    assert await fresh.read(ACCOUNT, USER, "k") == "second"


async def test_the_memory_is_bounded_and_keeps_what_is_used(
    world: World, clock: SteppedClock
) -> None:
    memory = CacheMemory(200_000)
    fresh = remember(world, clock, memory=memory)
    for number in range(1, 5001):
        account = AccountId(f"{number:012d}")
        world.numbers[account] = 1
        await fresh.read(account, USER, "k")
        assert await fresh.read(ACCOUNT, USER, "hot") == "first"
    assert memory.bytes <= 200_000
    await fresh.check()
    assert world.asked[-1] is not None
    assert len(world.asked[-1]) < 2000
    # Every account is loaded once, the value in use only once.
    assert world.loads == 5001


async def test_what_is_asked_for_by_an_overlong_name_is_not_remembered(
    fresh: Freshness, world: World
) -> None:
    world.value = None
    long = "x" * (KEY_CHARACTERS_MAX + 1)
    for asked in (long, ("provider", long)):
        assert await fresh.read(ACCOUNT, USER, asked) is None
        assert await recall(fresh, asked) is NOTHING
    known = "x" * KEY_CHARACTERS_MAX
    await fresh.read(ACCOUNT, USER, known)
    assert await recall(fresh, known) is None


async def test_accounts_that_never_were_are_forgotten_soon(
    fresh: Freshness, world: World
) -> None:
    """Strangers may name as many as they like, and roles in each."""
    world.value = None
    for number in range(2000):
        account = AccountId(f"{number + 10:012d}")
        for role in range(20 if number % 100 == 0 else 1):
            assert await fresh.read(account, ROLE, f"{role}") is None
    assert await recall(fresh, "0", AccountId("000000002009"), ROLE) is None
    await fresh.check()
    assert world.asked[-1] is not None
    assert len(world.asked[-1]) <= 260
    assert len(fresh._readings.shelves) <= 260
    keys = [key for account in fresh._shelves for key in fresh._readings.keys(account)]
    assert len(keys) <= 8 * 260
    # One that comes to be is known as any other from then on.
    world.numbers[AccountId("000000002009")] = 1
    world.value = "there"  # by a change of which nothing is noted
    await fresh.check()
    account = AccountId("000000002009")
    assert await fresh.read(account, ROLE, "0") == "there"


async def test_what_was_read_before_an_account_was_forgotten_is_not_remembered(
    fresh: Freshness, world: World
) -> None:
    """Nobody watched meanwhile whether the account came to be."""
    account = AccountId("000000000010")
    await fresh.read(account, ROLE, "another")
    loads, world.gate = world.loads, asyncio.Event()
    gate = world.gate
    reading = asyncio.create_task(fresh.read(account, ROLE, "k"))
    await until(lambda: world.loads > loads)
    world.gate = None
    for number in range(300):
        await fresh.read(AccountId(f"{number + 100:012d}"), ROLE, "k")
    world.numbers[account], world.value = 1, "there"
    assert await fresh.read(account, ROLE, "another") == "there"
    gate.set()
    assert await reading == "first"
    assert await fresh.read(account, ROLE, "k") == "there"


async def test_the_background_poll_sees_a_change_and_outlives_an_outage(
    world: World,
) -> None:
    class RealClock(SteppedClock):
        def monotonic(self) -> float:
            return asyncio.get_running_loop().time()

    async def poll() -> None:
        asked = len(world.asked)
        await until(lambda: len(world.asked) > asked)

    fresh = remember(world, RealClock())
    await fresh.start()
    await fresh.read(ACCOUNT, USER, "k")
    world.away = True
    await poll()
    world.change("second")
    world.away = False
    await until(lambda: world.loads == 2)
    assert await recall(fresh, "k") == "second"
    assert fresh.age_seconds < 1
    await fresh.close()


async def test_a_database_that_never_answers_counts_as_away(
    clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(World):
        async def last_changes(
            self, accounts: Collection[AccountId] | None = None
        ) -> Mapping[AccountId, ChangeId]:
            await asyncio.sleep(60)
            return await super().last_changes(accounts)

    monkeypatch.setattr("broker.stores.directory.freshness.TRUST_SECONDS", 0.05)
    fresh = remember(Silent(), clock)
    with pytest.raises(StoreUnavailableError):
        await fresh.read(ACCOUNT, USER, "k")


async def test_a_hit_is_answered_without_giving_way(fresh: Freshness) -> None:
    await fresh.read(ACCOUNT, USER, "k")
    with pytest.raises(StopIteration, match="first"):
        fresh.read(ACCOUNT, USER, "k").send(None)


class SlowDirectory:
    """Answers when it is told to, and tells whether it was cut off."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.answered = False

    async def new_changes(self, _known: object) -> Mapping[AccountId, ChangeId]:
        self.asked.set()
        await self.gate.wait()
        self.answered = True
        return {}

    async def changes(self, since: Mapping[AccountId, int]) -> Mapping[AccountId, Any]:
        assert not since
        return {}


async def test_closing_waits_for_the_read_that_is_on_its_way() -> None:
    directory = SlowDirectory()
    freshness = remember(directory, SteppedClock())
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
    freshness = remember(directory, SteppedClock())
    await freshness.start()
    await directory.asked.wait()
    async with asyncio.timeout(2 * TRUST_SECONDS):
        await freshness.close()
    assert not directory.answered


async def test_a_change_during_a_load_counts_for_what_it_wrote(
    fresh: Freshness, world: World
) -> None:
    world.gate = asyncio.Event()
    loads = [
        asyncio.create_task(fresh.read(ACCOUNT, reading, "k"))
        for reading in (USER, ACCESS_KEY)
    ]
    await until(lambda: world.loads == 2)
    fresh.observed(ACCOUNT, world.change("second"), rows("k"))
    world.gate.set()
    assert await asyncio.gather(*loads) == ["first", "first"]
    assert await recall(fresh, "k", reading=ACCESS_KEY) == "first"
    assert await fresh.read(ACCOUNT, USER, "k") == "second"


async def learn(fresh: Freshness, world: World) -> None:
    """Two values of an account whose last change is the third."""
    world.change("first"), world.change("first")
    await fresh.read(ACCOUNT, USER, "k")
    await fresh.read(OTHER, USER, "k")
    await fresh.check()


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(0, id="behind"),
        pytest.param(1, id="with the same number"),
        pytest.param(2, id="overtaken"),
        pytest.param(9, id="far ahead"),
    ],
)
async def test_a_database_that_lost_a_known_change_ends_all_that_is_known(
    fresh: Freshness, world: World, later: int
) -> None:
    forgotten: list[str] = []
    fresh.on_timeline(lambda: forgotten.append("too"))
    await learn(fresh, world)
    world.go_back(2, "second")
    for _ in range(later):
        world.change("second", rows("another"))
    await fresh.check()
    assert forgotten == ["too"]
    assert fresh.timeline_since is not None
    assert await recall(fresh, "k") is NOTHING
    assert await recall(fresh, "k", OTHER) is NOTHING
    assert await fresh.read(ACCOUNT, USER, "k") == "second"
    await until(lambda: world.announced == 1)
    for _ in range(2):
        world.change("third")
        await fresh.check()
    assert (forgotten, world.announced) == (["too"], 1)
    assert await fresh.read(ACCOUNT, USER, "k") == "third"


async def test_an_account_that_is_no_more_was_lost(
    fresh: Freshness, world: World
) -> None:
    await learn(fresh, world)
    del world.numbers[ACCOUNT]
    await fresh.check()
    assert await recall(fresh, "k", OTHER) is NOTHING


async def test_what_was_seen_is_not_lost(fresh: Freshness, world: World) -> None:
    """Own changes, those of others, and old ones that are listed no more."""
    await learn(fresh, world)
    world.change("second")
    fresh.observed(ACCOUNT, world.change("second"), rows("k"))
    await fresh.check()
    for _ in range(CHANGES_KEPT):
        world.change("second")
    world.rows.clear()
    await fresh.check()
    assert fresh.timeline_since is None
    assert await recall(fresh, "k", OTHER) == "first"
    assert await fresh.read(ACCOUNT, USER, "k") == "second"


async def test_a_change_that_should_be_listed_and_is_not_was_lost(
    fresh: Freshness, world: World
) -> None:
    await learn(fresh, world)
    for _ in range(CHANGES_KEPT - 1):
        world.change("second")
    del world.rows[3]
    await fresh.check()
    assert fresh.timeline_since is not None


async def test_a_change_of_an_earlier_version_has_no_mark(
    fresh: Freshness, world: World
) -> None:
    await learn(fresh, world)
    world.change("second")
    await fresh.check()
    world.marks[4] = 0
    world.change("third")
    await fresh.check()
    assert fresh.timeline_since is None


async def test_an_own_change_that_was_lost_is_missed(
    fresh: Freshness, world: World
) -> None:
    await learn(fresh, world)
    own = world.change("second")
    fresh.observed(ACCOUNT, own, rows("k"))
    assert fresh.last_known(ACCOUNT) == own
    world.go_back(3, "first")
    world.change("third", rows("another"))
    await fresh.check()
    assert await fresh.read(ACCOUNT, USER, "k") == "third"


async def test_what_another_process_missed_ends_all_that_is_known_here(
    fresh: Freshness, world: World
) -> None:
    """Nothing that this one knows was lost."""
    await learn(fresh, world)
    world.timeline = ChangeId(1, 7)
    await fresh.check()
    assert fresh.timeline_since is not None
    assert await recall(fresh, "k") is NOTHING
    await fresh.check()
    assert world.announced == 0


async def test_what_is_being_read_as_the_database_goes_back_is_not_remembered(
    fresh: Freshness, world: World
) -> None:
    await learn(fresh, world)
    world.gate = asyncio.Event()
    reading = asyncio.create_task(fresh.read(ACCOUNT, USER, "late"))
    await until(lambda: world.loads == 3)
    world.go_back(1, "second")
    await fresh.check()
    later = asyncio.create_task(fresh.read(ACCOUNT, USER, "late"))
    await until(lambda: world.loads == 4)  # it does not wait for the one before
    world.gate.set()
    assert await reading == "first"
    assert await later == "second"
    assert await recall(fresh, "late") == "second"


async def test_a_change_of_timeline_is_announced_once_the_database_answers(
    fresh: Freshness, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce = AsyncMock(side_effect=StoreUnavailableError("away"))
    with monkeypatch.context() as patch:
        patch.setattr(world, "announce_timeline", announce)
        await learn(fresh, world)
        world.go_back(1, "second")
        await fresh.check()
        await until(lambda: announce.await_count == 1)
    await asyncio.sleep(0)
    await fresh.check()
    await until(lambda: world.announced == 1)
