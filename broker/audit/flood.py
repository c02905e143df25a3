"""Keeps floods of unauthenticated failures from filling the ledger.

Beyond a rate per source, unauthenticated failures are only counted: a thousand attempts
a second leave a few records and a number. Failures of authenticated callers are always
recorded in full.
"""

from collections.abc import Iterator

RECORDS_PER_SECOND = 5
"""Failures of one source that are recorded in full within one second."""

MAX_SOURCES = 10_000
"""Sources counted separately within one second; further ones share one count."""

_OTHERS = "other addresses"


class FailureCounter:
    """Counts failures by source within whole seconds of a monotonic clock."""

    def __init__(self, per_second: int = RECORDS_PER_SECOND) -> None:
        self._per_second = per_second
        self._second = 0
        self._counts: dict[str, int] = {}

    def admit(self, source: str, now: float) -> bool:
        """Whether a failure of this source is still recorded in full.

        Call ``drain`` before, so that no count of an earlier second is lost.
        """
        self._second = int(now)
        if source not in self._counts and len(self._counts) >= MAX_SOURCES:
            source = _OTHERS
        count = self._counts.get(source, 0) + 1
        self._counts[source] = count
        return count <= self._per_second

    def drain(self, now: float) -> Iterator[tuple[str, int]]:
        """Sources of past seconds with the number of failures not recorded.

        With ``now`` infinite, of the running second too.
        """
        if self._second <= now < self._second + 1:
            return
        counts, self._counts = self._counts, {}
        for source, count in counts.items():
            if count > self._per_second:
                yield source, count - self._per_second
