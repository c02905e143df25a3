"""From a text to a verified token.

Only this module makes a ``VerifiedToken``. Nothing is fetched, and the only time is
the call's ``now``.

Source: OpenID Connect Core 3.1.3.7; RFC 7515 5.2; RFC 8725.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from broker.protocols.oidc import aws_claims
from broker.protocols.oidc import claims as standard_claims
from broker.protocols.oidc.algorithms import ALGORITHM_NAMES, ALGORITHMS
from broker.protocols.oidc.jwks import KeySet, is_small_order
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.protocols.oidc.token import UnverifiedToken, parse_token

_CONTEXT_TEXTS = 100
"""Members of ``amr`` that are read."""


class VerifyOptions(Struct, frozen=True):
    """What a provider's registration allows.

    ``aws_profile`` takes numeric strings as times, a number as ``sub``, a subject of
    any length, five minutes of leeway, and ``azp`` instead of ``aud``; it changes
    nothing about signatures, algorithms and expiry.
    """

    algorithms: frozenset[str] = ALGORITHM_NAMES
    aws_profile: bool = False
    require_token_id: bool = False


STRICT = VerifyOptions()


class VerifiedToken(Struct, frozen=True, kw_only=True):
    """A token whose signature, issuer, audience and times hold.

    ``audience`` is the registered client id that matched; ``replaced_audience`` the
    raw ``aud`` when ``azp`` took its place. Times are seconds since the epoch;
    after ``good_until`` no clock takes the token. ``claims`` are all claims of the token, for rules of the operator's own.
    """

    __repr__ = object.__repr__

    issuer: str
    subject: str
    audience: str
    replaced_audience: tuple[str, ...]
    issued_at: float
    expires_at: float
    good_until: float
    token_id: str | None
    authentication_methods: tuple[str, ...]
    email: str | None
    session_tags: aws_claims.ClaimedTags
    source_identity: str | None
    allowed_roles: frozenset[str] | None
    claims: Mapping[str, Any]


def check_algorithm(token: UnverifiedToken, options: VerifyOptions) -> None:
    """Refuse an algorithm that the provider does not use, before any key is fetched.

    Raises:
        OidcRejected: ALGORITHM_NOT_ALLOWED.
    """
    if token.algorithm not in options.algorithms:
        raise OidcRejected(
            OidcReason.ALGORITHM_NOT_ALLOWED,
            "algorithm not allowed",
            f"alg is {token.algorithm!r:.40}, allowed are {sorted(options.algorithms)}",
        )


def verify_token(
    token: UnverifiedToken | str,
    *,
    keys: KeySet,
    issuer: str,
    client_ids: Collection[str],
    now: datetime,
    skew: timedelta,
    options: VerifyOptions = STRICT,
) -> VerifiedToken:
    """Verify a token for one provider: its keys, its issuer, its client ids.

    Signature first; then issuer, subject, times and audience; then AWS's claims.
    UNKNOWN_KEY says that the key set does not hold the key that the token names:
    the caller may fetch the set once more.

    Raises:
        OidcRejected: with the reason.
    """
    if isinstance(token, str):
        token = parse_token(token)
    check_algorithm(token, options)
    verify_signature(token, keys)
    claims = token.unverified_claims  # verified from here on
    if "events" in claims:
        # A logout token without ``typ`` has everything else that AWS asks for.
        raise OidcRejected(
            OidcReason.BAD_CLAIM,
            "bad claim: events",
            "the token tells of events, such as a logout; an ID token does not",
        )
    standard_claims.require_claims(claims)
    standard_claims.check_issuer(claims, issuer)
    profile = options.aws_profile
    subject = standard_claims.read_subject(claims, aws_profile=profile)
    issued_at, expires_at, good_until = standard_claims.require_times(
        claims, now=now, skew=skew, aws_profile=profile
    )
    audience, replaced_audience = standard_claims.read_audience(
        claims, client_ids, aws_profile=profile
    )
    return VerifiedToken(
        issuer=issuer,
        subject=subject,
        audience=audience,
        replaced_audience=replaced_audience,
        issued_at=issued_at,
        expires_at=expires_at,
        good_until=good_until,
        token_id=_read_token_id(claims, required=options.require_token_id),
        authentication_methods=_read_texts(claims["amr"]) if "amr" in claims else (),
        email=_read_optional_text(claims.get("email")),
        session_tags=aws_claims.read_tags(claims),
        source_identity=aws_claims.read_source_identity(claims),
        allowed_roles=aws_claims.read_allowed_roles(claims),
        claims=claims,
    )


def verify_signature(token: UnverifiedToken, keys: KeySet) -> None:
    """Verify a token's signature with the key that its header names.

    Raises:
        OidcRejected: UNKNOWN_KEY, KEY_DOES_NOT_FIT or BAD_SIGNATURE.
    """
    key = keys.find(token.kid)
    if key is None:
        raise OidcRejected(
            OidcReason.UNKNOWN_KEY,
            "unknown key",
            f"kid is {token.kid!r:.80}, usable are {sorted(keys.keys)!r:.400}"
            + (f"; not usable: {'; '.join(keys.skipped):.400}" if keys.skipped else ""),
        )
    if token.algorithm not in key.algorithms:
        raise OidcRejected(
            OidcReason.KEY_DOES_NOT_FIT,
            "key does not fit",
            f"alg is {token.algorithm}, the key is for {sorted(key.algorithms)}",
        )
    algorithm = ALGORITHMS[token.algorithm]
    signature = token.signature
    weak = algorithm.key_type == "OKP" and is_small_order(signature)
    if weak or not algorithm.verifier.verify(token.signing_input, key.key, signature):
        raise OidcRejected(
            OidcReason.BAD_SIGNATURE,
            "bad signature",
            f"the key {key.kid!r:.80} did not make this signature",
        )


def _read_token_id(claims: Mapping[str, Any], *, required: bool) -> str | None:
    if "jti" not in claims and required:
        raise OidcRejected(OidcReason.MISSING_CLAIM, "Missing a required claim: jti")
    if not required:
        value = claims.get("jti")
        return value if isinstance(value, str) else None
    token_id = standard_claims.read_text(claims["jti"], "jti")
    if not token_id:
        raise OidcRejected(
            OidcReason.EMPTY_CLAIM, "Claim is not allowed to be empty: jti"
        )
    return token_id


def _read_optional_text(value: object) -> str | None:
    """A claim that conditions may look at; of another type it is absent."""
    return value if isinstance(value, str) else None


def _read_texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        return ()
    return tuple(member for member in value[:_CONTEXT_TEXTS] if isinstance(member, str))
