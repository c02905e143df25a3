"""Counts in words."""

from datetime import UTC, datetime, timedelta

from broker.console.over_time import (
    Course,
    Stretch,
    bucket_start,
    count_over_time,
    largest,
    sum_by_name,
)
from broker.model.audit import ActivityCounts, HourlyCount, Outcome, RecordKind
from tests.support.rows import rows

NOW = datetime(2026, 11, 30, 12, 20, tzinfo=UTC)
SINCE = NOW - timedelta(hours=24)


def hour(hours_ago: int) -> datetime:
    return bucket_start(NOW, 1) - timedelta(hours=hours_ago)


def counts(*results: tuple[int, str, str, int]) -> ActivityCounts:
    return ActivityCounts(
        counted_until=NOW,
        counts=tuple(
            HourlyCount(hour=hour(hours_ago), measure=measure, name=name, count=count)
            for hours_ago, measure, name, count in results
        ),
    )


@rows("before, since, trend")
def test_a_trend_is_more_than_a_quarter(before: int, since: int, trend: str) -> None:
    assert Course(before, since).trend == trend


def test_every_count_is_in_one_half_and_in_its_stretch() -> None:
    activity = counts(
        (25, RecordKind.SIGN_IN, "a", 1000),  # before the time
        (24, RecordKind.SIGN_IN, "a", 3),
        (13, RecordKind.SIGN_IN, "a", 4),
        (12, RecordKind.SIGN_IN, "b", 5),
        (12, Outcome.DENIED, "x", 2),
        (0, Outcome.REFUSED, "y", 7),
        (0, RecordKind.CHANGE, "a", 9),  # of another kind
    )
    over_time = count_over_time(activity, SINCE, NOW, 1)
    assert over_time.passed == Course(before=7, since=5)
    assert over_time.refused == Course(before=0, since=9)
    assert (over_time.passed.total, over_time.begins, over_time.middle) == (
        12,
        SINCE,
        hour(12),
    )
    assert over_time.stretches == (
        Stretch(hour(24), hour(23), 3, 0),
        Stretch(hour(13), hour(12), 4, 0),
        Stretch(hour(12), hour(11), 5, 2),
        Stretch(hour(0), hour(-1), 0, 7),
    )
    # Of two with the same number it is the newer.
    assert over_time.busiest == over_time.stretches[-1]
    alone = count_over_time(activity, SINCE, NOW, 1, name="b")
    assert (alone.passed.total, alone.refused.total) == (5, 0)


def test_nothing_has_no_busiest_stretch() -> None:
    over_time = count_over_time(counts(), SINCE, NOW, 1)
    assert (over_time.busiest, over_time.passed.trend) == (None, "steady")


def test_the_largest_come_first_and_then_by_name() -> None:
    activity = counts(
        (1, RecordKind.SIGN_IN, "b", 2),
        (0, RecordKind.SIGN_IN, "b", 1),
        (0, RecordKind.SIGN_IN, "a", 3),
    )
    summed = sum_by_name(activity, [RecordKind.SIGN_IN])
    assert largest({**summed, "c": 9}, 2) == [("c", 9), ("a", 3)]
