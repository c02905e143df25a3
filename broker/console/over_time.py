"""Hourly counts in words: what passed and what was refused, when, and how it goes.

The template's macro (`over_time.html`) says it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from msgspec import Struct

from broker.console.visit import Visit
from broker.model.audit import ActivityCounts, HourlyCount, Outcome, RecordKind
from broker.stores.directory.kinds import ACCOUNT

SIGN_INS: AbstractSet[str] = frozenset({RecordKind.SIGN_IN})
REFUSALS: AbstractSet[str] = frozenset({Outcome.DENIED, Outcome.REFUSED})

_STEADY = 1.25
"""Less of a change is none: the halves of a time can differ by one bucket."""


class Stretch(Struct, frozen=True):
    """A bucket of time, and what was counted in it."""

    begins: datetime
    ends: datetime
    passed: int
    refused: int


class Course(Struct, frozen=True):
    """A number over time: in the older half of it, and in the newer."""

    before: int
    since: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.before + self.since

    @property
    def trend(self) -> str:
        """``rising``, ``falling`` or ``steady``."""
        if self.since > self.before * _STEADY:
            return "rising"
        return "falling" if self.before > self.since * _STEADY else "steady"


class OverTime(Struct, frozen=True):
    """What passed and what was refused, in the stretches that had any."""

    stretches: tuple[Stretch, ...]
    passed: Course
    refused: Course
    begins: datetime
    middle: datetime
    counted_until: datetime | None

    @property
    def busiest(self) -> Stretch | None:
        """The stretch with the most, the newest of several; None without any."""
        return max(
            reversed(self.stretches),
            key=lambda stretch: stretch.passed + stretch.refused,
            default=None,
        )


def bucket_start(at: datetime, hours: int) -> datetime:
    """When the bucket of a time begins: at a multiple of its length since 1970."""
    seconds = hours * 3600
    begun = int(at.timestamp()) // seconds * seconds
    return datetime.fromtimestamp(begun, at.tzinfo)


async def counted_since(visit: Visit, length: timedelta, hours: int) -> datetime:
    """When counts of a time until now begin: not before there was the account."""
    account = await visit.deps.fresh.find(ACCOUNT, visit.who.session.account)
    since = bucket_start(visit.now - length, hours)
    return max(since, account.created_at) if account else since


def count_over_time(
    activity: ActivityCounts,
    since: datetime,
    until: datetime,
    hours: int,
    *,
    passed_as: AbstractSet[str] = SIGN_INS,
    refused_as: AbstractSet[str] = REFUSALS,
    name: str | None = None,
) -> OverTime:
    """The counts of buckets of ``hours`` from the one of ``since`` to that of ``until``.

    ``passed_as`` and ``refused_as`` are the measures that count as such, and ``name``
    the only one of theirs that is counted; None for all.
    """
    counts = [count for count in activity.counts if name in {None, count.name}]
    passed = _by_time(counts, passed_as)
    refused = _by_time(counts, refused_as)
    start, step = bucket_start(since, hours), timedelta(hours=hours)
    starts = [start + step * n for n in range((until - start) // step + 1)]
    older, newer = starts[: len(starts) // 2], starts[len(starts) // 2 :]

    def course(counted: Counter[datetime]) -> Course:
        before, after = (
            sum(counted[entry] for entry in half) for half in (older, newer)
        )
        return Course(before, after)

    return OverTime(
        stretches=tuple(
            Stretch(begins, begins + step, passed[begins], refused[begins])
            for begins in starts
            if passed[begins] or refused[begins]
        ),
        passed=course(passed),
        refused=course(refused),
        begins=max(start, since),
        middle=newer[0],
        counted_until=activity.counted_until,
    )


def largest(counts: Mapping[str, int], most_shown: int) -> list[tuple[str, int]]:
    """The largest of some counts with their names, the largest first."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most_shown]


def sum_by_name(activity: ActivityCounts, measures: Iterable[str]) -> Counter[str]:
    """The counts of some measures, by name."""
    wanted = frozenset(measures)
    counter: Counter[str] = Counter()
    for count in activity.counts:
        if count.measure in wanted:
            counter[count.name] += count.count
    return counter


def _by_time(
    counts: Iterable[HourlyCount], measures: AbstractSet[str]
) -> Counter[datetime]:
    counter: Counter[datetime] = Counter()
    for count in counts:
        if count.measure in measures:
            counter[count.hour] += count.count
    return counter
