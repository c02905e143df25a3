"""What the broker's verifier says of a token, in one call."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest

from broker.protocols.oidc.jwks import KeySet, parse_jwks
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.protocols.oidc.verify import (
    STRICT,
    VerifiedToken,
    VerifyOptions,
    verify_token,
)
from tests.support.oidc_issuer import OidcIssuer

SKEW = timedelta(seconds=60)


def accepted(
    token: str,
    issuer: OidcIssuer,
    *,
    keys: KeySet | None = None,
    client_ids: Collection[str] = ("client-1",),
    now: datetime | None = None,
    options: VerifyOptions = STRICT,
) -> VerifiedToken:
    """The verified token of an issuer that is registered under its own URL."""
    return verify_token(
        token,
        keys=keys or parse_jwks(issuer.jwks_bytes()),
        issuer=issuer.url,
        client_ids=client_ids,
        now=now or datetime.now(UTC),
        skew=SKEW,
        options=options,
    )


def refused(token: str, issuer: OidcIssuer, **params: object) -> OidcRejected:
    """The refusal of a token; anything else fails the test."""
    with pytest.raises(OidcRejected) as caught:
        accepted(token, issuer, **params)  # type: ignore[arg-type] # passed through
    return caught.value


def reason_of(token: str, issuer: OidcIssuer, **params: object) -> OidcReason:
    """Why a token was refused."""
    return refused(token, issuer, **params).reason
