"""Clocks that tests move on by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic


class SteppedClock:
    """Stands still until it is moved."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime.now(UTC)
        self.seconds = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.seconds += seconds


class MovableClock:
    """The time of day, some way ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self._stopped: datetime | None = None
        self._skipped = 0.0
        self._held: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        if self._held:
            return self._held[0]
        return (self._stopped or datetime.now(UTC)) + self.ahead

    def monotonic(self) -> float:
        if self._held:
            return self._held[1]
        return monotonic() + self._skipped

    @contextmanager
    def held(self, at: datetime | None = None) -> Iterator[None]:
        """Stand still inside, in a second in which nothing happened yet."""
        self._skipped += 2
        self._held = at or self.now(), self.monotonic()
        try:
            yield
        finally:
            self._held = None

    def stop(self) -> None:
        """Stand still until it is moved: limits count calls of the same second."""
        self._stopped = datetime.now(UTC)

    def move(self, seconds: float) -> None:
        self._skipped += seconds
        self.set(seconds)

    def set(self, seconds: float) -> None:
        """Put the time of day forward or back; no time passes."""
        self.ahead += timedelta(seconds=seconds)
