"""Logout tokens: an identity provider reports that a session there has ended.

A logout token is signed like an ID token but is not one: it reports an event, never
holds a nonce and may omit the subject.

Source: OpenID Connect Back-Channel Logout 1.0, 2.4 and 2.6.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

from msgspec import Struct

from broker.protocols.oidc import claims as standard_claims
from broker.protocols.oidc.jwks import KeySet
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.protocols.oidc.token import LOGOUT_TYPES, UnverifiedToken, parse_token
from broker.protocols.oidc.verify import (
    STRICT,
    VerifyOptions,
    check_algorithm,
    verify_signature,
)

EVENT = "http://schemas.openid.net/event/backchannel-logout"
TOKEN_ID_CHARACTERS_MAX = 255
SESSION_ID_CHARACTERS_MAX = 255
LIFETIME_MAX = timedelta(hours=1)
"""The specification recommends two minutes; what was used up is remembered so long."""

USUAL_LIFETIME = timedelta(minutes=2)
"""Of a token without ``exp``, which drafts of the specification did not ask for."""


class LogoutToken(Struct, frozen=True, kw_only=True):
    """Whose session ended: the session's id, the subject, or both.

    Times are seconds since the epoch; after ``good_until`` no clock takes the token.
    """

    issuer: str
    subject: str | None
    session_id: str | None
    token_id: str
    issued_at: float
    good_until: float


def peek_logout(text: str) -> UnverifiedToken:
    """Read a logout token's form, without verifying anything.

    Raises:
        OidcRejected: NOT_A_JWT, or MISSING_CLAIM / BAD_CLAIM for the issuer.
    """
    return parse_token(text, types=LOGOUT_TYPES)


def verify_logout(
    token: UnverifiedToken,
    *,
    keys: KeySet,
    issuer: str,
    client_id: str,
    now: datetime,
    skew: timedelta,
    options: VerifyOptions = STRICT,
) -> LogoutToken:
    """Verify a logout token for one provider and one client.

    Signature first, by the rules of ID tokens; then issuer, times and audience; then
    what makes it a logout token.

    Raises:
        OidcRejected: with the reason.
    """
    check_algorithm(token, options)
    verify_signature(token, keys)
    claims = token.unverified_claims  # verified from here on
    required = ("iss", "aud", "iat", "jti", "events")
    standard_claims.require_claims(claims, required)
    standard_claims.check_issuer(claims, issuer)
    profile = options.aws_profile
    issued_at, expires_at, good_until = standard_claims.require_times(
        _with_expiry(claims), now=now, skew=skew, aws_profile=profile
    )
    if expires_at - issued_at > LIFETIME_MAX.total_seconds():
        _refuse("exp", "is more than an hour after iat")
    standard_claims.read_audience(claims, (client_id,))
    _check_event(claims)
    if "nonce" in claims:
        _refuse("nonce", "is there; a logout token has none")
    subject = _find_subject(claims, aws_profile=profile)
    session_id = _find_text(claims, "sid", SESSION_ID_CHARACTERS_MAX)
    if subject is None and session_id is None:
        raise OidcRejected(
            OidcReason.MISSING_CLAIM, "Missing a required claim: sub or sid"
        )
    token_id = _find_text(claims, "jti", TOKEN_ID_CHARACTERS_MAX)
    if token_id is None:
        _refuse("jti", "is null")
    return LogoutToken(
        issuer=issuer,
        subject=subject,
        session_id=session_id,
        token_id=token_id,
        issued_at=issued_at,
        good_until=good_until,
    )


def _with_expiry(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    issued = claims["iat"]
    if "exp" in claims or not isinstance(issued, int | float):
        return claims
    return {**claims, "exp": issued + int(USUAL_LIFETIME.total_seconds())}


def _check_event(claims: Mapping[str, Any]) -> None:
    events = claims["events"]
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        _refuse("events", f"is {events!r:.200}, without the logout event's object")


def _find_subject(claims: Mapping[str, Any], *, aws_profile: bool) -> str | None:
    """The subject, in whatever form the provider's ID tokens may have it."""
    if claims.get("sub") is None:
        return None
    subject = standard_claims.read_subject(claims, aws_profile=aws_profile)
    if not subject:
        _refuse("sub", "is empty")
    return subject


def _find_text(claims: Mapping[str, Any], name: str, longest: int) -> str | None:
    if claims.get(name) is None:
        return None
    text = standard_claims.read_text(claims[name], name)
    if not 1 <= len(text) <= longest:
        _refuse(name, f"has {len(text)} characters, 1 to {longest} are accepted")
    return text


def _refuse(name: str, detail: str) -> NoReturn:
    raise OidcRejected(OidcReason.BAD_CLAIM, f"bad claim: {name}", f"{name} {detail}")
