"""What the stores do while a server is away, and after."""

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from broker.model.account import AccountId
from broker.model.audit import AuditFilter, AuditRecord
from broker.model.page import PageRequest
from broker.stores.audit_rows import AuditRow, ReplayMark, encode_audit
from broker.stores.cache.port import SessionRecord
from broker.stores.cache.redis import RedisCache
from broker.stores.database import Database
from broker.stores.directory.accounts import list_accounts
from broker.stores.directory.sql import SqlChange, SqlDirectory
from broker.stores.directory.timeline import ChangeId
from broker.stores.errors import (
    OutcomeUnknownError,
    ReplayedError,
    StoreUnavailableError,
)
from broker.stores.ledger import postgresql, postgresql_statements
from broker.stores.ledger.port import Ledger
from broker.stores.ledger.postgresql import PostgresqlLedger
from broker.stores.ledger.sqlite import SqliteLedger
from broker.stores.migrations import migrate
from broker.stores.spool import Spool
from broker.stores.sqlite_writer import SqliteWriter
from broker.stores.urls import (
    PostgresqlLocation,
    SqliteLocation,
    parse_database_url,
    parse_redis_url,
)
from tests.support.servers import (
    PostgresqlServer,
    RedisServer,
    find_postgresql,
    find_redis,
    start_postgresql,
    start_redis,
)
from tests.support.waiting import until

ACCOUNT = AccountId("000000000001")


def make_record(event_id: str) -> AuditRecord:
    now = datetime.now(UTC)
    return AuditRecord(
        event_id=event_id, at=now, account=ACCOUNT, door="api", action="x"
    )


def make_mark(mint_id: str) -> ReplayMark:
    key = hashlib.sha256(mint_id.encode()).digest()
    return ReplayMark(key, mint_id, datetime.now(UTC) + timedelta(hours=1))


async def is_refused(call: Callable[[], Awaitable[object]]) -> None:
    """Nothing ever ends the outage: a call that waits for that hangs."""
    with pytest.raises(StoreUnavailableError):
        await call()


