"""Signing keys and the comparison of signatures."""

import hashlib
import hmac

from broker.model.raw import RawRequest
from broker.protocols.sigv4.credential import SignedRequest
from broker.protocols.sigv4.errors import reject_mismatch
from broker.protocols.sigv4.fields import ALGORITHM


def derive_signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The 32-byte key that a secret access key gives for one credential scope."""
    key = hmac.digest(b"AWS4" + secret.encode(), date.encode(), "sha256")
    key = hmac.digest(key, region.encode(), "sha256")
    key = hmac.digest(key, service.encode(), "sha256")
    return hmac.digest(key, b"aws4_request", "sha256")


def prepare_signing_key(key: bytes) -> hmac.HMAC:
    """The key, hashed already: each signature takes a copy."""
    return hmac.new(key, digestmod="sha256")


def verify_signature(
    signed: SignedRequest, raw: RawRequest, signing_key: hmac.HMAC
) -> None:
    """Check the signature over the request as it came, body included.

    The body's hash is computed, never believed: a hash that the client declares
    must be equal, so that ``UNSIGNED-PAYLOAD`` and streaming hashes, which belong
    to S3, are refused.

    Raises:
        SigV4Rejected: the signature or the declared hash of the body is wrong.
    """
    payload = raw.body_sha256 or hashlib.sha256(raw.body).hexdigest()
    if signed.content_sha256 is not None and signed.content_sha256 != payload:
        reject_mismatch("x-amz-content-sha256 is not the hash of the body")
    canonical = signed.canonical_head + payload.encode("ascii")
    to_sign = (
        f"{ALGORITHM}\n{signed.timestamp}\n{signed.scope}\n"
        f"{hashlib.sha256(canonical).hexdigest()}"
    )
    keyed = signing_key.copy()
    keyed.update(to_sign.encode())
    if not hmac.compare_digest(
        keyed.hexdigest().encode("ascii"), signed.signature.encode()
    ):
        reject_mismatch("wrong secret access key, or the request changed on its way")
