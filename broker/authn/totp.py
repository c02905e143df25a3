"""One-time passwords from a shared seed: six digits, half a minute each. Pure.

Source: RFC 4226; RFC 6238; IAM User Guide, "Virtual MFA devices".
"""

import hashlib
import hmac

STEP_SECONDS = 30
DRIFT_STEPS = 1
"""Steps that a device's clock may be ahead or behind."""

CODE_DIGITS = 6


def totp_step(at: int) -> int:
    """The step that a time (seconds since 1970) lies in."""
    return at // STEP_SECONDS


def totp_code(seed: bytes, step: int) -> str:
    """The code of a step."""
    digest = hmac.new(seed, step.to_bytes(8, "big"), hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**CODE_DIGITS:0{CODE_DIGITS}d}"


def find_step(seed: bytes, code: str, *, at: int, after: int | None) -> int | None:
    """The step that a code stands for; None when it is no code of now.

    ``after`` is the step that was accepted last: neither it nor an earlier one is
    taken again. All steps of the window are tried, in constant time.
    """
    found: int | None = None
    given = code.encode("utf-8", "surrogatepass")
    now = totp_step(at)
    for step in range(max(now - DRIFT_STEPS, 0), now + DRIFT_STEPS + 1):
        right = hmac.compare_digest(totp_code(seed, step).encode("ascii"), given)
        if right and (after is None or step > after):
            found = step
    return found