async def recovers(call: Callable[[], Awaitable[object]]) -> None:
    """Trying again for a while succeeds."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(StoreUnavailableError):
                await call()
                return
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def own_postgresql() -> Iterator[PostgresqlServer]:
    """One that may be stopped."""
    if find_postgresql() is None:
        pytest.skip("PostgreSQL is not installed")
    with start_postgresql(fsync=True) as server:
        asyncio.run(migrate(parse_database_url(server.url)))
        yield server


@pytest.fixture
def own_location(own_postgresql: PostgresqlServer) -> PostgresqlLocation:
    location = parse_database_url(own_postgresql.url)
    assert isinstance(location, PostgresqlLocation)
    return location


@pytest.fixture
async def own_ledger(
    own_location: PostgresqlLocation, tmp_path: Path
) -> AsyncIterator[Ledger]:
    ledger = PostgresqlLedger(own_location, Spool(tmp_path))
    await ledger.start()
    yield ledger
    await ledger.close()


@pytest.fixture
async def own_directory(
    own_location: PostgresqlLocation, clock: Any
) -> AsyncIterator[SqlDirectory]:
    directory = SqlDirectory(Database(own_location), clock)
    yield directory
    await directory.close()


async def test_without_postgresql_everything_is_refused_until_it_is_back(
    own_postgresql: PostgresqlServer, own_ledger: Ledger, own_directory: SqlDirectory
) -> None:
    async def change() -> None:
        async with own_directory.change(ACCOUNT):
            pass

    def mint() -> Awaitable[None]:
        return own_ledger.mint(make_record("m1"), make_mark("m1"))

    await own_ledger.mint(make_record("m0"), make_mark("m0"))
    await change()
    own_postgresql.stop()
    await is_refused(mint)
    await is_refused(mint)
    await is_refused(own_directory.last_changes)
    await is_refused(change)
    await is_refused(lambda: own_ledger.find("m0"))
    assert not own_ledger.is_behind
    await own_ledger.append(make_record("read"))
    await until(lambda: own_ledger.is_behind)
    own_postgresql.start()
    await recovers(mint)
    await recovers(own_directory.last_changes)
    await recovers(change)
    with pytest.raises(ReplayedError):
        await own_ledger.mint(
            make_record("m2"),
            ReplayMark(make_mark("m1").key, "m2", make_mark("m1").expires_at),
        )
    await until(lambda: not own_ledger.is_behind)
    assert await own_ledger.find("read") is not None


async def test_only_one_of_many_mints_tries_to_reach_a_database_that_is_away(
    own_postgresql: PostgresqlServer,
    own_ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_postgresql.stop()
    monkeypatch.setattr(postgresql, "_PAUSE_SECONDS", 60)
    await is_refused(lambda: own_ledger.mint(make_record("m3"), make_mark("m3")))
    connect = AsyncMock()
    monkeypatch.setattr(postgresql, "connect_postgresql", connect)
    await is_refused(lambda: own_ledger.mint(make_record("m4"), make_mark("m4")))
    connect.assert_not_called()
    own_postgresql.start()


async def test_a_silent_postgresql_is_given_up_and_nothing_is_written_later(
    own_postgresql: PostgresqlServer, own_ledger: Ledger, own_directory: SqlDirectory
) -> None:
    own_postgresql.freeze()
    try:
        await is_refused(lambda: own_ledger.mint(make_record("f1"), make_mark("f1")))
        await is_refused(lambda: list_accounts(own_directory))
    finally:
        own_postgresql.thaw()
    await recovers(lambda: own_ledger.mint(make_record("f2"), make_mark("f2")))
    # The frozen server may have had the whole statement in its hands: then its record
    # is there, but the proof is good.
    assert await owner_of(own_ledger, "f1") is None
    await own_ledger.mint(make_record("f1-again"), make_mark("f1"))


async def test_a_mint_that_waits_too_long_for_a_lock_never_comes_true(
    own_location: PostgresqlLocation, own_ledger: Ledger
) -> None:
    import asyncpg

    blocker = await asyncpg.connect(own_location.dsn)
    try:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("LOCK TABLE replay_marks IN EXCLUSIVE MODE")
        await is_refused(lambda: own_ledger.mint(make_record("l1"), make_mark("l1")))
        await transaction.rollback()
    finally:
        await blocker.close()
    await asyncio.sleep(0.1)
    assert await own_ledger.find("l1") is None
    await own_ledger.mint(make_record("l1"), make_mark("l1"))


class Line:
    """A line to PostgreSQL that can be cut: at once, or when the next answer comes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._upstream: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[object]] = set()
        self.loses_next_answer = False
        self.lets_in = True

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[PostgresqlLocation]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://broker@127.0.0.1:{port}/postgres"
        location = parse_database_url(url)
        assert isinstance(location, PostgresqlLocation)
        try:
            yield location
        finally:
            server.close()
            for writer in (*self._upstream, *self._writers):
                writer.close()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await server.wait_closed()

    def cut(self) -> None:
        """The client is cut off; the server is not told."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if task := asyncio.current_task():
            self._tasks.add(task)
        if not self.lets_in:
            writer.transport.abort()
            return
        self._writers.append(writer)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._upstream.append(up_writer)
        answers = asyncio.create_task(self._answer(up_reader, writer))
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                up_writer.write(data)
        # The server's side stays open: it works on with what it has.
        with contextlib.suppress(OSError):
            await answers
        up_writer.close()
        writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            if self.loses_next_answer:
                self.loses_next_answer = False
                writer.transport.abort()
            writer.write(data)
        # A driver that says good-bye waits for the server to hang up.
        writer.close()


async def test_a_mint_whose_answer_was_lost_is_looked_up(
    own_postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    """The commit took place, the connection broke: the mint is answered."""
    line = Line(own_postgresql.port)
    async with line.open() as location:
        ledger = PostgresqlLedger(location, Spool(tmp_path))
        await ledger.start()
        await ledger.mint(make_record("p0"), make_mark("p0"))
        line.loses_next_answer = True
        await asyncio.gather(
            ledger.mint(make_record("p1"), make_mark("p1")),
            ledger.mint(make_record("p2"), None),
        )
        assert not line.loses_next_answer
        assert await ledger.find("p1") is not None
        assert await ledger.find("p2") is not None
        await ledger.close()


async def test_a_proof_stays_usable_if_its_mint_was_never_answered(
    own_postgresql: PostgresqlServer, own_ledger: Ledger, tmp_path: Path
) -> None:
    """The commit took place, and then the worker cannot look: a failover, say."""
    line = Line(own_postgresql.port)
    async with line.open() as location:
        ledger = PostgresqlLedger(location, Spool(tmp_path))
        await ledger.start()
        await ledger.mint(make_record("n0"), make_mark("n0"))
        line.loses_next_answer, line.lets_in = True, False
        with pytest.raises(OutcomeUnknownError):
            await ledger.mint(make_record("n1"), make_mark("n1"))
        mark = make_mark("n1")
        again = ReplayMark(mark.key, "n2", mark.expires_at)
        with pytest.raises(ReplayedError):
            await own_ledger.mint(make_record("n2"), again)
        line.lets_in = True
        # Another worker gets the retry; this one gives the proof back by itself.
        async with asyncio.timeout(5):
            while await owner_of(own_ledger, "n1") is not None:  # noqa: ASYNC110  # in the background
                await asyncio.sleep(0.05)
        await own_ledger.mint(make_record("n2"), again)
        # What was spent by then stays spent.
        await ledger.mint(make_record("n3"), make_mark("n3"))
        assert await owner_of(own_ledger, "n1") == "n2"
        await ledger.close()


@pytest.mark.parametrize("what", ["reserve", "release"])
async def test_a_proof_stays_usable_if_its_reservation_was_never_answered(
    own_postgresql: PostgresqlServer, own_ledger: Ledger, tmp_path: Path, what: str
) -> None:
    line, mark = Line(own_postgresql.port), make_mark(what)
    async with line.open() as location:
        ledger = PostgresqlLedger(location, Spool(tmp_path))
        await ledger.start()
        await ledger.reserve(make_mark(f"{what} before"))
        if what == "release":
            await ledger.reserve(mark)
            line.cut()
        line.loses_next_answer, line.lets_in = what == "reserve", False
        with pytest.raises(StoreUnavailableError):
            await (ledger.reserve if what == "reserve" else ledger.release)(mark)
        assert await owner_of(own_ledger, what) is not None
        line.lets_in = True
        async with asyncio.timeout(5):
            while await owner_of(own_ledger, what) is not None:  # noqa: ASYNC110  # in the background
                await asyncio.sleep(0.05)
        assert await owner_of(own_ledger, f"{what} before") is not None
        await ledger.close()


async def test_a_change_that_cannot_be_looked_up_is_said_to_be_unclear(
    own_postgresql: PostgresqlServer, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(own_postgresql.port)
    async with line.open() as location:
        directory = SqlDirectory(Database(location), clock)
        await directory.last_changes()

        note_rows = SqlChange.note_rows

        async def note_and_lose(opened: SqlChange, *params: Any) -> ChangeId:
            change = await note_rows(opened, *params)
            line.loses_next_answer, line.lets_in = True, False
            return change

        async def change() -> None:
            async with directory.change(ACCOUNT) as opened:
                await opened.record(make_record("c1"))

        monkeypatch.setattr(SqlChange, "note_rows", note_and_lose)
        with pytest.raises(OutcomeUnknownError):
            await change()
        await directory.close()


_WAITS_AT_COMMIT = """
CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON audit
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_for_test();
"""
_NO_LONGER_WAITS = "DROP TRIGGER at_commit ON audit; DROP FUNCTION wait_for_test()"
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def test_a_change_whose_commit_still_runs_is_not_said_to_have_failed(
    own_postgresql: PostgresqlServer, own_location: PostgresqlLocation, clock: Any
) -> None:
    """The connection broke while the server committed: whoever looks waits for it."""
    import asyncpg

    line = Line(own_postgresql.port)
    blocker = await asyncpg.connect(own_location.dsn)
    await blocker.execute(_WAITS_AT_COMMIT)
    async with line.open() as location:
        directory = SqlDirectory(Database(location), clock)
        async with directory.change(ACCOUNT) as opened:
            await opened.record(make_record("c2"))
        await blocker.execute("SELECT pg_advisory_lock(4711)")

        async def change() -> None:
            async with directory.change(ACCOUNT) as opened:
                await opened.record(make_record("c3"))

        async def waits(number: int) -> None:
            async with asyncio.timeout(20):
                while not changing.done() and await blocker.fetchval(_WAITING) < number:  # noqa: ASYNC110  # the server tells no one
                    await asyncio.sleep(0.005)

        changing = asyncio.create_task(change())
        try:
            await waits(1)
            line.cut()
            await waits(2)
        finally:
            await blocker.execute("SELECT pg_advisory_unlock(4711)")
            await asyncio.wait([changing])
            await blocker.execute(_NO_LONGER_WAITS)
            await blocker.close()
        await changing
        await directory.close()


@pytest.mark.parametrize("begins_badly", [False, True])
async def test_a_mint_that_was_refused_cannot_come_true_later(
    own_postgresql: PostgresqlServer,
    own_location: PostgresqlLocation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begins_badly: bool,
) -> None:
    """Its connection broke while its statement waited: the statement is ended.

    So it is when the first connection failed before it said which session it is.
    """
    import asyncpg

    line = Line(own_postgresql.port)
    blocker = await asyncpg.connect(own_location.dsn)
    async with line.open() as location:
        ledger = PostgresqlLedger(location, Spool(tmp_path))
        if begins_badly:
            monkeypatch.setattr(postgresql_statements, "WHO_AM_I", "SELECT 1 / 0")
        await ledger.start()
        monkeypatch.undo()
        # A prepared statement arrives whole; a new one would wait before its values.
        ready = make_record(f"ready-{begins_badly}")
        await recovers(lambda: ledger.mint(ready, None))
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute("LOCK TABLE replay_marks IN EXCLUSIVE MODE")
        mint_id = f"q-{begins_badly}"
        minting = asyncio.create_task(
            ledger.mint(make_record(mint_id), make_mark(mint_id))
        )
        await asyncio.sleep(0.2)
        line.cut()
        with pytest.raises(StoreUnavailableError):
            await minting
        await transaction.rollback()
        await blocker.close()
        await asyncio.sleep(0.2)
        assert await ledger.find(mint_id) is None
        await ledger.mint(make_record(mint_id), make_mark(mint_id))
        await ledger.close()


async def test_a_connection_that_was_cut_while_idle_is_not_used_again(
    own_postgresql: PostgresqlServer, clock: Any
) -> None:
    line = Line(own_postgresql.port)
    async with line.open() as location:
        directory = SqlDirectory(Database(location), clock)
        await asyncio.gather(*(directory.last_changes() for _ in range(4)))
        line.cut()
        await asyncio.sleep(0.1)
        await directory.last_changes()
        async with directory.change(ACCOUNT):
            pass
        await directory.close()


async def test_mints_survive_the_death_of_postgresql(
    own_postgresql: PostgresqlServer, own_ledger: Ledger
) -> None:
    async def mint(n: int) -> str | None:
        try:
            await own_ledger.mint(make_record(f"k{n}"), make_mark(f"k{n}"))
        except StoreUnavailableError:
            return None
        return f"k{n}"

    async def kill() -> None:
        await asyncio.sleep(0.05)
        own_postgresql.kill()

    tasks = [asyncio.create_task(mint(n)) for n in range(1000)]
    await kill()
    answered = {name for name in await asyncio.gather(*tasks) if name}
    own_postgresql.start()
    await recovers(lambda: own_ledger.find("x"))
    page = await own_ledger.search(AuditFilter(), PageRequest(limit=5000))
    recorded = {r.event_id for r in page.items if r.event_id.startswith("k")}
    assert answered <= recorded
    for n in range(0, 1000, 50):
        owner = await owner_of(own_ledger, f"k{n}")
        assert (owner is not None) == (f"k{n}" in recorded)


class HeldSpool(Spool):
    """Is read only when the test says so."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_read = threading.Event()
        self.go_on = threading.Event()

    def rows(self) -> list[AuditRow]:
        self.is_read.set()
        assert self.go_on.wait(20)
        return super().rows()


