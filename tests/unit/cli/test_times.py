from datetime import UTC, datetime, timedelta

import pytest

from broker.cli.terminal import format_duration, format_time, parse_time

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("2h", NOW - timedelta(hours=2)),
        ("7 d", NOW - timedelta(days=7)),
        ("1w", NOW - timedelta(weeks=1)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:30", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
        ("2026-01-31T12:30:00+02:00", datetime(2026, 1, 31, 10, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_time_or_how_long_ago(text: str, moment: datetime) -> None:
    assert parse_time(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "now", "2x", "-2h", "2026-13-01", "999999w", "²h"]
)
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="use for example"):
        parse_time(text, NOW)


def test_moments_are_shown_in_utc() -> None:
    moment = datetime.fromisoformat("2026-03-01T13:00:59.9+01:00")
    assert format_time(moment) == "2026-03-01 12:00:59Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (42.9, "42s"), (65, "1m 05s"), (3900, "1h 05m"), (129600, "36h 00m")],
)
def test_spans_are_shown_in_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
