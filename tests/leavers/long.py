"""The whole table, by the programs themselves, and what is sampled with two nodes."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from broker.cli.terminal import say
from tests.leavers import page
from tests.leavers.cells import find_faults
from tests.leavers.table import Cells, fill
from tests.leavers.ways import PROMISE_SECONDS, WAYS, Way
from tests.leavers.world import World, running

BOUND = 5
"""Times the promise: then a cell counts as alive."""


def run(text: str) -> list[str]:
    """Fill the rows whose names contain a text; all of them go to the page.

    Returns what is not as it must be, in words.
    """
    ways = [way for way in WAYS.values() if text in way.name]
    rows: dict[str, Cells] = {}
    faults: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as world:
        faults += _fill(world, [way for way in ways if not way.needs], rows)
        world.restart()
    faults += find_faults(rows)
    if text:
        for way, cells in rows.items():
            say(f"{way}: {cells}")
    else:
        page.write(rows, _notes(rows, time.monotonic() - began))
    return faults


def _fill(world: World, ways: Sequence[Way], rows: dict[str, Cells]) -> list[str]:
    world.lay_out({way.name: (way.origin, way.options) for way in ways})
    world.settle()
    filled = fill(world, ways, BOUND)
    rows.update(filled.cells)
    return filled.failures


def _notes(rows: dict[str, Cells], seconds: float) -> list[str]:
    told = [
        seconds
        for way, cells in rows.items()
        for seconds in cells.values()
        if seconds is not None and not WAYS[way].asked_seconds
    ]
    soon = sum(seconds <= PROMISE_SECONDS for seconds in told)
    return [
        f"{len(rows)} ways and {sum(map(len, rows.values())):,} things held,",
        f"in {seconds / 60:.0f} minutes. Where the broker is told,",
        f"{soon:,} of {len(told):,} were refused within {PROMISE_SECONDS:.0f} seconds,",
        f"and the last after {max(told):.1f}.",
    ]
