"""Keeps floods of unauthenticated failures from filling the ledger.

Beyond a rate per source, unauthenticated failures are only counted: a thousand attempts
a second leave a few records and a number. Failures of authenticated callers are always
recorded in full.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from broker.model.account import AccountId

RECORDS_PER_SECOND = 5
"""Failures of one source that are recorded in full within one second."""

MAX_SOURCES = 10_000
"""Sources counted separately within one second; further ones share one count."""

NAMED_MAX = 50
"""Request ids kept with one count, so that those can be told to be in it."""

_NAMED_MAX_IN_ALL = 5_000
_OTHERS = "other addresses"


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as the counts tell them apart; see `AuditRecord` for the members."""

    source: str
    account: AccountId | None = None
    outcome: str = ""


@dataclass(slots=True)
class Burst:
    """Failures of one kind within a second that were counted, not recorded."""

    failure: Failure
    first: datetime
    last: datetime
    count: int = 0
    request_ids: list[str] = field(default_factory=list)


class FailureCounter:
    """Counts failures by source within whole seconds of a monotonic clock."""

    def __init__(self, per_second: int = RECORDS_PER_SECOND) -> None:
        self._per_second = per_second
        self._second = 0
        self._seen: dict[str, int] = {}
        self._bursts: dict[Failure, Burst] = {}
        self._named = 0

    @property
    def is_counting(self) -> bool:
        """Whether there are counts to drain."""
        return bool(self._bursts)

    def admit(
        self, failure: Failure, request_id: str, at: datetime, now: float
    ) -> bool:
        """Whether a failure is still recorded in full; if not, it is counted.

        ``at`` is when the request came. Call ``drain`` before, so that no count of an
        earlier second is lost.
        """
        self._second = int(now)
        source = failure.source
        if source not in self._seen and len(self._seen) >= MAX_SOURCES:
            source = _OTHERS
        seen = self._seen.get(source, 0) + 1
        self._seen[source] = seen
        if seen <= self._per_second:
            return True
        self._count(Failure(source, failure.account, failure.outcome), request_id, at)
        return False

    def _count(self, failure: Failure, request_id: str, at: datetime) -> None:
        if failure not in self._bursts and len(self._bursts) >= MAX_SOURCES:
            failure = Failure(_OTHERS, None, failure.outcome)
        burst = self._bursts.setdefault(failure, Burst(failure, at, at))
        burst.count += 1
        burst.first, burst.last = min(burst.first, at), max(burst.last, at)
        if len(burst.request_ids) < NAMED_MAX and self._named < _NAMED_MAX_IN_ALL:
            burst.request_ids.append(request_id)
            self._named += 1

    def drain(self, now: float) -> Iterator[Burst]:
        """What was counted in past seconds.

        With ``now`` infinite, in the running second too.
        """
        if self._second <= now < self._second + 1:
            return
        bursts, self._bursts, self._seen = self._bursts, {}, {}
        self._named = 0
        yield from bursts.values()
