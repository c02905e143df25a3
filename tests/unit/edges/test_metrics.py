import ipaddress
import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from broker.edges.health import health_routes, metrics_routes
from broker.edges.metrics import Metrics
from broker.runtime.bounded import BoundedCache, CacheMemory
from broker.stores.errors import StoreUnavailableError
from tests.support.rows import cases, rows
from tests.unit.edges.conftest import edge


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = metrics.exposition({"database": True, "cache": False}, {}).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def count(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics).get((name, frozenset(labels.items())), 0.0)


@rows("path, line, status, labels")
def test_requests_are_counted_by_action_or_page_and_outcome(
    path: str, line: dict[str, object], status: int, labels: tuple[str, str]
) -> None:
    metrics = Metrics(("/signin", "/console"))
    for _ in range(3):
        metrics.observe_request(path, line, status, 0.004)
    action, outcome = labels
    assert count(metrics, "broker_requests_total", action=action, outcome=outcome) == 3
    assert count(metrics, "broker_request_seconds_count", action=action) == 3
    assert (
        count(metrics, "broker_request_seconds_bucket", action=action, le="0.005") == 3
    )
    assert (
        count(metrics, "broker_request_seconds_bucket", action=action, le="0.0025") == 0
    )


def test_mints_replays_and_outages_are_counted() -> None:
    metrics = Metrics()
    metrics.observe_ledger("mint", "ok")
    metrics.observe_ledger("mint", "ok")
    metrics.observe_ledger("mint", "replayed")
    name = "broker_ledger_writes_total"
    assert count(metrics, name, operation="mint", outcome="ok") == 2
    assert count(metrics, name, operation="mint", outcome="replayed") == 1


def test_what_the_worker_remembers_is_shown_with_its_bound() -> None:
    memory = CacheMemory(100_000)
    metrics, cache = Metrics(memory=memory), BoundedCache[int, str](memory)
    for number in range(10):
        cache.put("111122223333", number, "x" * 20_000)
    held, bound = "broker_memory_cache_bytes", "broker_memory_cache_bytes_max"
    evictions = "broker_memory_cache_evictions_total"
    assert count(metrics, held) == memory.bytes > 50_000
    assert count(metrics, bound) == 100_000
    assert count(metrics, evictions) == memory.evictions > 0
    cache.put("111122223333", 11, "x" * 20_000)
    assert count(metrics, evictions) == memory.evictions


def test_whether_a_store_answers_is_a_gauge() -> None:
    metrics = Metrics()
    assert count(metrics, "broker_store_up", store="database") == 1
    assert count(metrics, "broker_store_up", store="cache") == 0


def test_strange_names_cannot_grow_without_bound() -> None:
    metrics = Metrics()
    for number in range(3000):
        metrics.observe_request("/", {"action": f"Strange{number}"}, 200, 0.001)
    named = {
        labels for name, labels in samples(metrics) if name == "broker_requests_total"
    }
    assert len(named) <= 2001
    assert len(metrics._named) <= 2001


class Freshness:
    """A directory that is as old as a test says, and answers or not."""

    def __init__(self, age_seconds: float = 0.0, *, answers: bool = True) -> None:
        self.age_seconds = age_seconds
        self.timeline_since: datetime | None = None
        self.answers = answers

    async def check(self) -> None:
        if not self.answers:
            raise StoreUnavailableError


class Cache:
    """A cache that answers or not."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers

    async def ping(self) -> None:
        if not self.answers:
            raise StoreUnavailableError


class Ledger:
    """A ledger that is behind or not."""

    def __init__(self, *, is_behind: bool = False) -> None:
        self.is_behind = is_behind


Client = Callable[..., closing[TestClient]]


async def unasked() -> dict[str, float]:
    return {}


@pytest.fixture
def client() -> Client:
    """A client of the probes behind the edge, from an address of its own."""

    def make(
        freshness: Any = None,
        cache: Any = None,
        ledger: Any = None,
        *,
        peer: str = "127.0.0.1",
        allowed: str = "",
        proxies: tuple[str, ...] = (),
    ) -> closing[TestClient]:
        app = FastAPI()
        stores = (freshness or Freshness(), cache or Cache())
        app.include_router(health_routes(*stores, ledger or Ledger(), stale_seconds=60))
        networks = [ipaddress.ip_network(n) for n in allowed.split()]
        app.include_router(
            metrics_routes(
                Metrics(), *stores, unasked, allowed=networks, stale_seconds=60
            )
        )
        return closing(TestClient(edge(app, (), proxies), client=(peer, 1)))

    return make


def test_ready_says_when_the_database_went_back(client: Client) -> None:
    freshness = Freshness()
    freshness.timeline_since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with client(freshness=freshness) as browser:
        (note,) = json.loads(browser.get("/readyz").content)["notes"]
    assert note.endswith(" 2026-01-02T03:04:05+00:00")


def test_changes_of_timeline_are_counted() -> None:
    metrics = Metrics()
    counter = ("broker_database_timelines_total", frozenset[tuple[str, str]]())
    assert samples(metrics)[counter] == 0
    metrics.observe_timeline()
    assert samples(metrics)[counter] == 1


@pytest.mark.parametrize(
    ("freshness", "cache", "ledger", "status", "answer"),
    [
        (Freshness(), Cache(), Ledger(), 200, ("ready", "ready", "ready", "ready")),
        (Freshness(30), Cache(), Ledger(), 200, ("ready", "ready", "ready", "ready")),
        (
            Freshness(),
            Cache(answers=False),
            Ledger(),
            200,
            ("degraded", "ready", "unavailable", "ready"),
        ),
        (
            Freshness(),
            Cache(),
            Ledger(is_behind=True),
            200,
            ("degraded", "ready", "ready", "unavailable"),
        ),
        (
            Freshness(30, answers=False),
            Cache(),
            Ledger(),
            200,
            ("degraded", "degraded", "ready", "unavailable"),
        ),
        (
            Freshness(61, answers=False),
            Cache(),
            Ledger(is_behind=True),
            503,
            ("unavailable", "unavailable", "ready", "unavailable"),
        ),
    ],
)
def test_ready_means_that_credentials_verify(
    *,
    client: Client,
    freshness: Freshness,
    cache: Cache,
    ledger: Ledger,
    status: int,
    answer: tuple[str, str, str, str],
) -> None:
    with client(freshness, cache, ledger) as asked:
        response = asked.get("/readyz")
    assert response.status_code == status
    overall, database, kept, written = answer
    assert response.json() == {
        "status": overall,
        "components": {"database": database, "cache": kept, "ledger": written},
    }


def test_alive_does_not_ask_the_stores(client: Client) -> None:
    broken = (Freshness(1000, answers=False), Cache(answers=False))
    with client(*broken) as asked:
        assert asked.get("/healthz").json() == {"status": "alive"}


@cases("peer, allowed, headers, status")
def test_only_loopback_and_allowed_peers_read_the_numbers(
    client: Client, peer: str, allowed: str, headers: dict[str, str], status: int
) -> None:
    with client(peer=peer, allowed=allowed) as asked:
        answer = asked.get("/metrics", headers=headers)
    assert answer.status_code == status
    assert ("broker_store_up" in answer.text) is (status == 200)


@pytest.mark.parametrize(("source", "status"), [("198.51.100.1", 403), ("::1", 200)])
def test_a_trusted_proxy_speaks_for_its_client(
    client: Client, source: str, status: int
) -> None:
    with client(proxies=("10.0.0.0/8",), peer="10.0.0.1") as asked:
        answer = asked.get("/metrics", headers={"X-Forwarded-For": source})
    assert answer.status_code == status
