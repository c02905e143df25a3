"""Which chains are valid: anchors, path validation, and rules for the end entity.

Clients send what a key store has: other machines' certificates, and old ones beside
those that renewed them. What is on no path from the end entity is passed over, and of
several issuers with one name the path goes through one that is valid.

Source: RFC 5280, 6; RFC 4158, 2 and 3; IAM Roles Anywhere User Guide, "Trust model".
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)
from msgspec import Struct

from broker.protocols.x509.errors import UNREADABLE, CertificateRejected

CHAIN_MAX = 5
"""Intermediate certificates of a request by whose names a path from its end entity may
lead, without repeats and what is known anyway."""

ANCHORS_MAX = 100
"""Certificates of one trust anchor."""

NAMESAKES_MAX = 4
"""Those of them with one subject: each is tried for every certificate that it may have
issued."""

FORGED_MAX = 8
"""Signatures of a request's certificates that need not be their issuer's: an anchor may
have several certificates with one subject."""

NAMES_MAX = 100
"""Alternative names of a certificate, and name constraints of an authority: each of the
ones is compared with each of the others."""

_UNTRUSTED = "Untrusted certificate. Insufficient certificate"
_RSA_BITS = (2048, 4096)
_CURVES = (SECP256R1, SECP384R1, SECP521R1)
_EXPONENT_MAX = 2**32
_HASHES = (SHA256, SHA384, SHA512)
_CONSTRAINTS = (
    x509.DNSName,
    x509.IPAddress,
    x509.RFC822Name,
    x509.UniformResourceIdentifier,
)
_CLIENT = frozenset(
    {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
)

_CA_POLICY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    .require_present(x509.KeyUsage, Criticality.AGNOSTIC, None)
)
_END_ENTITY_POLICY = ExtensionPolicy.permit_all().require_present(
    x509.KeyUsage, Criticality.AGNOSTIC, None
)


class Anchors(Struct, frozen=True, kw_only=True):
    """The certificates of a trust anchor, each of them fit to be one."""

    certificates: tuple[x509.Certificate, ...]
    encoded: frozenset[bytes]
    store: Store


class VerifiedChain(Struct, frozen=True, kw_only=True):
    """A validated path, the end entity first and an anchor last."""

    certificates: tuple[x509.Certificate, ...]
    begins_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, *certificates: x509.Certificate) -> "VerifiedChain":
        """The path of certificates that were validated."""
        return cls(
            certificates=certificates,
            begins_at=max(entry.not_valid_before_utc for entry in certificates),
            ends_at=min(entry.not_valid_after_utc for entry in certificates),
        )

    def holds_at(self, moment: datetime) -> bool:
        """Whether all its certificates are valid then; the rest holds at any time."""
        return self.begins_at <= moment <= self.ends_at

    @property
    def leaf(self) -> x509.Certificate:
        """The end entity's certificate."""
        return self.certificates[0]


def parse_anchors(pem: str) -> Anchors:
    """The certificate authorities of a bundle in PEM.

    Raises:
        CertificateRejected: one cannot be read or is none of a certificate authority.
    """
    try:
        certificates = tuple(x509.load_pem_x509_certificates(pem.encode("utf-8")))
        if len(certificates) > ANCHORS_MAX:
            raise CertificateRejected(
                f"A trust anchor can have at most {ANCHORS_MAX} certificates."
            )
        for certificate in certificates:
            _require_authority(certificate)
        subjects = Counter(certificate.subject for certificate in certificates)
        if any(count > NAMESAKES_MAX for count in subjects.values()):
            raise CertificateRejected(
                f"A trust anchor can have {NAMESAKES_MAX} certificates with one subject"
                " at most."
            )
    except UNREADABLE as error:
        raise CertificateRejected(
            "Incorrect certificate data: give X.509 certificates in PEM.",
            f"{type(error).__name__}: {error}",
        ) from error
    encoded = frozenset(
        certificate.public_bytes(Encoding.DER) for certificate in certificates
    )
    return Anchors(
        certificates=certificates, encoded=encoded, store=Store(list(certificates))
    )


