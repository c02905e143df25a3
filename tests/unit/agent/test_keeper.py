"""What is kept in memory, renewed and dropped, with an identity set by the test."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker.agent import keeper as module
from broker.agent.broker_api import BrokerAwayError, BrokerRefusedError
from broker.agent.configuration import FileSettings
from broker.agent.credentials import V1, V2, Credentials, Grant
from broker.agent.identity import IdentityEndedError
from broker.agent.keeper import Keeper
from broker.agent.outputs import CredentialsFile
from tests.support.waiting import until

WEB = Grant(
    account="111122223333",
    role_name="web",
    association_id="web",
    poll_seconds=0.02,
    instance_arn="arn:aws:ec2:eu-west-3:111122223333:instance/i-1",
)
DB = replace(WEB, role_name="db", association_id="db")
NONE = replace(WEB, role_name="", association_id="none")


class Told:
    """An identity that does what the test says."""

    def __init__(self) -> None:
        self.grant = WEB
        self.fault: Exception | None = None
        self.refuses = False
        """No credentials; what role there is, is told."""

        self.ended: set[str] = set()
        """Access key IDs that the broker does not accept."""

        self.seconds = 3600.0
        self.made = 0

    def get_grant(self) -> Grant:
        if self.fault is not None:
            raise self.fault
        return self.grant

    def get_credentials(self, delivery: str) -> tuple[Credentials, Grant]:
        if self.fault is not None:
            raise self.fault
        if self.refuses:
            raise BrokerRefusedError("AccessDenied", "no")
        self.made += 1
        now = datetime.now(UTC)
        name = f"{self.grant.role_name}-{delivery}-{self.made}"
        made = Credentials(
            access_key_id=name,
            secret_access_key="secret",
            session_token="token",
            expires_at=now + timedelta(seconds=self.seconds),
            updated_at=now,
        )
        return made, self.grant

    def is_live(self, credentials: Credentials) -> bool:
        if self.fault is not None:
            raise self.fault
        return credentials.access_key_id not in self.ended


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "RETRY_SECONDS_MAX", 0.05)
    return Told()


@asynccontextmanager
async def keeping(
    told: Told, on_change: Callable[[Credentials | None], None] = lambda _: None
) -> AsyncIterator[Keeper]:
    keeper = Keeper(told, lambda: datetime.now(UTC), on_change)
    task = asyncio.create_task(keeper.run())
    yield keeper
    task.cancel()
    keeper.close()
    with pytest.raises(asyncio.CancelledError):
        await task


def key(credentials: Credentials | None) -> str:
    return credentials.access_key_id if credentials is not None else ""


async def test_the_first_request_waits_for_the_first_credentials(told: Told) -> None:
    async with keeping(told) as keeper:
        assert keeper.find() is None
        assert key(await keeper.wait_for()) == "web-2.0-1"
        assert key(keeper.find()) == "web-2.0-1"


async def test_what_was_ended_is_replaced(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.02)
    told.grant = replace(WEB, poll_seconds=0)
    changes: list[str] = []
    async with keeping(
        told, lambda credentials: changes.append(key(credentials))
    ) as keeper:
        first = await keeper.wait_for()
        await asyncio.sleep(0.1)
        assert keeper.find() is first
        told.ended.add(key(first))
        await until(lambda: key(keeper.find()) == "web-2.0-2")
        assert changes == ["web-2.0-1", "", "web-2.0-2"]
        told.refuses = True
        told.ended.add("web-2.0-2")
        await until(lambda: keeper.find() is None)
        await until(lambda: keeper.error != "")


async def test_credentials_of_an_upstream_are_not_known_to_the_broker(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.02)
    told.ended.add("web-2.0-1")
    async with keeping(told) as keeper:
        first = await keeper.wait_for()
        await asyncio.sleep(0.2)
        assert keeper.find() is first


async def test_what_is_ended_is_noticed_within_a_minute(told: Told) -> None:
    assert (1 + module._SPREAD) * module.CHECK_SECONDS < 55
    async with keeping(told) as keeper:
        await keeper.wait_for()
        await until(lambda: keeper._check_at < float("inf"))
        await until(lambda: keeper._check_at > time.monotonic())
        assert keeper._check_at - time.monotonic() < 55


async def test_each_delivery_has_its_own(told: Told) -> None:
    async with keeping(told) as keeper:
        await keeper.wait_for()
        assert keeper.find(V1) is None
        assert key(await keeper.wait_for(V1)).startswith("web-1.0-")
        assert key(keeper.find(V2)) == "web-2.0-1"


async def test_another_delivery_is_got_at_once(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.grant = replace(WEB, poll_seconds=0)  # nothing else wakes it for a minute
    monkeypatch.setattr(module, "_IDLE_SECONDS", 60)
    monkeypatch.setattr(module, "WAIT_SECONDS", 20)
    async with keeping(told) as keeper:
        await keeper.wait_for()
        assert key(await keeper.wait_for(V1)) == "web-1.0-2"


async def test_they_are_renewed_when_half_their_time_is_over(told: Told) -> None:
    told.seconds = 0.4
    async with keeping(told) as keeper:
        first = await keeper.wait_for()
        assert first is not None
        await until(lambda: key(keeper.find()) != key(first))
        assert datetime.now(UTC) < first.expires_at, "before they expire"
        assert keeper.find() is not None


async def test_credentials_that_have_expired_are_no_answer(told: Told) -> None:
    """The broker's clock, or that of a proxy before it, is wrong: no rush of calls."""
    told.seconds = -5
    async with keeping(told) as keeper:
        await until(lambda: "clocks differ" in keeper.error)
        assert keeper._failures, "it waits longer each time"
        assert keeper.find() is None
        told.seconds = 3600
        await until(lambda: keeper.find() is not None)


