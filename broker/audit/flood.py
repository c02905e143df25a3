"""Keeps floods of unauthenticated failures from filling the ledger.

Beyond a rate per source, and one for all sources of a door together, unauthenticated
failures are only counted: a thousand attempts a second leave a few records and a number,
also from a thousand addresses. Failures of authenticated callers are always recorded in
full, except for those of a data plane.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from broker.model.account import AccountId

RECORDS_PER_SECOND = 5
"""Failures of one source that are recorded in full within one second."""

RECORDS_PER_MINUTE = 300
"""Failures at one door, from all sources, that are recorded in full within one minute."""

SOURCES_MAX = 10_000
"""Sources told apart within one second."""

COUNTS_MAX = 10
"""Counts of one second: each is a record. Further sources share one."""

NAMED_MAX = 50
"""Request ids kept with one count, so that those can be told to be in it."""

_MINUTE = 60
_OTHERS = "other addresses"


Door = tuple[str, AccountId | None]
"""Where a failure was; for a data plane also whose."""


class Failure(Struct, frozen=True):
    """A failure as the counts tell them apart; see `AuditRecord` for the members."""

    source: str
    account: AccountId | None = None
    outcome: str = ""


class Burst(Struct):
    """Failures of one kind within a second that were counted, not recorded."""

    failure: Failure
    first: datetime
    last: datetime
    count: int = 0
    request_ids: list[str] = []


class FailureCounter:
    """Counts failures by source within whole seconds of a monotonic clock."""

    def __init__(
        self, per_second: int = RECORDS_PER_SECOND, per_minute: int = RECORDS_PER_MINUTE
    ) -> None:
        self._per_second = per_second
        self._per_minute = per_minute
        self._second = 0
        self._minute = 0
        self._seen: Counter[str] = Counter()
        self._recorded: Counter[Door] = Counter()
        self._bursts: dict[Failure, Burst] = {}

    @property
    def is_counting(self) -> bool:
        """Whether there are counts to drain."""
        return bool(self._bursts)

    def admit(
        self, failure: Failure, door: Door, request_id: str, at: datetime, now: float
    ) -> bool:
        """Whether a failure is still recorded in full; if not, it is counted.

        ``at`` is when the request came. Call ``drain`` before, so that no count of an
        earlier second is lost.
        """
        self._second = int(now)
        source = failure.source
        if source not in self._seen and len(self._seen) >= SOURCES_MAX:
            source = _OTHERS
        if self._minute != (minute := int(now) // _MINUTE):
            self._minute, self._recorded = minute, Counter()
        self._seen[source] += 1
        if (
            self._seen[source] <= self._per_second
            and self._recorded[door] < self._per_minute
        ):
            self._recorded[door] += 1
            return True
        self._count(Failure(source, failure.account, failure.outcome), request_id, at)
        return False

    def _count(self, failure: Failure, request_id: str, at: datetime) -> None:
        if failure not in self._bursts and len(self._bursts) >= COUNTS_MAX:
            failure = Failure(_OTHERS, None, failure.outcome)
        burst = self._bursts.setdefault(failure, Burst(failure, at, at))
        burst.count += 1
        burst.first, burst.last = min(burst.first, at), max(burst.last, at)
        if len(burst.request_ids) < NAMED_MAX:
            burst.request_ids.append(request_id)

    def drain(self, now: float) -> Iterator[Burst]:
        """What was counted in past seconds.

        With ``now`` infinite, in the running second too.
        """
        if self._second <= now < self._second + 1:
            return
        bursts, self._bursts, self._seen = self._bursts, {}, Counter()
        yield from bursts.values()
