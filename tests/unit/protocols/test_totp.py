"""One-time passwords against RFC 6238's own vectors and `oathtool`."""

import base64

import pytest

from broker.protocols.totp import find_step, totp_code, totp_step
from tests.support.totp import oath_code

SEED = b"12345678901234567890"
RFC_6238 = {
    59: "287082",
    1111111109: "081804",
    1111111111: "050471",
    1234567890: "005924",
    2000000000: "279037",
    20000000000: "353130",
}


@pytest.mark.parametrize("at", RFC_6238)
def test_the_codes_are_those_of_the_specification(at: int) -> None:
    assert totp_code(SEED, totp_step(at, 30)) == RFC_6238[at]


@pytest.mark.parametrize(("at", "period"), [(0, 30), (1750000000, 30), (7, 60)])
def test_the_codes_are_those_of_oathtool(at: int, period: int) -> None:
    seed = bytes(range(40))
    text = oath_code(base64.b32encode(seed).decode(), at, period)
    assert totp_code(seed, totp_step(at, period)) == text


def test_a_code_stands_for_the_first_step_that_fits() -> None:
    code = totp_code(SEED, 7)
    assert find_step(SEED, (code,), [6, 7, 8]) == 7
    assert find_step(SEED, (code,), [6, 8]) is None
    assert find_step(SEED, (code,), [-1]) is None
    assert find_step(SEED, (code,), []) is None
    assert find_step(SEED, ("\ud800",), [7]) is None


def test_two_codes_must_follow_each_other_in_that_order() -> None:
    first, second, third = (totp_code(SEED, step) for step in (7, 8, 9))
    assert find_step(SEED, (first, second), range(5, 10)) == 8
    assert find_step(SEED, (second, first), range(5, 10)) is None
    assert find_step(SEED, (first, first), range(5, 10)) is None
    assert find_step(SEED, (first, third), range(5, 10)) is None
