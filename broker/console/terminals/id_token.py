"""The ID token of a terminal login: who it was that logged in.

AWS's CLI reads the session's ARN from it and verifies nothing. It is an unsecured JWT,
which means something only to the client that requested it over this connection: there
is not a key whose signature could make it a proof somewhere else.

Source: OpenID Connect Core 1.0, 2 and 3.1.3.7; RFC 7519 6.1; AWS CLI 2,
customizations/login; botocore's signin model.
"""

from datetime import datetime

from broker.protocols.oidc import base64url
from broker.protocols.shapes.documents import dump


def id_token(
    *, issuer: str, subject: str, audience: str, now: datetime, expires_at: datetime
) -> str:
    """The token; ``subject`` is the ARN of who logged in."""
    claims = {
        "iss": issuer,
        "sub": subject,
        "aud": audience,
        "iat": int(now.timestamp()),
        "exp": int(expires_at.timestamp()),
    }
    parts = (dump({"alg": "none", "typ": "JWT"}), dump(claims), b"")
    return ".".join(map(base64url.encode, parts))
