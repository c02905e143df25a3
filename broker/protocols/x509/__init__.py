"""X.509 certificates as proof: chains, revocation lists, what a certificate says.

The path is validated by ``cryptography``'s verifier; here stand IAM Roles Anywhere's own
rules for it, and the check against revocation lists, which the verifier does not have.

Source: RFC 5280; IAM Roles Anywhere User Guide, "Trust model" and "Authentication".
"""

from broker.protocols.x509.attributes import (
    DEFAULT_MAPPINGS,
    SAN_SPECIFIERS,
    SPECIFIERS,
    describe,
    find_common_name,
    read_attributes,
    serial_number,
)
from broker.protocols.x509.chain import (
    CHAIN_MAX,
    Anchors,
    VerifiedChain,
    find_issued,
    parse_anchors,
    verify_chain,
)
from broker.protocols.x509.errors import CertificateRejected
from broker.protocols.x509.presented import (
    CERTIFICATE_HEADER,
    CHAIN_HEADER,
    PresentedCertificates,
    parse_presented,
)
from broker.protocols.x509.revocation import (
    RevocationList,
    parse_revocation_lists,
    verify_not_revoked,
)

__all__ = [
    "CERTIFICATE_HEADER",
    "CHAIN_HEADER",
    "CHAIN_MAX",
    "DEFAULT_MAPPINGS",
    "SAN_SPECIFIERS",
    "SPECIFIERS",
    "Anchors",
    "CertificateRejected",
    "PresentedCertificates",
    "RevocationList",
    "VerifiedChain",
    "describe",
    "find_common_name",
    "find_issued",
    "parse_anchors",
    "parse_presented",
    "parse_revocation_lists",
    "read_attributes",
    "serial_number",
    "verify_chain",
    "verify_not_revoked",
]
