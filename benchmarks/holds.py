"""How long one request keeps a worker from serving anybody else.

Every axis of `tests.support.axes` grows until it is refused or is as large as it can
be; the figure is the longest that the event loop was held by one callback, in time of
its processor. ``python -m benchmarks.holds`` prints each axis.
"""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import structlog

from tests.scenarios.installation import Installation
from tests.support.axes import AXES, World, grow, narrow_session
from tests.support.oidc_issuer import serving
from tests.support.watched import Watch, WatchedBroker

Row = tuple[str, str]

GOAL_MS = 50


def run() -> Iterator[Row]:
    """The worst of all axes."""
    results = sorted(measure(), reverse=True)
    for milliseconds, label in results[:3]:
        yield f"holds: {label}", f"{milliseconds:.1f} ms (goal: {GOAL_MS} ms)"


def measure() -> Iterator[tuple[float, str]]:
    """The milliseconds of every axis, with the size that took them."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )
    watch = Watch(counts_units=False)
    with tempfile.TemporaryDirectory() as name, serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        broker = WatchedBroker(Path(name), watch, internal_issuers=internal)
        with broker.running():
            installation = Installation(broker, issuer)  # type: ignore[arg-type]  # it has all that this asks for
            world = World(installation, narrow_session(installation))
            for axis in AXES:
                worst = (0.0, axis.name)
                for size in grow(axis):
                    request = axis.make(world, size)
                    watch.reset()
                    world.try_out(request)
                    worst = max(worst, (watch.seconds * 1e3, f"{axis.name}, {size}"))
                yield worst


if __name__ == "__main__":
    for milliseconds, label in measure():
        print(f"{milliseconds:8.1f} ms  {label}")
