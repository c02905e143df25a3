"""The broker's time of day, and a count of seconds that ignores clock changes."""

import time
from datetime import UTC, datetime

CLOCK_SECONDS = 30
"""Smaller differences between two clocks are put down to the network."""

_COUNTER = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def count_seconds() -> float:
    """Seconds since an arbitrary start, including those the machine was asleep."""
    return time.clock_gettime(_COUNTER)


class BrokerClock:
    """The broker's time, as far as its answers have told it. Safe in threads.

    A machine's clock may be wrong when it starts and be set later, to either side. So
    between two answers the seconds are counted as well, and the later of both times is
    the time: what has expired by one of them is not served.
    """

    def __init__(self) -> None:
        self.offset_seconds = 0.0
        """How far the broker's clock is ahead of this machine's."""

        self._told: tuple[float, float] | None = None
        """The time in the last answer, and the count of seconds when it came."""

    def note(self, broker_time: float) -> None:
        """Take the time (seconds since 1970) from an answer that has just arrived."""
        offset = broker_time - time.time()
        self.offset_seconds = offset if abs(offset) > CLOCK_SECONDS else 0.0
        self._told = (time.time() + self.offset_seconds, count_seconds())

    def now(self) -> datetime:
        """The broker's time."""
        found = time.time() + self.offset_seconds
        if self._told is not None:
            at, counted = self._told
            found = max(found, at + count_seconds() - counted)
        return datetime.fromtimestamp(found, UTC)
