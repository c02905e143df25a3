"""AWS Signature Version 4 from the server's side.

A request is read once, into a ``SignedRequest`` that already holds everything the
signature covers; scope, time and signature are then judged one after the other, so
that the caller can look up the key in between. Nothing that is not covered by the
signature is ever read.

Source: IAM User Guide, "Create a signed AWS API request"; reference, section 7.
"""

from broker.protocols.sigv4.canonical import collect_headers
from broker.protocols.sigv4.credential import SignedRequest, parse_signed
from broker.protocols.sigv4.errors import SignatureReason, SigV4Rejected
from broker.protocols.sigv4.rules import STRICT, X509, SignatureRules
from broker.protocols.sigv4.signature import (
    derive_signing_key,
    prepare_signing_key,
    signed_text,
    verify_signature,
)
from broker.protocols.sigv4.verify import verify_scope, verify_time

__all__ = [
    "STRICT",
    "X509",
    "SigV4Rejected",
    "SignatureReason",
    "SignatureRules",
    "SignedRequest",
    "collect_headers",
    "derive_signing_key",
    "parse_signed",
    "prepare_signing_key",
    "signed_text",
    "verify_scope",
    "verify_signature",
    "verify_time",
]