@pytest.mark.parametrize("stops", [False, True])
async def test_a_mint_that_comes_while_the_spool_is_emptied_is_written(
    own_location: PostgresqlLocation, tmp_path: Path, stops: bool
) -> None:
    spool = HeldSpool(tmp_path)
    spool.put([encode_audit(make_record(f"spooled-{stops}"))])
    ledger = PostgresqlLedger(own_location, spool)
    await ledger.start()
    await asyncio.to_thread(spool.is_read.wait, 20)
    mint_id = f"late-{stops}"
    under_way = [
        asyncio.create_task(ledger.mint(make_record(mint_id), make_mark(mint_id)))
    ]
    await asyncio.sleep(0)
    if stops:
        under_way.append(asyncio.create_task(ledger.close()))
        await asyncio.sleep(0)
    spool.go_on.set()
    async with asyncio.timeout(20):
        await asyncio.gather(*under_way)
    await ledger.close()


async def is_emptied(spool: Spool) -> None:
    await until(lambda: spool.is_empty)


class SteppedLedger(PostgresqlLedger):
    """Does something after each portion of the spool that it inserts."""

    def __init__(
        self,
        location: PostgresqlLocation,
        spool: Spool,
        step: Callable[[int], Awaitable[None]],
    ) -> None:
        super().__init__(location, spool)
        self.step = step
        self.portions: list[int] = []

    async def _insert(self, rows: list[AuditRow]) -> list[AuditRow]:
        refused = await super()._insert(rows)
        self.portions.append(len(rows))
        await self.step(len(self.portions))
        return refused


