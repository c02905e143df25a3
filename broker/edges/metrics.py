"""What Prometheus reads: counts and durations, without any account, ARN or issuer.

A worker counts in plain numbers; prometheus-client has them once a second, and when they
are read. Several workers share them through files when ``PROMETHEUS_MULTIPROC_DIR`` is
set before this module is loaded, as `broker serve` does.
"""

import asyncio
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from broker.runtime.bounded import CACHES, CacheMemory
from broker.runtime.offload import begin

_SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the folder which the workers share."""

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_FLUSH_SECONDS = 1.0
_OTHER = "other"
_CHILDREN_MAX = 2000
_FAILED = 400


class Metrics:
    """One worker's numbers. ``pages`` are the first path segments that count alone."""

    def __init__(
        self, pages: Collection[str] = (), memory: CacheMemory = CACHES
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # prometheus-client's own
        self._pages = {page: page.strip("/") for page in pages}
        self._registry = CollectorRegistry()
        if not shared_folder():
            ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "broker_requests",
            "Requests by action (or page) and outcome: ok, an error code or a status.",
            ("action", "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "broker_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("action",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._ledger = Counter(
            "broker_ledger_writes",
            "Mints and audit records: ok, replayed (a mint) or unavailable.",
            ("operation", "outcome"),
            registry=self._registry,
        )
        self._decisions = Counter(
            "broker_decisions",
            "Decisions for registered services: allowed, denied or refused.",
            ("outcome",),
            registry=self._registry,
        )
        self._timelines = Counter(
            "broker_database_timelines",
            "How often the database lacked changes that it had.",
            registry=self._registry,
        )
        self._memory = memory
        self._evictions = 0
        """Those that were counted."""
        self._held = Gauge(
            "broker_memory_cache_bytes",
            "Bytes that the workers remember.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._bound = Gauge(
            "broker_memory_cache_bytes_max",
            "Bytes that the workers may remember: 3/4 of BROKER_CACHE_MB for each.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._evicted = Counter(
            "broker_memory_cache_evictions",
            "Entries that were given up for others.",
            registry=self._registry,
        )
        self._named: set[tuple[str, str]] = set()
        self._seen: dict[tuple[str, str], list[float]] = {}
        """Since the last flush: how many a bucket, and the seconds of all."""
        self._counted: dict[tuple[Counter, tuple[str, ...]], int] = defaultdict(int)

    def observe_request(
        self, path: str, line: Mapping[str, object], status: int, seconds: float
    ) -> None:
        """Count one request by what its log line says."""
        action = line.get("action") or self._pages.get(
            f"/{path[1:].partition('/')[0]}", _OTHER
        )
        outcome = line.get("error_code") or (str(status) if status >= _FAILED else "ok")
        seen = self._seen.get((action, outcome))  # type: ignore[arg-type] # texts
        if seen is None:
            seen = self._begin((str(action), str(outcome)))
        seen[bisect_left(_BUCKETS, seconds)] += 1
        seen[-1] += seconds

    def observe_ledger(self, operation: str, outcome: str) -> None:
        """Count one write of the ledger."""
        self._counted[self._ledger, (operation, outcome)] += 1

    def observe_decision(self, outcome: str) -> None:
        """Count one decision for a registered service."""
        self._counted[self._decisions, (outcome,)] += 1

    def observe_timeline(self) -> None:
        """Count that the database went back."""
        self._counted[self._timelines, ()] += 1

    def _begin(self, key: tuple[str, str]) -> list[float]:
        if len(self._named) >= _CHILDREN_MAX and key not in self._named:
            key = (_OTHER, _OTHER)
        self._named.add(key)
        return self._seen.setdefault(key, [0] * (len(_BUCKETS) + 2))

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """While the block runs, let the other workers know every second."""
        _forget_dead_workers()
        task = begin(self._flush_often())
        yield
        task.cancel()
        self._flush()

    async def _flush_often(self) -> None:
        while True:
            self._flush()
            await asyncio.sleep(_FLUSH_SECONDS)

    def _flush(self) -> None:
        self._held.set(self._memory.bytes)
        self._bound.set(self._memory.bytes_max)
        evictions = self._memory.evictions
        self._evicted.inc(evictions - self._evictions)
        self._evictions = evictions
        for (counter, labels), number in self._counted.items():
            (counter.labels(*labels) if labels else counter).inc(number)
        for (action, outcome), (*buckets, seconds) in self._seen.items():
            self._requests.labels(action, outcome).inc(sum(buckets))
            histogram = self._seconds.labels(action)
            # Its `observe` takes one at a time.
            histogram._sum.inc(seconds)  # noqa: SLF001
            for bucket, times in zip(histogram._buckets, buckets, strict=True):  # noqa: SLF001
                bucket.inc(times)
        self._counted.clear()
        self._seen.clear()

    def exposition(
        self, stores_up: Mapping[str, bool], unasked: Mapping[str, float]
    ) -> bytes:
        """All workers' numbers in Prometheus' text format, and which stores answer.

        ``unasked`` are the seconds for which providers could not be asked who has left.
        """
        self._flush()
        registry = self._registry
        if folder := shared_folder():
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call] # prometheus-client's own
        now = CollectorRegistry()
        now.register(_Now(stores_up, unasked))
        return generate_latest(registry) + generate_latest(now)


def _forget_dead_workers() -> None:
    """What a worker held that was killed is held no longer."""
    for path in Path(shared_folder()).glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call] # prometheus-client's own


class _Now(Collector):
    def __init__(
        self, stores_up: Mapping[str, bool], unasked: Mapping[str, float]
    ) -> None:
        self._stores_up = stores_up
        self._unasked = unasked

    def collect(self) -> list[GaugeMetricFamily]:
        up = GaugeMetricFamily(
            "broker_store_up", "Whether a store answers this worker.", labels=["store"]
        )
        for store, is_up in self._stores_up.items():
            up.add_metric([store], float(is_up))
        unasked = GaugeMetricFamily(
            "broker_leavers_unasked_seconds",
            "For how long a provider could not be asked who has left.",
            labels=["provider"],
        )
        for provider, seconds in self._unasked.items():
            unasked.add_metric([provider], seconds)
        return [up, unasked]


def shared_folder() -> str:
    """The folder that the workers share; empty for a worker that is alone."""
    return os.environ.get(_SHARED_FOLDER, "")
