"""Change, poll, outage and use, in any order, on two workers and one database.

A worker never serves what it knows to be outdated, nor anything once the grace is over;
what did not change serves for as long as the grace lasts.
"""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from msgspec.structs import replace
from sqlalchemy import delete

from broker.model.account import AccountId, format_access_key_id
from broker.model.entities import InlinePolicy, KeyStatus, PolicyVersion
from broker.model.provisioned import ProvisionedUser
from broker.model.revocation import Revocation
from broker.runtime.bounded import CacheMemory
from broker.stores.database import Database
from broker.stores.directory import freshness, kinds
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.freshness import STALE_SECONDS, TRUST_SECONDS, Freshness
from broker.stores.directory.identities import (
    add_member,
    find_access_key,
    insert_access_key,
    remove_member,
)
from broker.stores.directory.kinds import (
    ACCESS_KEY,
    MANAGED_POLICY,
    PROVISIONED_USER,
    USER,
)
from broker.stores.directory.policies import (
    attach_policy,
    delete_inline_policy,
    detach_policy,
    insert_policy_version,
    put_inline_policy,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.provisioning import update_provisioned_user
from broker.stores.directory.readings import GROUP_IDS, POLICIES_OF, FreshDirectory
from broker.stores.directory.sql import SqlDirectory
from broker.stores.errors import StoreUnavailableError
from broker.stores.schema import CHANGES
from broker.stores.stepped_timeout import SteppedTimeout
from broker.stores.urls import SqliteLocation
from tests.conformance.stores.test_directory import (
    ACCOUNT,
    AT,
    make_account,
    make_key,
    make_policy,
    make_user,
)
from tests.conformance.stores.test_groups import make_group
from tests.support.clocks import SteppedClock
from tests.support.effort import examples
from tests.support.policies import insert_policy
from tests.support.tables import lay_tables_at
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(900)

OTHER = AccountId("000000000009")
GROUP, POLICY = make_group("team"), make_policy("Shared")
PROVIDER = "SAMLSP1"
USERS = [make_user("ann"), make_user("bob")]
KEYS = [
    make_key(format_access_key_id("AKIA", ACCOUNT, number), user.user_id)
    for number, user in enumerate(USERS)
]
PEOPLE = [
    ProvisionedUser(
        account=ACCOUNT,
        provider_id=PROVIDER,
        user_id=f"person-{user.name}",
        user_name=user.name,
        created_at=AT,
        updated_at=AT,
    )
    for user in USERS
]
ATTACHED = f"arn:aws:iam::{ACCOUNT}:policy/Shared"

Read = Callable[[Any], Awaitable[object]]
READINGS: dict[str, Read] = {
    "account": lambda d: d.find(kinds.ACCOUNT, ACCOUNT),
    "revoked": lambda d: d.revocations(ACCOUNT),
    "text": lambda d: d.policy_in_force(ACCOUNT, POLICY.name),
    "policies of group": lambda d: d.read(ACCOUNT, POLICIES_OF, GROUP.group_id),
    "other account": lambda d: d.find(kinds.ACCOUNT, OTHER),
}
for _n in range(len(USERS)):
    READINGS |= {
        f"key {_n}": lambda d, n=_n: find_access_key(d, KEYS[n].access_key_id),  # type: ignore[misc]
        f"user {_n}": lambda d, n=_n: d.find(USER, ACCOUNT, USERS[n].user_id),  # type: ignore[misc]
        f"policies {_n}": lambda d, n=_n: d.read(
            ACCOUNT, POLICIES_OF, USERS[n].user_id
        ),  # type: ignore[misc]
        f"groups {_n}": lambda d, n=_n: d.read(ACCOUNT, GROUP_IDS, USERS[n].user_id),  # type: ignore[misc]
        f"person {_n}": lambda d, n=_n: d.provisioned_person(  # type: ignore[misc]
            ACCOUNT, PROVIDER, "userName", PEOPLE[n].user_name
        ),
    }
for _name in ("ann", "bob", "ann2", "bob2"):
    READINGS[f"name {_name}"] = lambda d, name=_name: d.named(USER, ACCOUNT, name)  # type: ignore[misc]
PARTS = {
    f"computed {n}": (f"policies {n}", f"groups {n}", "policies of group", "text")
    for n in range(len(USERS))
}
"""What is computed, and of which readings."""


class Door:
    """The database as a worker reaches it: not at all, or for polls only."""

    def __init__(self, directory: SqlDirectory) -> None:
        self._directory = directory
        self.polls = self.reads = True

    def __getattr__(self, name: str) -> Any:
        polled = name in {"last_changes", "new_changes", "changes"}
        is_open = self.polls if polled else self.reads
        if not is_open:
            raise StoreUnavailableError("away")
        return getattr(self._directory, name)


class Worker:
    """Its memory, and what the model knows of it."""

    def __init__(self, directory: SqlDirectory, clock: SteppedClock) -> None:
        self.directory = directory
        self.door = Door(directory)
        # Each process has caches of its own, and a lost timeline empties those alone.
        self.memory = Freshness(
            cast("DirectoryReader", self.door), clock, memory=CacheMemory()
        )
        self.memory.on_timeline(self.forgot)
        self.fresh = FreshDirectory(self.memory)
        directory.on_commit(self.memory.observed)
        self.knows: dict[str, int] = defaultdict(int)
        """How many changes of each reading it was told of."""

        self.has: dict[str, int] = {}
        """The number of changes at which it last had each reading."""

        self.must_forget = False
        """Whether the next poll cannot tell what changed."""

        self.forgets_at_most = 0
        """How often it may still find that the database went back."""

    def forgot(self) -> None:
        self.has.clear()
        self.forgets_at_most -= 1
        assert self.forgets_at_most >= 0

    async def read(self, name: str) -> object:
        if name not in PARTS:
            return await READINGS[name](self.fresh)

        async def compute() -> object:
            return tuple([await self.read(part) for part in PARTS[name]])

        return await self.fresh.memo.get(ACCOUNT, name, compute)


class Outdated(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.clock = SteppedClock()
        self.number = 0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    @initialize()
    def set_up(self) -> None:
        self.run(self._set_up())

    async def _set_up(self) -> None:
        # Who is told is not to depend on how busy the machine is.
        patient = patch.object(
            freshness, "SteppedTimeout", lambda _: SteppedTimeout(20)
        )
        self.stack.enter_context(patient)
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        location = SqliteLocation(folder / "broker.db")
        lay_tables_at(location.path)
        self.database = Database(location)
        self.stack.push_async_callback(self.database.close)
        self.truth = FreshTruth(SqlDirectory(self.database, self.clock))
        async with self.truth.directory.change(OTHER) as change:
            await insert_account(change, make_account(OTHER))
        async with self.truth.directory.change(ACCOUNT) as change:
            await insert_account(change, make_account())
            await change.insert(kinds.GROUP, GROUP)
            await insert_policy(change, POLICY)
            for user, key, person in zip(USERS, KEYS, PEOPLE, strict=True):
                await change.insert(USER, user)
                await insert_access_key(change, key)
                await change.insert(PROVISIONED_USER, person)
        self.users, self.keys = [*USERS], [*KEYS]
        self.workers = []
        for _ in range(2):
            directory = SqlDirectory(Database(location), self.clock)
            self.stack.push_async_callback(directory.close)
            worker = Worker(directory, self.clock)
            self.stack.push_async_callback(worker.memory.close)
            self.workers.append(worker)
        self.values = {name: [await self._true(name)] for name in READINGS}

    async def _true(self, name: str) -> object:
        return await READINGS[name](self.truth)

    # What takes something away, or gives it.

    @rule(at=st.integers(0, 2), who=st.integers(0, 1), what=st.sampled_from((
        "switch key", "delete key", "deny", "undeny", "attach", "detach", "join",
        "leave", "deny group", "new version", "rename", "revoke", "deactivate",
    )))  # fmt: skip
    def change(self, at: int, who: int, what: str) -> None:
        """By a worker, or by a command, of which the workers only read."""
        if all(worker.door.reads for worker in self.workers):
            self.run(self._change(at, who, what))

    async def _change(self, at: int, who: int, what: str) -> None:
        by_worker = at < len(self.workers)
        directory = self.workers[at].directory if by_worker else self.truth.directory
        async with directory.change(ACCOUNT) as change:
            names = await self._write(change, who, what)
        changed = set()
        for name in names:
            value = await self._true(name)
            if value != self.values[name][-1]:  # or it wrote no row
                self.values[name].append(value)
                changed.add(name)
        if by_worker:
            self._told(self.workers[at], changed)

    async def _write(  # noqa: PLR0911  # one for each kind of change
        self, change: DirectoryChange, who: int, what: str
    ) -> set[str]:
        """Make a change; the readings that it changes."""
        self.number += 1
        user, key = self.users[who], self.keys[who]
        match what:
            case "switch key":
                other = {KeyStatus.ACTIVE: KeyStatus.INACTIVE}
                status = other.get(key.status, KeyStatus.ACTIVE)
                self.keys[who] = replace(key, status=status)
                await change.update(ACCESS_KEY, self.keys[who])
                return {f"key {who}"}
            case "delete key":
                await change.remove(ACCESS_KEY, key)
                return {f"key {who}"}
            case "deny" | "undeny":
                await self._deny(change, user.user_id, undo=what == "undeny")
                return {f"policies {who}"}
            case "attach" | "detach":
                work = attach_policy if what == "attach" else detach_policy
                await work(change, ACCOUNT, user.user_id, ATTACHED)
                return {f"policies {who}"}
            case "join" | "leave":
                move = add_member if what == "join" else remove_member
                await move(change, ACCOUNT, GROUP.group_id, user.user_id)
                return {f"groups {who}"}
            case "deny group":
                await self._deny(change, GROUP.group_id)
                return {"policies of group"}
            case "new version":
                version = PolicyVersion(
                    version_id=f"v{self.number + 1}",
                    document=f"{self.number}",
                    created_at=AT,
                )
                await insert_policy_version(change, POLICY, version)
                await change.update(
                    MANAGED_POLICY, replace(POLICY, default_version=version)
                )
                return {"text"}
            case "rename":
                name = USERS[who].name
                new = name if user.name != name else f"{name}2"
                bound = f"arn:{self.number}"
                self.users[who] = replace(user, name=new, boundary_arn=bound)
                await change.update(USER, self.users[who])
                return {f"user {who}", f"name {name}", f"name {name}2"}
            case "revoke":
                revocation = Revocation(
                    account=ACCOUNT,
                    target=f"ASIA{self.number}",
                    not_before_ms=None,
                    expires_at=datetime.now(UTC) + timedelta(hours=1),
                )
                await change.revoke(revocation)
                return {"revoked"}
            case _:
                person = replace(PEOPLE[who], active=False, version=self.number + 1)
                await update_provisioned_user(change, person)
                return {f"person {who}"}

    async def _deny(
        self, change: DirectoryChange, owner_id: str, *, undo: bool = False
    ) -> None:
        if undo:
            await delete_inline_policy(change, ACCOUNT, owner_id, "Stop")
        else:
            policy = InlinePolicy(
                account=ACCOUNT,
                owner_id=owner_id,
                name="Stop",
                document=f"{self.number}",
            )
            await put_inline_policy(change, policy)

    @rule()
    def lose_the_notes(self) -> None:
        """As when an older version makes a change."""
        self.run(self._lose_the_notes())

    async def _lose_the_notes(self) -> None:
        async with self.truth.directory.change(ACCOUNT):
            pass
        async with self.database.connection(ACCOUNT) as connection:
            await connection.execute(
                delete(CHANGES).where(CHANGES.c.account == ACCOUNT)
            )
            await connection.commit()
        for worker in self.workers:
            worker.must_forget = True
            # When it sees that itself, and when the other one announces it.
            worker.forgets_at_most += 2

    # The database, and what workers do by themselves.

    @rule(polls=st.booleans(), reads=st.booleans())
    def reach(self, polls: bool, reads: bool) -> None:
        for worker in self.workers:
            worker.door.polls, worker.door.reads = polls or reads, reads

    @rule(seconds=st.sampled_from((0.1, 0.5, 1.1, 20, 61)))
    def wait(self, seconds: float) -> None:
        self.clock.seconds += seconds

    @rule(at=st.integers(0, 1))
    def poll(self, at: int) -> None:
        worker = self.workers[at]
        with suppress(StoreUnavailableError):
            self.run(worker.memory.check())
        if worker.door.polls:
            self._told_all(worker)

    @rule(at=st.integers(0, 1))
    def settle(self, at: int) -> None:
        """Give the worker time to read again."""
        worker = self.workers[at]
        if worker.door.reads:
            self.poll(at)
            self.run(until(lambda: not worker.memory._reading_again))
            worker.has = {name: worker.knows[name] for name in worker.has}

    @rule(at=st.integers(0, 1), name=st.sampled_from((*READINGS, *PARTS)))
    def use(self, at: int, name: str) -> None:
        worker, parts = self.workers[at], PARTS.get(name, (name,))
        if worker.memory.age_seconds > TRUST_SECONDS and worker.door.polls:
            self._told_all(worker)
        knows = {part: worker.knows[part] for part in parts}
        try:
            match = self.run(worker.read(name))
        except StoreUnavailableError:
            assert not worker.door.reads
            in_grace = worker.memory.age_seconds <= STALE_SECONDS
            has_all = all(worker.has.get(part, -1) >= knows[part] for part in parts)
            assert not (in_grace and has_all), name
            return
        assert worker.door.polls or worker.memory.age_seconds <= STALE_SECONDS
        for part, value in zip(
            parts, match if name in PARTS else (match,), strict=True
        ):
            assert value in self.values[part][knows[part] :], part
            worker.has[part] = worker.knows[part]

    @rule(at=st.integers(0, 1))
    def use_everything(self, at: int) -> None:
        for name in (*READINGS, *PARTS):
            self.use(at, name)

    def _told_all(self, worker: Worker) -> None:
        if worker.must_forget:
            # As after a restore: whatever it has read, since the change too.
            worker.must_forget = False
            for values in self.values.values():
                values.append(values[-1])
        self._told(worker, {*self.values})

    def _told(self, worker: Worker, names: set[str]) -> None:
        for name in names:
            worker.knows[name] = len(self.values[name]) - 1


class FreshTruth:
    """What is in the database now, asked as ``FreshDirectory`` is."""

    def __init__(self, directory: SqlDirectory) -> None:
        self.directory = directory

    def __getattr__(self, name: str) -> Any:
        async def read(*params: Any) -> object:
            memory = Freshness(self.directory, SteppedClock(), memory=CacheMemory())
            try:
                return await getattr(FreshDirectory(memory), name)(*params)
            finally:
                await memory.close()

        return read


TestOutdated = Outdated.TestCase
TestOutdated.settings = settings(
    max_examples=examples(30),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
