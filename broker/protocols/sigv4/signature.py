"""Signing keys and the comparison of signatures."""

import hashlib
import hmac
import re

from broker.model.request import RawRequest
from broker.protocols.sigv4.credential import SignedRequest
from broker.protocols.sigv4.errors import reject_mismatch
from broker.protocols.sigv4.rules import STRICT, UNSIGNED_PAYLOAD, SignatureRules

_SHA256 = re.compile(r"[0-9a-f]{64}")


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
    signed: SignedRequest,
    raw: RawRequest,
    signing_key: hmac.HMAC,
    rules: SignatureRules = STRICT,
) -> str:
    """Check the signature over the request as it came, body included.

    Returns what was signed of the body: its hash, or what the rules let stand for it.

    Raises:
        SigV4Rejected: the signature or what is declared of the body is wrong.
    """
    payload = _payload(signed, raw, rules)
    keyed = signing_key.copy()
    keyed.update(_string_to_sign(signed, payload))
    if not hmac.compare_digest(
        keyed.hexdigest().encode("ascii"), signed.signature.encode()
    ):
        reject_mismatch(
            "wrong secret access key, or the request was changed in transit"
        )
    return payload


def signed_text(signed: SignedRequest, raw: RawRequest) -> bytes:
    """What the signature is over, for those who check it with a public key.

    Raises:
        SigV4Rejected: what is declared of the body is wrong.
    """
    return _string_to_sign(signed, _payload(signed, raw, STRICT))


def _string_to_sign(signed: SignedRequest, payload: str) -> bytes:
    canonical = signed.canonical_head + payload.encode("ascii")
    return (
        f"{signed.algorithm}\n{signed.timestamp}\n{signed.scope}\n"
        f"{hashlib.sha256(canonical).hexdigest()}"
    ).encode()


def _payload(signed: SignedRequest, raw: RawRequest, rules: SignatureRules) -> str:
    """What the signature covers of the body.

    The body's hash is computed, never believed: a hash that the client declares must
    be equal. Other declarations (``UNSIGNED-PAYLOAD`` and streaming, which belong to
    S3) count only where the service's rules say so.
    """
    declared = signed.content_sha256
    if declared is not None and declared in rules.payloads:
        return declared
    if declared is None and signed.presigned and rules.path_as_sent:
        declared = UNSIGNED_PAYLOAD  # as S3's clients presign
        if declared in rules.payloads:
            return declared
    if declared is not None and rules.believes_declared_hash:
        if not _SHA256.fullmatch(declared):
            reject_mismatch(
                "x-amz-content-sha256 is not a hash, nor what counts as one"
            )
        return declared
    payload = raw.body_sha256 or hashlib.sha256(raw.body).hexdigest()
    if declared is not None and declared != payload:
        reject_mismatch("x-amz-content-sha256 is not the hash of the body")
    return payload
