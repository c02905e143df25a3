"""One-time passwords from a shared seed: six digits of HMAC-SHA-1.

A *step* is the number of whole periods since 1970. Which steps may count is the
caller's business; every one of them is tried, so that the time taken says nothing.

Source: RFC 4226, 5.3; RFC 6238, 4 to 6.
"""

import hashlib
import hmac
from collections.abc import Iterable

CODE_DIGITS = 6


def totp_step(at: int, period_seconds: int) -> int:
    """The step that a time (seconds since 1970) lies in."""
    return at // period_seconds


def totp_code(seed: bytes, step: int) -> str:
    """The code of a step."""
    digest = hmac.new(seed, step.to_bytes(8, "big"), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**CODE_DIGITS:0{CODE_DIGITS}d}"


def find_step(seed: bytes, codes: tuple[str, ...], steps: Iterable[int]) -> int | None:
    """The step of the last of consecutive ``codes``; None when they are none.

    ``steps`` are those that the first code may stand for, in the order of preference.
    """
    values = [code.encode("utf-8", "surrogatepass") for code in codes]
    match: int | None = None
    for step in steps:
        if step < 0:
            continue
        right = True
        for index, code in enumerate(values):
            made = totp_code(seed, step + index).encode("ascii")
            right &= hmac.compare_digest(made, code)
        if right and match is None:
            match = step + len(values) - 1
    return match