async def test_what_expired_while_the_machine_slept_is_renewed_when_asked_for(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.grant = replace(WEB, poll_seconds=0)
    monkeypatch.setattr(module, "_IDLE_SECONDS", 60)
    monkeypatch.setattr(module, "WAIT_SECONDS", 20)
    slept = timedelta()
    async with keeping(told) as keeper:
        keeper._now = lambda: datetime.now(UTC) + slept
        await keeper.wait_for()
        await until(lambda: keeper._seconds_left() > 1)
        slept = timedelta(hours=2)
        told.seconds += slept.total_seconds()
        assert keeper.find() is None
        assert key(await keeper.wait_for()) == "web-2.0-2"


async def test_another_role_is_served_at_once_and_the_old_one_never(told: Told) -> None:
    async with keeping(told) as keeper:
        await keeper.wait_for()
        told.grant = DB
        await until(lambda: key(keeper.find()).startswith("db"))
        told.grant = NONE
        await until(lambda: keeper.find() is None)
        assert await keeper.wait_for() is None
        made = told.made
        await asyncio.sleep(0.1)
        assert told.made == made, "nothing is asked for without a role"
        told.grant = WEB
        await until(lambda: key(keeper.find()).startswith("web"))


@pytest.mark.parametrize(
    "fault",
    [
        BrokerAwayError("away"),
        BrokerRefusedError("AccessDenied", "no"),
        RuntimeError("unexpected"),
    ],
)
async def test_they_are_served_through_an_outage_until_they_expire(
    told: Told, fault: Exception
) -> None:
    told.seconds = 0.5
    async with keeping(told) as keeper:
        first = await keeper.wait_for()
        told.fault = fault
        await until(lambda: keeper.error)
        assert key(keeper.find()) == key(first) or told.made > 1
        await until(lambda: keeper.find() is None)
        told.fault = None
        await until(lambda: keeper.find() is not None)
        await until(lambda: not keeper.error)


async def test_the_end_of_an_instance_drops_them_at_once(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping(told) as keeper:
        await keeper.wait_for()
        told.fault = IdentityEndedError("ended")
        await until(lambda: keeper.has_ended)
        assert keeper.find() is None
        assert keeper.grant is None
        # Nobody waits for what will not come.
        monkeypatch.setattr(module, "WAIT_SECONDS", float("inf"))
        assert await keeper.wait_for() is None
        assert await keeper.wait_for_grant() is None
        told.fault = None
        await until(lambda: keeper.find() is not None)
        assert not keeper.has_ended


async def test_another_identity_takes_over(told: Told) -> None:
    other = Told()
    other.grant = DB
    async with keeping(told) as keeper:
        await keeper.wait_for()
        keeper.replace_identity(other)
        await until(lambda: key(keeper.find()).startswith("db"))


async def test_what_another_identity_was_about_to_get_is_not_kept(told: Told) -> None:
    asked, gate = threading.Event(), threading.Event()

    class Slow(Told):
        def get_credentials(self, delivery: str) -> tuple[Credentials, Grant]:
            asked.set()
            assert gate.wait(20)
            return super().get_credentials(delivery)

    rows: list[str] = []
    async with keeping(
        Slow(), lambda credentials: rows.append(key(credentials))
    ) as keeper:
        assert await asyncio.to_thread(asked.wait, 20)
        told.made = 100
        keeper.replace_identity(told)
        gate.set()
        await until(lambda: key(keeper.find()) == "web-2.0-101")
    assert rows == ["web-2.0-101"]


async def test_the_role_that_another_identity_had_is_not_noted(told: Told) -> None:
    asked, gate = threading.Event(), threading.Event()

    class Slow(Told):
        def get_grant(self) -> Grant:
            asked.set()
            assert gate.wait(20)
            return replace(DB, poll_seconds=0)

    slow = Slow()
    slow.refuses = told.refuses = True
    async with keeping(slow) as keeper:
        assert await asyncio.to_thread(asked.wait, 20)
        keeper.replace_identity(told)
        gate.set()
        await until(lambda: keeper.grant == WEB)
        told.grant = NONE
        await until(lambda: keeper.grant == NONE)


async def test_the_file_follows(told: Told, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    file = CredentialsFile(FileSettings(path=path, profile="web"))
    async with keeping(told, file.put) as keeper:
        await keeper.wait_for()
        await until(path.exists)
        assert path.read_text().startswith("[web]\naws_access_key_id = web-2.0-1\n")
        assert path.stat().st_mode & 0o777 == 0o600
        told.grant = NONE
        await until(lambda: not path.exists())
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240  # it is a moment


async def test_a_file_that_cannot_be_written_stops_nothing(
    told: Told, tmp_path: Path
) -> None:
    file = CredentialsFile(FileSettings(path=tmp_path / "no" / "credentials"))
    async with keeping(told, file.put) as keeper:
        assert await keeper.wait_for() is not None
        assert not keeper.error


async def test_a_file_that_could_not_be_written_is_written_later(
    told: Told, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    file = CredentialsFile(FileSettings(path=folder / "credentials"))
    async with keeping(told, file.put) as keeper:
        await keeper.wait_for()
        await until(lambda: caplog.records)
    file.retry()
    assert len(caplog.records) == 1, "the same is said once"
    folder.mkdir()
    file.retry()
    assert "web-2.0-1" in (folder / "credentials").read_text()
    (folder / "credentials").unlink()
    file.retry()
    assert not list(folder.iterdir()), "what succeeded is not done again"


@pytest.mark.parametrize("is_refused", [False, True])
async def test_a_file_of_an_earlier_start_goes_unless_its_role_is_there(
    told: Told, tmp_path: Path, is_refused: bool
) -> None:
    path = tmp_path / "credentials"
    path.write_text("old")
    file = CredentialsFile(FileSettings(path=path))
    told.fault = BrokerAwayError("away")
    async with keeping(told, file.put) as keeper:
        await until(lambda: keeper.error)
        assert path.read_text() == "old", "nobody knows better"
        told.grant, told.refuses = (WEB, True) if is_refused else (NONE, True)
        told.fault = None
        await until(lambda: not path.exists())


def test_machines_do_not_come_at_once() -> None:
    spans = [module._spread(100) for _ in range(50)]
    assert 90 <= min(spans) < 97
    assert 103 < max(spans) <= 110


def test_retries_are_spread_and_bounded() -> None:
    keeper = Keeper(Told(), lambda: datetime.now(UTC))
    delays = [keeper._retry_seconds() for _ in range(50)]
    assert max(delays) <= module.RETRY_SECONDS_MAX
    assert min(delays) > 0
    late = delays[10:]
    assert max(late) - min(late) > module.RETRY_SECONDS_MAX / 4
    keeper.close()
