"""What a second worker costs: the broker's CPU time a request, and memory at rest.

The load comes from the same two cores, so that requests a second say little here.
"""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import requests
from benchmarks.load import Row, Server, find_serving, installed, resident_mb
from tests.scenarios.installation import Installation
from tests.support.broker import Key
from tests.support.storage import STORAGES

WORKERS = (1, 2)
_LIMIT_MB = 150
_MOST_TIMES = 1.15


def run() -> list[Row]:
    """All figures, as label and text."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for storage in STORAGES:
            memory: dict[int, list[float]] = {}
            spent: dict[str, dict[int, float]] = {}
            for workers in WORKERS:
                folder = Path(name) / f"{storage}-{workers}"
                with installed(folder, storage, workers) as (installation, _):
                    memory[workers] = [
                        resident_mb(pid) for pid in find_serving(installation.broker)
                    ]
                    for label, lines in _loads(installation).items():
                        spent.setdefault(label, {})[workers] = _milliseconds(
                            installation, lines
                        )
            for workers, results in memory.items():
                each = ", ".join(f"{mb:.0f}" for mb in results)
                label = f"{storage}: memory at rest, {workers} worker(s)"
                rows.append((label, f"{each} MB (at most {_LIMIT_MB})"))
            for label, by_workers in spent.items():
                entry, two = (by_workers[workers] for workers in WORKERS)
                text = (
                    f"{entry:.3f} ms with one worker, {two:.3f} ms with two:"
                    f" {two / entry:.2f} times (at most {_MOST_TIMES})"
                )
                rows.append((f"{storage}: {label}, CPU a request", text))
    return rows


def _loads(installation: Installation) -> dict[str, Callable[[int], Iterable[str]]]:
    session = Key.of(installation.web_identity()["Credentials"])
    url = installation.broker.url
    return {
        "AssumeRoleWithWebIdentity": lambda count: requests.web_identity(
            installation.issuer.issuer, count
        ),
        "GetCallerIdentity": lambda count: requests.signed(
            url, session, count, Action="GetCallerIdentity"
        ),
    }


def _milliseconds(
    installation: Installation, lines: Callable[[int], Iterable[str]]
) -> float:
    broker = installation.broker
    server = Server.of(broker)
    server.microseconds(lines(2_000), broker.folder)  # every worker is warm then
    return server.microseconds(lines(8_000), broker.folder) / 1000
