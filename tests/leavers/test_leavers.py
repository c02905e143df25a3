"""Everyone who leaves is out everywhere: the rows that need no heavy program."""

from pathlib import Path

import pytest

from tests.leavers import page
from tests.leavers.cells import expected, find_faults
from tests.leavers.table import fill
from tests.leavers.ways import WAYS
from tests.leavers.world import running

BOUND = 30
"""Times the promise is waited for: a busy machine is not a bug, here."""


@pytest.mark.timeout(900)
def test_who_leaves_is_out_everywhere(tmp_path: Path) -> None:
    ways = [way for way in WAYS.values() if not way.needs]
    with running(tmp_path) as world:
        world.lay_out({way.name: (way.origin, way.options) for way in ways})
        world.settle()
        filled = fill(world, ways, BOUND, slack=BOUND)
        assert filled.failures == []
        assert find_faults(filled.cells) == []
        world.restart()
        assert filled.find_returned() == []


def test_the_page_has_these_rows_and_says_the_same() -> None:
    known, printed = expected(), page.read()
    assert {way.name for way in WAYS.values() if not way.needs} <= set(printed)
    for way, cells in printed.items():
        for place, is_dead in cells.items():
            assert is_dead is not known.lives(way, place), (way, place)
