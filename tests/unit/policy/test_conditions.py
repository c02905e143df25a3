"""Conditions stand any value of the request."""

import pytest

from broker.policy.conditions import Quantifier, compile_condition, parse_operator
from broker.policy.conditions.compiler import OPERATORS
from tests.support.rows import of_file, rows

WRITTEN = of_file(__file__, "WRITTEN")
HUGE = 100_000
VALUES = [
    "",
    "1" * HUGE,
    "." * HUGE,
    ":" * HUGE,
    "1." * HUGE,
    "-" * HUGE,
    "\x00",
    "\ud800",
    "arn:" + ":" * HUGE,
    "9999-12-31T23:59:59.999999999-23:59",
    "0001-01-01T00:00:00+23:59",
    "0000",
    "2026-01-31T24:00:00Z",
    "2026-01-31T12:00:00+99:99",
    "1e999",
    "1E-999",
    "::ffff:1.2.3.4.5",
    "fe80::1%eth0",
    "1.2.3.4/0",
    "QUI",
    "é" * 10,
    "²",
]


@pytest.mark.parametrize("name", sorted(OPERATORS))
@pytest.mark.parametrize("modifier", ["", "ForAnyValue:", "ForAllValues:"])
def test_no_value_makes_a_condition_raise(name: str, modifier: str) -> None:
    written = next(text for start, text in WRITTEN.items() if name.startswith(start))
    holds = compile_condition(modifier + name, "aws:x", (written,), variables=True)
    for value in VALUES:
        assert holds({"aws:x": (value,)}) in (True, False)
    assert holds({"aws:x": tuple(VALUES)}) in (True, False)


@rows("text, value")
def test_dates_are_instants(text: str, value: str) -> None:
    holds = compile_condition("DateEquals", "aws:x", (text,), variables=True)
    assert holds({"aws:x": (value,)})


@pytest.mark.parametrize(
    "value", ["2026-1-31", "12:00:00Z", "2026-01-31T12Z", "176986080", "+2026"]
)
def test_other_texts_are_no_dates_of_that_day(value: str) -> None:
    holds = compile_condition("DateEquals", "aws:x", ("2026-01-31",), variables=True)
    assert not holds({"aws:x": (value,)})


def test_operators_are_parsed_with_their_modifiers() -> None:
    operator = parse_operator("ForAllValues:StringNotLikeIfExists")
    assert (
        operator.name,
        operator.negated,
        operator.quantifier,
        operator.if_exists,
    ) == (
        "StringNotLike",
        True,
        Quantifier.ALL_VALUES,
        True,
    )
    null = parse_operator("ForAnyValue:Null")
    assert (null.family, null.quantifier) == (None, Quantifier.ANY_VALUE)


@rows("text, words")
def test_other_operators_are_refused_with_advice(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_operator(text)
