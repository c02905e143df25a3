import base64
import random

import pytest

from broker.policy.conditions import parse_operator
from broker.policy.proofs.points import Scale, list_points
from broker.policy.proofs.work import Undecided

NUMBERS = ["0", "1", "1.5", "-2", "1e40", "1e-40", "1.0", "0.1", "3" * 40, "-7.25e-3"]
DATES = [
    *("2026-01-31", "2026-01-31T00:00:00.000001Z", "1999", "86400", "1769817600"),
    *("2026-01-31T02:00:00+02:00", "1969-12-31T23:59:59Z"),
]
ADDRESSES = [
    *("10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "255.255.255.255", "2001:db8::/32"),
    *("::/0", "::ffff:10.0.0.0/104", "::ffff:0:0/90", "fe80::1"),
]
BYTES = [base64.b64encode(b).decode() for b in (b"", b"a", b"ab", b"\0\0\0\0")]
CASES = {
    Scale.NUMBER: (
        NUMBERS,
        [*NUMBERS, "2", "-1", "1.4999", "1e39", "9e99", "-9e99", "x"],
        ["NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericGreaterThan"],
    ),
    Scale.DATE: (
        DATES,
        [*DATES, "1998", "2030", "1769817601", "2026-01-30T23:59:59.999999Z", "x"],
        ["DateEquals", "DateLessThan", "DateGreaterThanEquals", "DateNotEquals"],
    ),
    Scale.ADDRESS: (
        ADDRESSES,
        [
            *("10.0.0.1", "10.1.2.3", "9.255.255.255", "11.0.0.0", "2001:db8::1"),
            *("2001:db9::", "::1", "::ffff:10.0.0.1", "::fffe:ffff:1", "fe80::1", "x"),
            *("255.255.255.255", "::1:0:0:0", "::fff0:0:1"),
        ],
        ["IpAddress", "NotIpAddress"],
    ),
    Scale.BYTES: (BYTES, [*BYTES, "enl6", "x"], ["BinaryEquals"]),
}


@pytest.mark.parametrize("scale", Scale)
def test_a_point_stands_for_any_value(scale: Scale) -> None:
    written, values, operators = CASES[scale]
    chance = random.Random(4)
    for _ in range(60):
        compared = [
            (
                chance.choice(operators),
                tuple(chance.sample(written, chance.randint(1, 2))),
            )
            for _ in range(3)
        ]
        tests = []
        for name, texts in compared:
            operator = parse_operator(name)
            assert operator.family is not None
            tests.append(operator.family.compile(texts, operator.negated, False))
        points = list_points(scale, [text for _, texts in compared for text in texts])
        answers = {tuple(test(point, {}) for test in tests) for point in points}
        for value in values:
            assert tuple(test(value, {}) for test in tests) in answers, (
                compared,
                value,
            )


@pytest.mark.parametrize(
    ("scale", "written"),
    [
        (Scale.NUMBER, ["9e999"]),
        (Scale.DATE, ["0001-01-01"]),
        (Scale.DATE, ["9999-12-31T23:59:59Z"]),
    ],
)
def test_what_has_values_beyond_that_cannot_be_written_is_undecided(
    scale: Scale, written: list[str]
) -> None:
    with pytest.raises(Undecided):
        list_points(scale, written)
