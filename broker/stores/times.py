"""Times as the tables keep them: whole microseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND


def to_micros(at: datetime) -> int:
    """Exact, unlike ``timestamp()``, which goes through a float."""
    delta = at - _EPOCH
    return delta.days * _DAY + delta.seconds * _SECOND + delta.microseconds


def to_millis(at: datetime) -> int:
    """Milliseconds, rounded down."""
    return to_micros(at) // 1000


def from_micros(micros: int) -> datetime:
    """The aware UTC time."""
    return _EPOCH + timedelta(microseconds=micros)
