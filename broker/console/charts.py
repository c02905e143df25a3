"""The geometry of charts: bars of hourly counts, scaled for an SVG without styles.

The template's macros (`charts.html`) draw them, and show the same numbers in a table.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.model.audit import ActivityCounts, HourlyCount, Kind, Outcome

HEIGHT = 100
SLOT = 10
_BAR = 7
_LEAST = 1.5
"""The minimum height of a bar that is not empty, so that it is visible."""

SIGN_INS: AbstractSet[str] = frozenset({Kind.SIGN_IN})
REFUSALS: AbstractSet[str] = frozenset({Outcome.DENIED, Outcome.REFUSED})


@dataclass(frozen=True, slots=True)
class TimeBar:
    """A stretch of time; the parts of its bar are from the bottom upwards."""

    begins: datetime
    ends: datetime
    passed: int
    refused: int
    x: float
    passed_y: float
    passed_height: float
    refused_y: float
    refused_height: float


@dataclass(frozen=True, slots=True)
class TimeChart:
    """What passed and what was refused over time."""

    bars: tuple[TimeBar, ...]
    passed: int
    refused: int
    most: int
    counted_until: datetime | None

    @property
    def width(self) -> int:
        """The chart's width in the units of the bars."""
        return SLOT * len(self.bars)

    @property
    def bar(self) -> int:
        """The width of one."""
        return _BAR


@dataclass(frozen=True, slots=True)
class Share:
    """A named number and its part of the largest, in hundredths."""

    name: str
    count: int
    width: float


def bucket_start(at: datetime, hours: int) -> datetime:
    """When the bucket of a time begins: at a multiple of its length since 1970."""
    seconds = hours * 3600
    begun = int(at.timestamp()) // seconds * seconds
    return datetime.fromtimestamp(begun, at.tzinfo)


def time_chart(
    activity: ActivityCounts,
    since: datetime,
    until: datetime,
    hours: int,
    *,
    passed_as: AbstractSet[str] = SIGN_INS,
    refused_as: AbstractSet[str] = REFUSALS,
    name: str | None = None,
) -> TimeChart:
    """The chart of buckets of ``hours`` from the one of ``since`` to that of ``until``.

    ``passed_as`` and ``refused_as`` are the measures that count as such, and ``name``
    the only one of theirs that is counted; None for all.
    """
    counts = [one for one in activity.counts if name in {None, one.name}]
    passed = _by_time(counts, passed_as)
    refused = _by_time(counts, refused_as)
    starts = []
    start, step = bucket_start(since, hours), timedelta(hours=hours)
    while start <= until:
        starts.append(start)
        start += step
    most = max((passed[one] + refused[one] for one in starts), default=0)
    return TimeChart(
        bars=tuple(
            _bar(place, begins, begins + step, (passed[begins], refused[begins]), most)
            for place, begins in enumerate(starts)
        ),
        passed=sum(passed[one] for one in starts),
        refused=sum(refused[one] for one in starts),
        most=most,
        counted_until=activity.counted_until,
    )


def shares(counts: Mapping[str, int], most_shown: int) -> tuple[Share, ...]:
    """The largest of some counts, the largest first."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most_shown]
    largest = ordered[0][1] if ordered else 0
    return tuple(
        Share(name, count, max(_LEAST, _round(100 * count / largest)))
        for name, count in ordered
    )


def sum_by_name(activity: ActivityCounts, measures: Iterable[str]) -> Counter[str]:
    """The counts of some measures, by name."""
    wanted = frozenset(measures)
    found: Counter[str] = Counter()
    for one in activity.counts:
        if one.measure in wanted:
            found[one.name] += one.count
    return found


def _by_time(
    counts: Iterable[HourlyCount], measures: AbstractSet[str]
) -> Counter[datetime]:
    found: Counter[datetime] = Counter()
    for one in counts:
        if one.measure in measures:
            found[one.hour] += one.count
    return found


def _bar(
    place: int, begins: datetime, ends: datetime, counts: tuple[int, int], most: int
) -> TimeBar:
    heights = [max(_LEAST, HEIGHT * one / most) if one else 0.0 for one in counts]
    # Bars that were enlarged to be visible must stay within the chart.
    scale = min(1.0, HEIGHT / sum(heights)) if any(heights) else 1.0
    below, above = (_round(height * scale) for height in heights)
    return TimeBar(
        begins=begins,
        ends=ends,
        passed=counts[0],
        refused=counts[1],
        x=_round(place * SLOT + (SLOT - _BAR) / 2),
        passed_y=_round(HEIGHT - below),
        passed_height=below,
        refused_y=_round(HEIGHT - below - above),
        refused_height=above,
    )


def _round(number: float) -> float:
    return round(number, 2)
