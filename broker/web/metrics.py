"""What Prometheus reads: counts and durations, without any account, ARN or issuer.

Children are looked up in a dictionary of our own, since every request counts. Several
workers share their numbers through files when ``PROMETHEUS_MULTIPROC_DIR`` is set
before this module is loaded, as `broker serve` does.
"""

import os
from collections.abc import Collection, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

_SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the folder which the workers share."""

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_OTHER = "other"
_CHILDREN_MAX = 2000
_FAILED = 400


class Metrics:
    """One worker's numbers. ``pages`` are the first path segments that count alone."""

    def __init__(self, pages: Collection[str] = ()) -> None:
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
        self._requests_of: dict[tuple[str, str], Counter] = {}
        self._seconds_of: dict[str, Histogram] = {}
        self._ledger_of: dict[tuple[str, str], Counter] = {}
        self._decisions_of: dict[str, Counter] = {}

    def observe_request(
        self, path: str, line: Mapping[str, object], status: int, seconds: float
    ) -> None:
        """Count one request by what its log line says."""
        action = line.get("action") or self._name(path)
        outcome = line.get("error_code") or (str(status) if status >= _FAILED else "ok")
        key = (str(action), str(outcome))
        counter = self._requests_of.get(key)
        if counter is None:
            if len(self._requests_of) >= _CHILDREN_MAX:
                key = (_OTHER, _OTHER)
            counter = self._requests_of[key] = self._requests.labels(*key)
        counter.inc()
        histogram = self._seconds_of.get(key[0])
        if histogram is None:
            histogram = self._seconds_of[key[0]] = self._seconds.labels(key[0])
        histogram.observe(seconds)

    def observe_ledger(self, operation: str, outcome: str) -> None:
        """Count one write of the ledger."""
        key = (operation, outcome)
        counter = self._ledger_of.get(key)
        if counter is None:
            counter = self._ledger_of[key] = self._ledger.labels(*key)
        counter.inc()

    def observe_decision(self, outcome: str) -> None:
        """Count one decision for a registered service."""
        counter = self._decisions_of.get(outcome)
        if counter is None:
            counter = self._decisions.labels(str(outcome))
            self._decisions_of[outcome] = counter
        counter.inc()

    def exposition(self, stores_up: Mapping[str, bool]) -> bytes:
        """All workers' numbers in Prometheus' text format, and which stores answer."""
        registry = self._registry
        if folder := shared_folder():
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call] # prometheus-client's own
        now = CollectorRegistry()
        now.register(_StoresUp(stores_up))
        return generate_latest(registry) + generate_latest(now)

    def _name(self, path: str) -> str:
        return self._pages.get(f"/{path[1:].partition('/')[0]}", _OTHER)


class _StoresUp(Collector):
    """A gauge computed at scrape time."""

    def __init__(self, stores_up: Mapping[str, bool]) -> None:
        self._stores_up = stores_up

    def collect(self) -> list[GaugeMetricFamily]:
        gauge = GaugeMetricFamily(
            "broker_store_up", "Whether a store answers this worker.", labels=["store"]
        )
        for store, up in self._stores_up.items():
            gauge.add_metric([store], float(up))
        return [gauge]


def shared_folder() -> str:
    """The folder that the workers share; empty for a worker that is alone."""
    return os.environ.get(_SHARED_FOLDER, "")