async def test_mints_go_in_between_while_a_long_outages_records_are_written(
    own_location: PostgresqlLocation, tmp_path: Path
) -> None:
    minting: list[asyncio.Task[None]] = []
    minted_at: list[int] = []

    async def step(number: int) -> None:
        if number == 1:
            minting.append(asyncio.create_task(ledger.mint(make_record("in"), None)))
            minting[0].add_done_callback(
                lambda _: minted_at.append(len(ledger.portions))
            )
        await asyncio.sleep(0)

    spool = Spool(tmp_path)
    spool.put([encode_audit(make_record(f"long-{n}")) for n in range(300)])
    ledger = SteppedLedger(own_location, spool, step)
    await ledger.start()
    await is_emptied(spool)
    await ledger.close()
    assert ledger.portions == [128, 128, 44]
    assert minted_at == [1]


async def test_a_record_refused_while_the_spool_is_emptied_is_not_lost(
    own_location: PostgresqlLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away for a moment only: the spool's own records get through."""

    async def refuse(_mints: object, rows: list[AuditRow]) -> bool:
        monkeypatch.undo()
        await ledger._keep(rows)
        return False

    async def step(number: int) -> None:
        if number == 1:
            await ledger.append(make_record("again-300"))
            monkeypatch.setattr(ledger, "_write", refuse)

    spool = Spool(tmp_path)
    spool.put([encode_audit(make_record(f"again-{n}")) for n in range(300)])
    ledger = SteppedLedger(own_location, spool, step)
    await ledger.start()
    await is_emptied(spool)
    page = await ledger.search(AuditFilter(), PageRequest(limit=5000))
    results = [r.event_id for r in page.items if r.event_id.startswith("again-")]
    assert sorted(results) == sorted(f"again-{n}" for n in range(301))
    await ledger.close()


async def test_mints_that_always_come_do_not_keep_the_spool_full(
    own_location: PostgresqlLocation, tmp_path: Path
) -> None:
    emptied = False

    async def mint() -> None:
        while not emptied:
            await ledger.mint(make_record("steady"), None)

    # More than a statement holds: some always wait.
    spool = Spool(tmp_path)
    ledger = PostgresqlLedger(own_location, spool)
    await ledger.start()
    async with asyncio.TaskGroup() as minters:
        for _ in range(300):
            minters.create_task(mint())
        await asyncio.sleep(0.1)
        spool.put([encode_audit(make_record("overtaken"))])
        try:
            await is_emptied(spool)
        finally:
            emptied = True
    assert await ledger.find("overtaken") is not None
    await ledger.close()


async def test_an_unreadable_spool_does_not_stop_a_mint(
    own_location: PostgresqlLocation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Unreadable(Spool):
        def rows(self) -> list[AuditRow]:
            raise OSError(errno.EIO, "Input/output error")

    spool = Unreadable(tmp_path)
    spool.put([encode_audit(make_record("unread"))])
    ledger = PostgresqlLedger(own_location, spool)
    await ledger.start()
    async with asyncio.timeout(20):
        await ledger.mint(make_record("r1"), None)
        await ledger.mint(make_record("r2"), None)
        await ledger.close()
    assert "cannot empty the audit spool" in caplog.text


async def test_closing_during_an_outage_keeps_every_record(tmp_path: Path) -> None:
    nowhere = parse_database_url("postgresql://broker@127.0.0.1:1/postgres")
    assert isinstance(nowhere, PostgresqlLocation)
    ledger = PostgresqlLedger(nowhere, Spool(tmp_path))
    await ledger.start()
    for n in range(300):
        await ledger.append(make_record(f"{n}"))
    await ledger.close()
    spool = Spool(tmp_path)
    spool.adopt()
    assert len(spool.rows()) == 300
    spool.close()


async def owner_of(ledger: Ledger, mint_id: str) -> str | None:
    assert isinstance(ledger, PostgresqlLedger)
    async with ledger._reads() as connection:
        text: str | None = await connection.fetchval(
            "SELECT mint_id FROM replay_marks WHERE key = $1", make_mark(mint_id).key
        )
    return text


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """One that may be stopped."""
    if find_redis() is None:
        pytest.skip("redis-server is not installed")
    with start_redis() as server:
        yield server


@pytest.fixture
async def redis_cache(own_redis: RedisServer) -> AsyncIterator[RedisCache]:
    from broker.runtime.clock import SystemClock

    cache = RedisCache(
        parse_redis_url(own_redis.url), prefix="test", clock=SystemClock()
    )
    await cache.start()
    yield cache
    await cache.close()


def make_session(key_id: str) -> SessionRecord:
    now = int(time.time())
    return SessionRecord(
        access_key_id=key_id,
        account=ACCOUNT,
        kind="AssumeRole",
        principal_arn="arn",
        principal_id="id",
        issued_at_ms=now * 1000,
        expires_at=now + 600,
    )


async def test_without_redis_every_call_is_refused_until_it_is_back(
    own_redis: RedisServer, redis_cache: RedisCache
) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    calls: list[Callable[[], Awaitable[object]]] = [
        redis_cache.ping,
        lambda: redis_cache.put_session(make_session("ASIA1")),
        lambda: redis_cache.find_session("ASIA1"),
        lambda: redis_cache.drop_session("ASIA1"),
        lambda: redis_cache.list_sessions(ACCOUNT, PageRequest()),
        lambda: redis_cache.put("a", b"k", b"v", expires_at=soon),
        lambda: redis_cache.get("a", b"k"),
        lambda: redis_cache.take("a", b"k"),
        lambda: redis_cache.drop("a", b"k"),
        lambda: redis_cache.add("a", b"k", b"v", expires_at=soon),
        lambda: redis_cache.hit("a", b"k"),
    ]
    for call in calls:
        await call()
    own_redis.kill()
    for call in calls:
        await is_refused(call)
    own_redis.start()
    await recovers(redis_cache.ping)
    for call in calls:
        await call()


async def test_a_redis_that_came_back_meanwhile_refuses_no_call(
    own_redis: RedisServer, redis_cache: RedisCache
) -> None:
    """Connections that it closed while nobody used them are not used again."""

    async def calls() -> None:
        # Each takes a connection of its own.
        await asyncio.gather(*(redis_cache.get("a", bytes([n])) for n in range(8)))
        await redis_cache.list_sessions(ACCOUNT, PageRequest())

    for _ in range(3):
        await calls()
    await asyncio.to_thread(own_redis.restart)
    for _ in range(3):
        await calls()


async def test_a_redis_that_refuses_says_why(own_redis: RedisServer) -> None:
    from broker.runtime.clock import SystemClock

    wrong = own_redis.url.removesuffix("/0") + "/99999"
    cache = RedisCache(parse_redis_url(wrong), prefix="test", clock=SystemClock())
    await cache.start()
    with pytest.raises(StoreUnavailableError, match="DB index is out of range"):
        await cache.ping()
    await cache.close()


async def test_a_silent_redis_is_given_up(
    own_redis: RedisServer, redis_cache: RedisCache
) -> None:
    own_redis.freeze()
    try:
        await is_refused(redis_cache.ping)
        results = await asyncio.gather(
            *(redis_cache.put_session(make_session(f"ASIA{n}")) for n in range(100)),
            return_exceptions=True,
        )
        assert all(isinstance(r, StoreUnavailableError) for r in results)
    finally:
        own_redis.thaw()
    await recovers(redis_cache.ping)
    # No answer of the time before is taken for one of now.
    await redis_cache.put("a", b"k", b"v", expires_at=datetime(2100, 1, 1, tzinfo=UTC))
    assert await redis_cache.get("a", b"k") == b"v"


async def test_after_an_error_no_answer_is_taken_for_another(
    own_redis: RedisServer, redis_cache: RedisCache
) -> None:
    record = make_session("ASIA1")
    await redis_cache.put_session(record)
    for key in re.findall(rb"test\S+", own_redis.command("KEYS", "*")):
        if b"+zset" in own_redis.command("TYPE", key.decode()):
            own_redis.command("SET", key.decode(), "nonsense")
    with pytest.raises(StoreUnavailableError):
        await redis_cache.put_session(record)
    await asyncio.sleep(0.15)
    assert await redis_cache.get("a", b"absent") is None
    assert await redis_cache.find_session("ASIA1") == record


async def test_an_emptied_redis_is_an_empty_cache(
    own_redis: RedisServer, redis_cache: RedisCache
) -> None:
    await redis_cache.put_session(make_session("ASIA1"))
    own_redis.command("FLUSHALL")
    assert await redis_cache.find_session("ASIA1") is None
    assert (await redis_cache.list_sessions(ACCOUNT, PageRequest())).items == ()
    await redis_cache.put_session(make_session("ASIA1"))
    page = await redis_cache.list_sessions(ACCOUNT, PageRequest())
    assert len(page.items) == 1


async def test_every_key_in_redis_expires_by_itself(
    own_redis: RedisServer, redis_cache: RedisCache
) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    await redis_cache.put_session(make_session("ASIA1"))
    await redis_cache.put("a", b"k", b"v", expires_at=soon)
    await redis_cache.add("a", b"l", b"v", expires_at=soon)
    await redis_cache.hit("a", b"k")
    said = own_redis.command("INFO", "keyspace").decode()
    assert "keys=5,expires=5" in said


async def test_a_locked_sqlite_refuses_mints_and_spools_the_rest(
    sqlite_location: SqliteLocation, tmp_path: Path
) -> None:
    spool = Spool(tmp_path)
    writer = SqliteWriter(sqlite_location.path, spool, busy_seconds=0.05)
    ledger = SqliteLedger(sqlite_location.path, writer)
    await ledger.start()
    blocker = sqlite3.connect(sqlite_location.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    await is_refused(lambda: ledger.mint(make_record("1"), make_mark("1")))
    await ledger.append(make_record("2"))
    await until(lambda: not spool.is_empty)
    assert ledger.is_behind
    blocker.execute("ROLLBACK")
    blocker.close()
    await ledger.mint(make_record("1"), make_mark("1"))
    await until(lambda: not ledger.is_behind)
    assert spool.is_empty
    assert await ledger.find("2") is not None
    await ledger.close()
    await asyncio.to_thread(lambda: [p.unlink() for p in tmp_path.glob("broker.db*")])
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


_MINTER = """
import asyncio, sys
from pathlib import Path
from tests.conformance.stores.test_outages import make_record, make_mark
from broker.stores.errors import ReplayedError
from broker.stores.audit_rows import AuditRow, encode_audit
from broker.stores.spool import Spool
from broker.stores.ledger.sqlite import SqliteLedger
from broker.stores.sqlite_writer import SqliteWriter

async def main(path, name, count):
    ledger = SqliteLedger(path, SqliteWriter(path, Spool(path.parent)))
    await ledger.start()
    print("ready", flush=True)
    sys.stdin.readline()

    async def mint(n):
        mark = make_mark(str(n))
        record = make_record(f"{name}{n}")
        mark = type(mark)(mark.key, record.event_id, mark.expires_at)
        try:
            await ledger.mint(record, mark)
        except ReplayedError:
            return
        print(record.event_id, flush=True)

    for start in range(0, count, 8):
        await asyncio.gather(*(mint(n) for n in range(start, start + 8)))
    await ledger.close()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
"""


def start_minter(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", _MINTER, str(path), name, str(count)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def read_sqlite(path: Path) -> tuple[set[str], list[str]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        marks = {
            row[0] for row in connection.execute("SELECT mint_id FROM replay_marks")
        }
        events = [row[0] for row in connection.execute("SELECT event_id FROM audit")]
    return marks, events


async def test_a_killed_minter_leaves_marks_and_records_together_or_neither(
    sqlite_location: SqliteLocation,
) -> None:
    for turn in range(3):
        process = start_minter(sqlite_location.path, f"{turn}-", 1_000_000)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        answered = [process.stdout.readline().strip() for _ in range(50 * (turn + 1))]
        process.send_signal(signal.SIGKILL)
        answered += process.stdout.read().split("\n")[:-1]
        process.wait()
        process.stdin.close()
        process.stdout.close()
        marks, events = read_sqlite(sqlite_location.path)
        assert marks == set(events)
        assert len(events) == len(set(events))
        assert set(answered) <= marks


async def test_of_two_processes_that_spend_the_same_proofs_one_wins_each(
    sqlite_location: SqliteLocation,
) -> None:
    count = 400
    processes = [start_minter(sqlite_location.path, name, count) for name in ("a", "b")]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [await asyncio.to_thread(process.communicate) for process in processes]
    won = [set(output.split()) for output, _ in said]
    numbers = sorted(int(name[1:]) for name in won[0] | won[1])
    assert numbers == list(range(count))
    marks, events = read_sqlite(sqlite_location.path)
    assert marks == set(events) == won[0] | won[1]
