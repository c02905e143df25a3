"""Moments as an operator writes and reads them."""

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"([0-9]{1,6})\s*([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str, now: datetime) -> datetime:
    """A moment: ISO 8601 (UTC unless it says otherwise), or how long ago (``2h``).

    Raises:
        ValueError: it is neither; the text says what to write.
    """
    wrong = ValueError(
        f"{text!r} is no moment; write such as 2026-01-31T12:00, 2026-01-31 or 2h"
    )
    try:
        if ago := _AGO.fullmatch(text.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise wrong from None


def show_moment(moment: datetime) -> str:
    """The moment in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def show_span(seconds: float) -> str:
    """A span of time in its two largest units: ``1h 05m``, ``42s``."""
    left = max(0, int(seconds))
    minutes, rest = divmod(left, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
