"""The texts inside a signature: the Authorization header, dates, lifetimes.

Source: AWS, "Create a signed AWS API request"; recorded texts (REC-A).
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime

from broker.protocols.sigv4.errors import SignatureReason, SigV4Rejected, hashed, shown

EXPIRES_SECONDS_MAX = 604_800
"""A presigned URL lives a week at most."""

_FIELDS = ("Credential", "Signature", "SignedHeaders")
_SENT = ("Credential", "SignedHeaders", "Signature")
_USUAL = re.compile(r"[\s,]+".join(rf"{name}=(?P<{name}>[^\s,]+)" for name in _SENT))
"""As SDKs sign, in the order in which they do; it is read at once."""

_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_HTTP_DATE = re.compile(
    r"(?:[A-Z][a-z]{2}, )?([0-9]{1,2}) ([A-Z][a-z]{2}) ([0-9]{4}) "
    r"([0-9]{2}):([0-9]{2}):([0-9]{2}) (?:GMT|UTC|[+-]0000)"
)
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec "
_EXPIRES = re.compile(r"[0-9]{1,6}")
UNSIGNED = "Request is missing Authentication Token"
NONCONFORMING = "The request signature does not conform to AWS standards."
RE_EXAMINE = "Re-examine the query-string parameters."


def parse_authorization(
    text: str, algorithms: Collection[str], *, dated: bool
) -> tuple[str, dict[str, str]]:
    """The algorithm, one of ``algorithms``, and what an Authorization header holds.

    That is ``Credential``, ``SignedHeaders`` and ``Signature``. ``dated`` says whether
    a date header came along; its absence is reported with the parts that are missing.

    Raises:
        SigV4Rejected: another scheme or algorithm, or parts missing or repeated.
    """
    algorithm, _, rest = text.partition(" ")
    if not algorithm.startswith("AWS4-"):
        raise SigV4Rejected(
            SignatureReason.UNSIGNED, UNSIGNED, "another scheme than AWS4"
        )
    if algorithm not in algorithms:
        raise SigV4Rejected(
            SignatureReason.INCOMPLETE,
            f"Unsupported AWS 'algorithm': '{shown(algorithm)}' "
            f"(only {' or '.join(algorithms)} for now). ",
        )
    usual = _USUAL.fullmatch(rest)
    if usual and dated:
        return algorithm, usual.groupdict()
    results: dict[str, str] = {}
    for piece in rest.replace(",", " ").split():
        name, equals, value = piece.partition("=")
        if not equals:
            raise SigV4Rejected(
                SignatureReason.INCOMPLETE,
                "Invalid key=value pair (missing equal-sign) in Authorization header "
                f"(hashed with SHA-256 and encoded with Base64): '{hashed(text)}'.",
            )
        if name in results or name not in _FIELDS:
            raise SigV4Rejected(
                SignatureReason.INCOMPLETE,
                NONCONFORMING,
                f"the Authorization header repeats or invents '{shown(name)}'",
            )
        results[name] = value
    if dated and len(results) == len(_FIELDS) and all(results.values()):
        return algorithm, results
    wrong = "".join(
        f"Authorization header requires '{name}' parameter. "
        for name in _FIELDS
        if not results.get(name)
    )
    if not dated:
        wrong += (
            "Authorization header requires existence of either a 'X-Amz-Date' or "
            "a 'Date' header. "
        )
    raise SigV4Rejected(
        SignatureReason.INCOMPLETE,
        f"{wrong}(Hashed with SHA-256 and encoded with Base64) "
        f"Authorization={hashed(text)}",
    )


def parse_date(text: str) -> tuple[str, datetime]:
    """The moment as text in ISO 8601 basic format, and as itself.

    ``X-Amz-Date`` is in that format; ``Date`` may be in HTTP's.

    Raises:
        SigV4Rejected: it is neither, or no such moment exists.
    """
    try:
        if _TIMESTAMP.fullmatch(text):
            return text, datetime.fromisoformat(text)
        match = _HTTP_DATE.fullmatch(text)
        if match:
            day, month, year, hour, minute, second = match.groups()
            at = datetime(
                int(year),
                _MONTHS.find(month) // 4 + 1,
                int(day),
                int(hour),
                int(minute),
                int(second),
                tzinfo=UTC,
            )
            return at.strftime("%Y%m%dT%H%M%SZ"), at
    except ValueError:
        pass  # a month of 40 days: the same answer as any other text
    raise SigV4Rejected(
        SignatureReason.INCOMPLETE,
        f"Date must be in ISO-8601 'basic format'. Got '{shown(text)}'. "
        "See http://en.wikipedia.org/wiki/ISO_8601",
    )


def parse_expires(text: str | None) -> int | None:
    """``X-Amz-Expires`` in seconds; None when it was not sent.

    Raises:
        SigV4Rejected: it is not a number from 1 to a week.
    """
    if text is None:
        return None
    if _EXPIRES.fullmatch(text) and 1 <= int(text) <= EXPIRES_SECONDS_MAX:
        return int(text)
    raise SigV4Rejected(
        SignatureReason.INCOMPLETE,
        f"X-Amz-Expires must be a number between 1 and {EXPIRES_SECONDS_MAX}. "
        + RE_EXAMINE,
    )
