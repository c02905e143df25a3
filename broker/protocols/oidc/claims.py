"""Checks the claims that every ID token needs: issuer, subject, audience, times.

Source: OpenID Connect Core sections 2 and 3.1.3.7; RFC 7519 section 4.1; recorded
answers (REC-S oidc).
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import filterfalse
from typing import Any, NoReturn

from broker.protocols.oidc.rejection import OidcReason, OidcRejected

REQUIRED_CLAIMS = ("iss", "sub", "aud", "iat", "exp")
SUBJECT_CHARACTERS_MAX = 255
LIFETIME_SECONDS_MAX = 10 * 366 * 86_400
"""How far ahead ``exp`` may be; more suggests a mistake or an attack."""

AWS_SKEW = timedelta(minutes=5)
"""The leeway that AWS gives; the compatibility profile has it."""

# Characters that an XML answer cannot carry, and those that fake log lines.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")


def require_claims(
    claims: Mapping[str, Any], names: Iterable[str] = REQUIRED_CLAIMS
) -> None:
    """Refuse a token in which a required claim is missing."""
    for name in filterfalse(claims.__contains__, names):
        raise OidcRejected(
            OidcReason.MISSING_CLAIM, f"Missing a required claim: {name}"
        )


def check_issuer(claims: Mapping[str, Any], issuer: str) -> None:
    """Refuse a token of any other issuer; every character counts."""
    if claims["iss"] != issuer:
        raise OidcRejected(
            OidcReason.WRONG_ISSUER,
            "wrong issuer",
            f"iss is {claims['iss']!r:.200}, expected {issuer!r}",
        )


def read_subject(claims: Mapping[str, Any], *, aws_profile: bool = False) -> str:
    """The subject: 1 to 255 printable characters.

    The profile of AWS takes a number as its text and any length.
    """
    subject = claims["sub"]
    if aws_profile and type(subject) is int:
        subject = str(subject)
    text = read_text(subject, "sub")
    if not aws_profile and not 1 <= len(text) <= SUBJECT_CHARACTERS_MAX:
        _refuse("sub", f"has {len(text)} characters, 1 to 255 are accepted")
    return text


def read_text(value: object, name: str) -> str:
    """A string that can stand in an answer and in a log."""
    if not isinstance(value, str):
        _refuse(name, f"is {value!r:.80}, not a string")
    if _UNPRINTABLE.search(value):
        _refuse(name, "has control characters")
    return value


def read_audience(
    claims: Mapping[str, Any], client_ids: Collection[str], *, aws_profile: bool = False
) -> tuple[str, tuple[str, ...]]:
    """The registered client id that the token was made for; for no other is it taken.

    It is ``azp`` when the token has one, else ``aud``. Behind it is the raw ``aud``
    when ``azp`` took its place.

    ``aud`` must hold a registered client id, and ``azp``, when there is one, must be
    one. The profile of AWS looks at ``azp`` alone when it is there.
    """
    audiences = _read_audiences(claims["aud"])
    if "azp" in claims:
        party = claims["azp"]
        known = isinstance(party, str) and party in client_ids
        if known and (aws_profile or any(aud in client_ids for aud in audiences)):
            return party, audiences
        note = ", which is registered" if known else ""
        raise _wrong_audience(f"azp is {party!r:.200}{note}, aud is {audiences!r:.400}")
    if len(audiences) > 1:
        raise OidcRejected(
            OidcReason.NO_AUTHORIZED_PARTY,
            "Token audience contains more than one audience"
            " while authorized party is not present",
            f"aud is {audiences!r:.400}",
        )
    if audiences[0] not in client_ids:
        raise _wrong_audience(f"aud is {audiences[0]!r:.200}")
    return audiences[0], ()


def require_times(
    claims: Mapping[str, Any],
    *,
    now: datetime,
    skew: timedelta,
    aws_profile: bool = False,
) -> tuple[float, float, float]:
    """When a token was issued, ends, and when no clock takes it any more.

    Until then what was used up is remembered. Seconds since the epoch. A token that is
    not valid at ``now``, give or take ``skew``, is refused.
    The times in the messages are shifted by the skew, as AWS shifts them.
    """
    if aws_profile:
        skew = max(skew, AWS_SKEW)
    moment, leeway = now.timestamp(), skew.total_seconds()
    issued_at = _read_time(claims["iat"], "iat", text=aws_profile)
    expires_at = _read_time(claims["exp"], "exp", text=aws_profile)
    if expires_at > moment + LIFETIME_SECONDS_MAX:
        raise _bad_timestamp("exp", "is more than ten years ahead")
    not_before = 0.0
    if "nbf" in claims:
        not_before = _read_time(claims["nbf"], "nbf", text=aws_profile)
    if moment - leeway >= expires_at:
        raise OidcRejected(
            OidcReason.EXPIRED,
            f"Token expired: current date/time {int(moment - leeway)} must be"
            f" before the expiration date/time {int(expires_at)}",
        )
    if issued_at > moment + leeway:
        raise OidcRejected(
            OidcReason.ISSUED_IN_FUTURE, f"Token issued in the future: {int(issued_at)}"
        )
    if not_before > moment + leeway:
        raise OidcRejected(
            OidcReason.NOT_YET_VALID,
            f"Token not yet valid: current date/time {int(moment + leeway)} must"
            f" be after or equal to the not-before date/time {int(not_before)}",
        )
    if expires_at < issued_at:
        raise _bad_timestamp("exp", f"{expires_at:.0f} is before iat {issued_at:.0f}")
    if expires_at < not_before:
        raise _bad_timestamp("exp", f"{expires_at:.0f} is before nbf {not_before:.0f}")
    return issued_at, expires_at, expires_at + 2 * leeway


def _read_audiences(value: object) -> tuple[str, ...]:
    if isinstance(value, str) and value:
        return (read_text(value, "aud"),)
    audiences = value if isinstance(value, list) else [value]
    if not audiences or value == "":
        raise OidcRejected(
            OidcReason.EMPTY_CLAIM, "Claim is not allowed to be empty: aud"
        )
    return tuple(read_text(audience, "aud") for audience in audiences)


def _read_time(value: object, name: str, *, text: bool) -> float:
    """A NumericDate: a finite JSON number that is not negative.

    Source: RFC 7519 section 2. Python's ``bool`` is an ``int``; JSON's is not.
    """
    if text and isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value) if len(value) <= 12 else math.inf  # noqa: PLR2004  # year 33,658
    if type(value) is not int and type(value) is not float:
        raise _bad_timestamp(name, f"is {value!r:.80}, not a number")
    if not 0 <= value < 1e12:  # noqa: PLR2004  # also false for NaN
        raise _bad_timestamp(name, "is out of bounds")
    return value


def _bad_timestamp(name: str, detail: str) -> OidcRejected:
    return OidcRejected(
        OidcReason.BAD_TIMESTAMP,
        "Invalid timestamp in token claims.",
        f"{name} {detail}",
    )


def _wrong_audience(detail: str) -> OidcRejected:
    return OidcRejected(
        OidcReason.WRONG_AUDIENCE,
        "wrong audience",
        f"{detail}; not a client id of the provider",
    )


def _refuse(name: str, detail: str) -> NoReturn:
    raise OidcRejected(OidcReason.BAD_CLAIM, f"bad claim: {name}", f"{name} {detail}")
