"""The broker's time of day, and seconds that pass whatever is done to a clock."""

import time
from datetime import UTC, datetime

CLOCK_SECONDS = 30
"""A smaller difference between two clocks is the network's."""

_COUNTER = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def count_seconds() -> float:
    """Seconds since some time; they are counted while the machine sleeps, too."""
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
        """The time of the last answer, and what was counted then."""

    def note(self, broker_time: float) -> None:
        """An answer came just now that has this time (seconds since 1970)."""
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
