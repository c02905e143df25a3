"""Credential scope and time of a signed request.

Source: recorded order and texts (REC-A); kubernetes-sigs/aws-iam-authenticator for
presigned ``GetCallerIdentity``.
"""

import re
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from broker.protocols.sigv4.credential import SignedRequest
from broker.protocols.sigv4.errors import SignatureReason, SigV4Rejected, shown
from broker.protocols.sigv4.rules import STRICT, SignatureRules

TERMINATOR = "aws4_request"
_REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+){0,7}", re.ASCII)
_REGION_LENGTH = 64
_FORMAT = "%Y%m%dT%H%M%SZ"
_MINUTE = 60


def verify_scope(
    signed: SignedRequest,
    *,
    regions: AbstractSet[str] | None,
    service: str,
    also: Collection[str] = (),
) -> None:
    """Check region, service, terminator and date of the credential scope.

    ``regions`` None accepts every well-formed region; ``also`` are further names of
    the service. All texts that apply are sent
    together, region first.

    Raises:
        SigV4Rejected: the scope is not one for this service, here and then.
    """
    wrong = ""
    if not _accepts(regions, signed.region):
        wrong += "Credential should be scoped to a valid region. "
    if signed.service != service and signed.service not in also:
        wrong += f"Credential should be scoped to correct service: '{service}'. "
    if signed.terminator != TERMINATOR:
        wrong += (
            "Credential should be scoped with a valid terminator: "
            f"'{TERMINATOR}', not '{shown(signed.terminator)}'. "
        )
    if signed.date != signed.timestamp[:8]:
        wrong += (
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version "
            f"of date from HTTP: '{shown(signed.date)}' != '{signed.timestamp[:8]}', "
            f"from '{signed.timestamp}'."
        )
    if wrong:
        raise SigV4Rejected(
            SignatureReason.SCOPE, wrong, f"scope {shown(signed.scope)}"
        )


def verify_time(
    signed: SignedRequest,
    *,
    now: datetime,
    minimum_presigned_seconds: int = 0,
    rules: SignatureRules = STRICT,
) -> None:
    """Check that the request was signed just now, or is a URL that still holds.

    A presigned URL holds for ``X-Amz-Expires`` seconds (for the clock window when it
    names none), and never for less than ``minimum_presigned_seconds``.

    Raises:
        SigV4Rejected: too early or too late.
    """
    lifetime = window = rules.window_seconds
    if signed.presigned:
        lifetime = max(
            window if signed.expires_seconds is None else signed.expires_seconds,
            minimum_presigned_seconds,
        )
        most = rules.presigned_seconds_max
        if most is not None and lifetime > most:
            raise SigV4Rejected(
                SignatureReason.TIME,
                f"X-Amz-Expires must be {most} seconds at most for this service.",
            )
    at = signed.signed_at
    now = now.replace(microsecond=0)
    age = (now - at).total_seconds()
    if age > lifetime:
        cutoff = (now - timedelta(seconds=lifetime)).strftime(_FORMAT)
        raise SigV4Rejected(
            SignatureReason.TIME,
            f"Signature expired: {signed.timestamp} is now earlier than {cutoff} "
            f"({now.strftime(_FORMAT)} - {_duration(lifetime)}.)",
        )
    if age < -window:
        cutoff = (now + timedelta(seconds=window)).strftime(_FORMAT)
        raise SigV4Rejected(
            SignatureReason.TIME,
            f"Signature not yet current: {signed.timestamp} is still later than "
            f"{cutoff} ({now.strftime(_FORMAT)} + {_duration(window)}.)",
        )


def _accepts(regions: AbstractSet[str] | None, region: str) -> bool:
    if regions is not None:
        return region in regions
    return len(region) <= _REGION_LENGTH and _REGION.fullmatch(region) is not None


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, _MINUTE)
    return f"{seconds} sec" if rest else f"{minutes} min"
