import asyncio
import json
from typing import cast

import pytest
from msgspec import structs

from broker.model.session import Session, SessionPolicies
from broker.model.upstream import UpstreamOrigin
from broker.sessions.record import (
    SessionIndex,
    audit_session,
    describe_session,
    read_audited,
)
from broker.stores.cache.port import Cache, SessionRecord
from broker.stores.errors import StoreUnavailableError

ARN = "arn:aws:sts::123456789012:assumed-role/Deploy/job"


class ShakyCache:
    """A cache that can be taken away, and that can be slow."""

    def __init__(self) -> None:
        self.away = False
        self.slow: asyncio.Event | None = None
        self.kept: list[SessionRecord] = []
        self.asked = 0

    async def put_session(self, record: SessionRecord) -> None:
        self.asked += 1
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise StoreUnavailableError("away")
        self.kept.append(record)


@pytest.fixture
def cache() -> ShakyCache:
    return ShakyCache()


@pytest.fixture
def index(cache: ShakyCache) -> SessionIndex:
    port: Cache = cache  # type: ignore[assignment]  # put_session only
    return SessionIndex(port)


@pytest.fixture
def record(session: Session) -> SessionRecord:
    return describe_session(session, ARN)


async def test_a_healthy_cache_has_the_record_before_the_answer(
    index: SessionIndex, cache: ShakyCache, record: SessionRecord
) -> None:
    await index.put(record)
    assert cache.kept == [record]


async def test_a_cache_that_is_away_fails_no_mint_and_delays_only_the_first(
    index: SessionIndex, cache: ShakyCache, record: SessionRecord
) -> None:
    cache.away = True
    await index.put(record)
    cache.slow = asyncio.Event()
    await asyncio.wait_for(index.put(record), 1)
    assert cache.kept == []
    cache.slow.set()
    await index.settle()


async def test_a_cache_that_is_back_is_waited_for_again(
    index: SessionIndex, cache: ShakyCache, record: SessionRecord
) -> None:
    cache.away = True
    await index.put(record)
    cache.away = False
    await index.put(record)
    await index.settle()
    assert len(cache.kept) == 1
    await index.put(record)
    assert len(cache.kept) == 2


async def test_a_cache_that_is_away_is_reported_once(
    index: SessionIndex,
    cache: ShakyCache,
    record: SessionRecord,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache.away = True
    for _ in range(3):
        await index.put(record)
    await index.settle()
    (message,) = caplog.messages
    assert message.startswith("the session cache is away: ")


async def test_writes_behind_the_answer_are_bounded(
    index: SessionIndex,
    cache: ShakyCache,
    record: SessionRecord,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("broker.sessions.record._PENDING_MAX", 3)
    cache.slow = asyncio.Event()
    for _ in range(10):
        index.put_later(record)
    cache.slow.set()
    await index.settle()
    assert cache.asked == 3


def test_the_audit_description_covers_the_cache_record(
    session: Session, record: SessionRecord
) -> None:
    upstream = UpstreamOrigin(name="aws", endpoint="https://sts.example", ends_by=7)
    assert read_audited(audit_session(record, session)) == record
    record = structs.replace(record, upstream=upstream)
    described = audit_session(record, session)
    assert described.keys() > set(SessionRecord.__struct_fields__) - {"client"}
    assert read_audited(json.loads(json.dumps(described))) == record
    assert described["provider_id"] == session.provider_id
    assert described["transitive_keys"] == ["Team"]


def test_the_policies_of_a_session_are_recorded_within_a_bound(
    session: Session, record: SessionRecord
) -> None:
    bare = structs.replace(session, policies=())
    assert "policies" not in audit_session(record, bare)
    layers = [SessionPolicies(policy=str(n) * 3000, policy_arns=()) for n in range(6)]
    layers.append(SessionPolicies(policy=None, policy_arns=("arn",)))
    narrowed = structs.replace(session, policies=tuple(layers))
    texts = cast("list[str]", audit_session(record, narrowed)["policies"])
    assert [(text[0], len(text)) for text in texts] == [(n, 2048) for n in "5432"]
