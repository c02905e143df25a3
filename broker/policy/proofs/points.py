"""Values that are compared as numbers, dates, addresses or bytes: one of each sort.

What operators compare with divides all values into intervals in which every test is
constant. One value of each interval, and one for each boundary, stands for all.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from enum import StrEnum
from itertools import pairwise

from broker.policy.conditions.ip_address import find_range
from broker.policy.conditions.values import find_bytes, find_instant, find_number
from broker.policy.proofs.work import Undecided

_DIGITS_MAX = 2_200
"""Between the highest and the lowest digit of any number that a policy can write."""

_DIGITS_WRITTEN = 78
_V4, _V6 = 4, 6
_BITS = {_V4: 32, _V6: 128}
_MAPPED = 0xFFFF << 32
_SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400 * _SECOND
_FIRST_DAY = int((datetime(1, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * _SECOND
_LAST_DAY = int((datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH).total_seconds()) * _SECOND
_NOTHING = "-"
"""A text that is no value of any of these types."""


class Scale(StrEnum):
    """What values are compared as."""

    NUMBER = "number"
    DATE = "date"
    ADDRESS = "address"
    BYTES = "bytes"


def list_points(scale: Scale, written: Iterable[str]) -> tuple[str, ...]:
    """Values of which one satisfies the same comparisons as any value there is.

    ``written`` are the values of all comparisons.

    Raises:
        Undecided: such a value cannot be written.
    """
    return tuple(dict.fromkeys([*_LISTS[scale](tuple(written)), _NOTHING]))


def _numbers(written: tuple[str, ...]) -> Iterator[str]:
    numbers = {Decimal(n) for n in map(find_number, written) if n is not None}
    with localcontext() as context:
        context.prec = _DIGITS_MAX
        ordered = sorted(numbers)
        for number in ordered:
            yield _write_between(number, number)
        for low, high in pairwise(ordered):
            yield _write_between(low, high)
        if not ordered:
            yield "0"
            return
        lowest, highest = ordered[0], ordered[-1]
        yield _write_between(lowest - abs(lowest) - 2, lowest)
        yield _write_between(highest, highest + abs(highest) + 2)


def _write_between(low: Decimal, high: Decimal) -> str:
    """A number between two, or one that both are; as short as may be."""
    middle = (low + high) / 2
    for digits in range(1, _DIGITS_WRITTEN):
        text = f"{middle:.{digits - 1}e}"
        number = find_number(text)
        if number is not None and (low == number == high or low < number < high):
            return _shortened(text)
    raise Undecided("no number can be written between two that are compared")


def _shortened(text: str) -> str:
    """The number without an exponent if that is as good."""
    number = Decimal(text)
    plain = f"{number:f}"
    return plain if len(plain) <= len(text) and find_number(plain) == number else text


def _dates(written: tuple[str, ...]) -> Iterator[str]:
    instants = sorted({i for i in map(find_instant, written) if i is not None})
    if not instants:
        yield "2026-01-31T12:00:00Z"
        return
    if instants[0] < _FIRST_DAY + 2 * _DAY or instants[-1] > _LAST_DAY - 2 * _DAY:
        raise Undecided("a date is compared that is too far away")
    for instant in instants:
        for near in (instant, instant - 1, instant + 1):
            yield _write_date(near)


def _write_date(instant: int) -> str:
    moment = _EPOCH + timedelta(microseconds=instant)
    # isoformat writes years before 1000 with four digits, strftime does not.
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _addresses(written: tuple[str, ...]) -> Iterator[str]:
    begins = {(_V4, 0), (_V6, 0), (_V6, _MAPPED + (1 << 32))}
    for value in written:
        network = find_range(value)
        if network is None:
            continue
        version, shift, number = network
        low = number << shift
        begins |= {(version, low), (version, low + (1 << shift))}
    for version, number in sorted(begins):
        if number < 1 << _BITS[version]:
            text = _write_address(version, number)
            if text is not None:
                yield text


def _write_address(version: int, number: int) -> str | None:
    """None for an address of version 6 that is read as one of version 4."""
    if version == _V4:
        return ".".join(str(number >> shift & 0xFF) for shift in (24, 16, 8, 0))
    if number >> 32 == _MAPPED >> 32:
        return None
    return ":".join(f"{number >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))


def _bytes(written: tuple[str, ...]) -> Iterator[str]:
    values = {value for value in map(find_bytes, written) if value is not None}
    numbers = (number.to_bytes(4, "big") for number in range(len(values) + 1))
    other = next(value for value in numbers if value not in values)
    for value in sorted(values | {other}):
        yield base64.b64encode(value).decode()


_LISTS: Mapping[Scale, Callable[[tuple[str, ...]], Iterable[str]]] = {
    Scale.NUMBER: _numbers,
    Scale.DATE: _dates,
    Scale.ADDRESS: _addresses,
    Scale.BYTES: _bytes,
}
