"""What the watch does at its ticks, beside the connections of `test_connection.py`."""

from collections.abc import Callable

import pytest

from broker.edges import bounds
from broker.edges.bounds import Limits, Watch
from broker.runtime.bounded import BoundedCache, CacheMemory

ACCOUNT = "111122223333"
ENTRIES = 64
ENTRY_BYTES = 100_000


class Loop:
    """A loop whose time passes only when it is told so."""

    def __init__(self) -> None:
        self.tick: Callable[[], None] | None = None

    def time(self) -> float:
        return 0.0

    def call_later(self, _seconds: float, tick: Callable[[], None]) -> None:
        self.tick = tick


class Connection:
    reading_since = None
    is_reading_body = False

    def close_if_late(self, now: float) -> None: ...


def test_memory_that_entries_left_is_returned_at_the_next_tick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory, returned = CacheMemory(), []
    monkeypatch.setattr(bounds, "CACHES", memory)
    monkeypatch.setattr(bounds, "return_free_pages", lambda: returned.append(1))
    loop, cache = Loop(), BoundedCache[int, bytes](memory)
    watch = Watch(Limits(), loop)  # type: ignore[arg-type] # what it needs of one

    def tick() -> int:
        assert loop.tick is not None
        loop.tick()
        return len(returned)

    def put(times: int) -> None:
        for number in range(times):
            cache.put(ACCOUNT, number % ENTRIES, bytes(ENTRY_BYTES))

    watch.admit(Connection())  # type: ignore[arg-type] # what it needs of one
    put(ENTRIES)
    assert tick() == 0, "what is put for the first time leaves nothing"
    put(ENTRIES // 4)
    assert tick() == 0, "too little to be worth the time"
    put(ENTRIES)
    assert tick() == 1
    assert tick() == 1
    cache.clear(ACCOUNT)
    assert tick() == 2