def find_named(
    leaf: x509.Certificate, others: Iterable[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """Those that a path from the end entity may lead through, by the issuers' names.

    Raises:
        ValueError: a name cannot be read.
    """
    certificates, left = list[x509.Certificate](), list(others)
    names = {leaf.issuer}
    while issuers := [entry for entry in left if entry.subject in names]:
        certificates += issuers
        left = [entry for entry in left if entry not in issuers]
        names = {entry.issuer for entry in issuers}
    return tuple(certificates)


def find_issued(
    leaf: x509.Certificate, chain: Iterable[x509.Certificate], anchors: Anchors
) -> tuple[x509.Certificate, ...]:
    """Those intermediate certificates that an anchor issued, directly or not.

    It goes down from the anchors: of a certificate that none of them leads to, only
    the signature is looked at, with a key that is known already.

    Raises:
        CertificateRejected: the end entity's certificate is not among what they issued.
    """
    left, certificates, forged = [leaf, *chain], [], 0
    issuers = list(anchors.certificates)
    while issuers and forged < FORGED_MAX:
        issuer = issuers.pop()
        for certificate in tuple(left):
            try:
                certificate.verify_directly_issued_by(issuer)
            except InvalidSignature:
                forged += 1
            except (TypeError, *UNREADABLE):
                continue  # another issuer is named, or another kind of key
            else:
                left.remove(certificate)
                if certificate is not leaf:
                    _require_sound(certificate)
                    certificates.append(certificate)
                    issuers.append(certificate)
    if leaf in left:
        raise CertificateRejected(
            _UNTRUSTED, "no valid path leads from the certificate to the trust anchor"
        )
    return tuple(certificates)


def verify_chain(
    leaf: x509.Certificate,
    chain: tuple[x509.Certificate, ...],
    anchors: Anchors,
    now: datetime,
) -> VerifiedChain:
    """Validate the path from an end entity to one of the anchors.

    ``chain`` is what `find_issued` found: an authority's own certificates, not what
    anyone can make costly.

    Raises:
        CertificateRejected: there is no such path, or it breaks a rule.
    """
    try:
        for certificate in (leaf, *chain):
            _require_bounded(certificate)
        return _verify(leaf, chain, anchors, now)
    except UNREADABLE as error:
        raise CertificateRejected(
            "A certificate of the request cannot be read.",
            f"{type(error).__name__}: {error}",
        ) from error


def _verify(
    leaf: x509.Certificate,
    chain: tuple[x509.Certificate, ...],
    anchors: Anchors,
    now: datetime,
) -> VerifiedChain:
    # With one candidate a step, the work grows only with the length.
    chain = _choose_issuers(leaf, chain, anchors, now)
    _require_end_entity(leaf)
    for certificate in chain:
        _require_authority(certificate)
    for certificate in (leaf, *chain):
        _require_valid(certificate, now)
    verifier = (
        PolicyBuilder()
        .store(anchors.store)
        .time(now)
        .max_chain_depth(CHAIN_MAX)
        .extension_policies(ca_policy=_CA_POLICY, ee_policy=_END_ENTITY_POLICY)
        .build_client_verifier()
    )
    try:
        verified = verifier.verify(leaf, list(chain))
    except VerificationError as error:
        raise CertificateRejected(
            _UNTRUSTED,
            f"no valid path leads from the certificate to the trust anchor: {error}",
        ) from error
    _require_known_constraints(leaf, verified.chain[1:])
    return VerifiedChain.of(*verified.chain)


def _choose_issuers(
    leaf: x509.Certificate,
    issued: Iterable[x509.Certificate],
    anchors: Anchors,
    now: datetime,
) -> tuple[x509.Certificate, ...]:
    """The intermediate certificates of one path, which the end entity's issuer begins.

    All of them were ``issued`` below an anchor, so that each leads to one. Of several
    issuers it takes one that is valid now, and that for longest.
    """
    chain, left, below = list[x509.Certificate](), list(issued), leaf
    while not any(
        _is_valid(anchor, now) and _has_issued(anchor, below)
        for anchor in anchors.certificates
    ):
        issuers = [entry for entry in left if _has_issued(entry, below)]
        if not issuers:
            break
        below = max(
            issuers,
            key=lambda entry: (_is_valid(entry, now), entry.not_valid_after_utc),
        )
        left.remove(below)
        chain.append(below)
    return tuple(chain)


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, *UNREADABLE):
        return False
    return True


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def require_sound_key(certificate: x509.Certificate) -> None:
    """Refuse keys that prove too little, or that take too long.

    Raises:
        CertificateRejected: RSA with less than 2,048 or more than 4,096 bits, another
            curve than P-256, P-384 and P-521, or another kind of key.
    """
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey):
        least, most = _RSA_BITS
        exponent = key.public_numbers().e
        if least <= key.key_size <= most and exponent < _EXPONENT_MAX:
            return
    elif isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return
    raise CertificateRejected(
        "Keys of certificates must be RSA with 2048 to 4096 bits, or on the curve"
        " P-256, P-384 or P-521."
    )


