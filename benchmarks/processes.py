"""What a running broker uses, as the kernel counts it."""

import os
from pathlib import Path

from tests.support import servers
from tests.support.broker import RunningBroker


def find_workers(broker: RunningBroker) -> list[int]:
    """The processes that serve: the broker's own, or its children's."""
    parent = _parent(broker)
    children = sorted(servers.find_workers(parent))
    return children or [parent]


def cpu_seconds(broker: RunningBroker) -> float:
    """User and system time of all of the broker's processes so far."""
    parent = _parent(broker)
    pids = {parent, *servers.find_children(parent), *servers.find_workers(parent)}
    return sum(map(_ticks, pids)) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Memory of one process, in millions of bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _parent(broker: RunningBroker) -> int:
    if broker.process is None:
        raise RuntimeError("the broker does not run")
    return broker.process.pid


def _ticks(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    user, system = stat.rpartition(") ")[2].split()[11:13]
    return int(user) + int(system)
