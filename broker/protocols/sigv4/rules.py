"""How requests for a service are signed, where services differ.

Source: IAM User Guide, "Create a signed AWS API request"; S3 API reference,
"Authenticating Requests (AWS Signature Version 4)".
"""

from typing import Final

from msgspec import Struct

HMAC = "AWS4-HMAC-SHA256"

WINDOW_SECONDS = 300
"""How far a client's clock may be off, either way: AWS's five minutes."""

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


class SignatureRules(Struct, frozen=True):
    """One service's rules; the defaults are those of STS and IAM.

    ``path_as_sent``: the path is signed as it was sent, as for S3, neither normalised
    nor encoded once more. ``payloads`` are values of ``x-amz-content-sha256`` that
    count in place of the body's hash. ``window_seconds`` is how far a signature's time
    may be off, ``presigned_seconds_max`` how long a presigned URL may hold (None for
    the scheme's own bound). ``believes_declared_hash`` is for requests whose body is
    elsewhere: the receiver of the body must compare. ``algorithms`` are those that the
    ``Authorization`` header may name.
    """

    path_as_sent: bool = False
    payloads: frozenset[str] = frozenset()
    window_seconds: int = WINDOW_SECONDS
    presigned_seconds_max: int | None = None
    believes_declared_hash: bool = False
    algorithms: tuple[str, ...] = (HMAC,)


STRICT: Final = SignatureRules()
"""STS's and IAM's."""

X509: Final = SignatureRules(
    algorithms=("AWS4-X509-RSA-SHA256", "AWS4-X509-ECDSA-SHA256")
)
"""Those of requests that a certificate's key signs.

Source: IAM Roles Anywhere User Guide, "Authentication signing process".
"""
