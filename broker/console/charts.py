"""The geometry of charts: bars of hourly counts, scaled for an SVG without styles.

The template's macros (`charts.html`) draw them, and show the same numbers in a table.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.model.audit import ActivityCounts, Kind, Outcome

HEIGHT = 100
SLOT = 10
_BAR = 7
_LEAST = 1.5
"""The minimum height of a bar that is not empty, so that it is visible."""

REFUSALS = frozenset({Outcome.DENIED, Outcome.REFUSED})


@dataclass(frozen=True, slots=True)
class TimeBar:
    """A stretch of time; the parts of its bar are from the bottom upwards."""

    begins: datetime
    ends: datetime
    sign_ins: int
    refusals: int
    x: float
    sign_ins_y: float
    sign_ins_height: float
    refusals_y: float
    refusals_height: float


@dataclass(frozen=True, slots=True)
class TimeChart:
    """Sign-ins and refusals over time."""

    bars: tuple[TimeBar, ...]
    sign_ins: int
    refusals: int
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
    activity: ActivityCounts, since: datetime, until: datetime, hours: int
) -> TimeChart:
    """The chart of buckets of ``hours`` from the one of ``since`` to that of ``until``."""
    sign_ins, refusals = _by_time(activity)
    starts = []
    start, step = bucket_start(since, hours), timedelta(hours=hours)
    while start <= until:
        starts.append(start)
        start += step
    most = max((sign_ins[one] + refusals[one] for one in starts), default=0)
    return TimeChart(
        bars=tuple(
            _bar(
                place, begins, begins + step, (sign_ins[begins], refusals[begins]), most
            )
            for place, begins in enumerate(starts)
        ),
        sign_ins=sum(sign_ins[one] for one in starts),
        refusals=sum(refusals[one] for one in starts),
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


def _by_time(activity: ActivityCounts) -> tuple[Counter[datetime], Counter[datetime]]:
    sign_ins: Counter[datetime] = Counter()
    refusals: Counter[datetime] = Counter()
    for one in activity.counts:
        if one.measure == Kind.SIGN_IN:
            sign_ins[one.hour] += one.count
        elif one.measure in REFUSALS:
            refusals[one.hour] += one.count
    return sign_ins, refusals


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
        sign_ins=counts[0],
        refusals=counts[1],
        x=_round(place * SLOT + (SLOT - _BAR) / 2),
        sign_ins_y=_round(HEIGHT - below),
        sign_ins_height=below,
        refusals_y=_round(HEIGHT - below - above),
        refusals_height=above,
    )


def _round(number: float) -> float:
    return round(number, 2)