def _require_bounded(certificate: x509.Certificate) -> None:
    """Read the extensions, once, and count what is compared."""
    for extension in certificate.extensions:
        match extension.value:
            case x509.SubjectAlternativeName() as names:
                count = len(list(names))
            case x509.NameConstraints(
                permitted_subtrees=some, excluded_subtrees=others
            ):
                count = len(some or ()) + len(others or ())
            case _:
                continue
        if count > NAMES_MAX:
            raise CertificateRejected(
                f"Certificates can have at most {NAMES_MAX} alternative names and name"
                " constraints."
            )


def _require_sound(certificate: x509.Certificate) -> None:
    if certificate.version is not x509.Version.v3:
        raise CertificateRejected("Certificates must be X.509 version 3.")
    require_sound_key(certificate)
    if not isinstance(certificate.signature_hash_algorithm, _HASHES):
        raise CertificateRejected(
            "Certificates must be signed with SHA-256, SHA-384 or SHA-512."
        )


def _require_valid(certificate: x509.Certificate, now: datetime) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end < now:
        raise CertificateRejected(
            "Certificate expired.",
            f"{certificate.subject.rfc4514_string()[:200]} ended {end:%Y-%m-%d %H:%M} UTC",
        )
    if now < start:
        raise CertificateRejected(
            "Certificate not yet valid.",
            f"{certificate.subject.rfc4514_string()[:200]} begins"
            f" {start:%Y-%m-%d %H:%M} UTC",
        )


def _require_authority(certificate: x509.Certificate) -> None:
    _require_sound(certificate)
    if not _is_authority(certificate):
        raise CertificateRejected(
            "Incorrect basic constraints for CA certificate: CA must be true."
        )
    usage = _find_usage(certificate)
    if usage is None or not usage.key_cert_sign:
        raise CertificateRejected(
            "Incorrect key usage for CA certificate: it must have Certificate Sign."
        )


def _require_end_entity(certificate: x509.Certificate) -> None:
    _require_sound(certificate)
    if _is_authority(certificate):
        raise CertificateRejected(
            "Incorrect basic constraints for end-entity certificate: it is one of a CA."
        )
    usage = _find_usage(certificate)
    if usage is None or not usage.digital_signature:
        raise CertificateRejected(
            "Incorrect key usage for end-entity certificate: it must have Digital"
            " Signature."
        )
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return
    if _CLIENT.isdisjoint(purposes.value):
        raise CertificateRejected(
            "Incorrect extended key usage for end-entity certificate: it must have"
            " Client Authentication."
        )


def _require_known_constraints(
    leaf: x509.Certificate, authorities: Iterable[x509.Certificate]
) -> None:
    """Refuse name constraints that the verifier passes over.

    It compares alternative names, critical or not, but no subjects: neither with
    directory names nor, for their mail addresses, with RFC 822 names.
    """
    has_address = bool(leaf.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS))
    for authority in authorities:
        try:
            extension = authority.extensions.get_extension_for_class(
                x509.NameConstraints
            )
        except x509.ExtensionNotFound:
            continue
        limits = extension.value
        for name in (
            *(limits.permitted_subtrees or ()),
            *(limits.excluded_subtrees or ()),
        ):
            if not isinstance(name, _CONSTRAINTS) or (
                has_address and isinstance(name, x509.RFC822Name)
            ):
                raise CertificateRejected(
                    _UNTRUSTED,
                    "a certificate authority has name constraints of a kind that is not"
                    " supported here for this certificate's subject",
                )


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        extension = certificate.extensions.get_extension_for_class(
            x509.BasicConstraints
        )
    except x509.ExtensionNotFound:
        return False
    return extension.value.ca


def _find_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
