"""Date operators: the W3C profile of ISO 8601, or epoch seconds, by instant."""

import operator
import re
from datetime import UTC, datetime, timedelta, timezone

from broker.policy.conditions.comparison import comparing

_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:[Tt]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(Z|z|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_EPOCH = re.compile(r"[0-9]{5,12}")
_START = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 40


def find_instant(text: str) -> int | None:
    """Microseconds since 1970 of a date; None when the text writes no date.

    Four digits are a year, five and more are epoch seconds. A time without zone is
    UTC.
    """
    if len(text) > _LONGEST:
        return None
    if _EPOCH.fullmatch(text):
        return int(text) * 1_000_000
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int(f"{fraction or 0:0<6}"[:6]),
            tzinfo=_zone(zone),
        )
        return (moment - _START) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    sign = -1 if text[0] == "-" else 1
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(sign * timedelta(minutes=minutes))


_WRONG = "is not a date; write one such as 2026-01-31T12:00:00Z"

DATE_EQUALS = comparing(find_instant, _WRONG, operator.eq)
DATE_LESS_THAN = comparing(find_instant, _WRONG, operator.lt)
DATE_LESS_THAN_EQUALS = comparing(find_instant, _WRONG, operator.le)
DATE_GREATER_THAN = comparing(find_instant, _WRONG, operator.gt)
DATE_GREATER_THAN_EQUALS = comparing(find_instant, _WRONG, operator.ge)
