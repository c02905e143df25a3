"""Certificate revocation lists: read once, asked at every request.

Source: RFC 5280, 5 and 6.3.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from msgspec import Struct

from broker.protocols.x509.attributes import serial_number
from broker.protocols.x509.chain import VerifiedChain
from broker.protocols.x509.errors import UNREADABLE, CertificateRejected

LIST_BYTES_MAX = 300_000
LISTS_MAX = 16
"""Of one file: each is by an issuer of its own."""

SIGNERS_MAX = 8
"""Certificates of one issuer that are remembered for a list: it renews them seldom."""

_DIGITS = 16
"""Of an issuer's digest."""

_BEGIN, _END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
_BLOCK = re.compile(_BEGIN + b".*?" + _END, re.DOTALL)
_UNDERSTOOD = frozenset(
    {
        x509.CRLNumber.oid,
        x509.AuthorityKeyIdentifier.oid,
        x509.IssuerAlternativeName.oid,
        x509.FreshestCRL.oid,
        x509.AuthorityInformationAccess.oid,
    }
)


class RevocationList(Struct, frozen=True, kw_only=True):
    """A list, with the serial numbers that it revokes; its signature is not checked."""

    __repr__ = object.__repr__

    unverified: x509.CertificateRevocationList
    issuer: x509.Name
    serials: frozenset[int]
    expires_at: datetime | None
    _signers: dict[x509.Certificate, bool] = {}
    """What was found out about certificates: a long list takes milliseconds."""

    def is_signed_by(self, issuer: x509.Certificate) -> bool:
        """Whether this certificate's key signed it, and may sign lists."""
        known = self._signers.get(issuer)
        if known is None:
            known = self._verify(issuer)
            if len(self._signers) < SIGNERS_MAX:
                self._signers[issuer] = known
        return known

    def _verify(self, issuer: x509.Certificate) -> bool:
        try:
            usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        except x509.ExtensionNotFound:
            return False
        key = issuer.public_key()
        try:
            # Keys of other kinds than these are refused wherever one comes in.
            return usage.crl_sign and self.unverified.is_signature_valid(key)  # type: ignore[arg-type]
        except (TypeError, UnsupportedAlgorithm):
            return False


def parse_revocation_lists(data: bytes) -> tuple[RevocationList, ...]:
    """The list in DER, or all lists in PEM.

    Raises:
        CertificateRejected: one cannot be read, or says what is not understood here:
            lists of changes, of some reasons or of other issuers.
    """
    if len(data) > LIST_BYTES_MAX:
        raise CertificateRejected(f"A list can have {LIST_BYTES_MAX} bytes at most.")
    count = data.count(_BEGIN)
    if not count:
        return (_parse(data, x509.load_der_x509_crl),)
    if count > LISTS_MAX:
        raise CertificateRejected(f"A file can have {LISTS_MAX} lists at most.")
    blocks = _BLOCK.findall(data)
    if len(blocks) < count:
        raise CertificateRejected("The revocation list cannot be read: it has no end.")
    return tuple(_parse(block, x509.load_pem_x509_crl) for block in blocks)


def _parse(
    data: bytes, load: Callable[[bytes], x509.CertificateRevocationList]
) -> RevocationList:
    try:
        crl = load(data)
        foreign = [
            extension.oid
            for extension in crl.extensions
            if extension.oid not in _UNDERSTOOD
        ]
        serials = []
        for entry in crl:
            serials.append(entry.serial_number)
            foreign += [
                extension.oid for extension in entry.extensions if extension.critical
            ]
        issuer, expires_at = crl.issuer, crl.next_update_utc
    except UNREADABLE as error:
        raise CertificateRejected(
            "The revocation list cannot be read: give an X.509 list in PEM or DER.",
            f"{type(error).__name__}: {error}",
        ) from error
    if foreign:
        raise CertificateRejected(
            "The revocation list has an extension that is not supported:"
            f" {foreign[0].dotted_string}."
        )
    return RevocationList(
        unverified=crl,
        issuer=issuer,
        serials=frozenset(serials),
        expires_at=expires_at,
    )


def verify_not_revoked(
    chain: VerifiedChain, lists: Iterable[RevocationList], now: datetime
) -> None:
    """Ask the lists about each certificate of a path but the anchor.

    An issuer without a list revokes nothing. One whose lists are not signed by it, or
    are out of date, leaves open what it has revoked: then nothing passes.

    Raises:
        CertificateRejected: one is revoked, or it cannot be told.
    """
    known = tuple(lists)
    if not known:
        return
    for certificate, issuer in zip(
        chain.certificates, chain.certificates[1:], strict=False
    ):
        named = [
            revocation_list
            for revocation_list in known
            if revocation_list.issuer == certificate.issuer
        ]
        signed = [
            revocation_list
            for revocation_list in named
            if revocation_list.is_signed_by(issuer)
        ]
        if any(
            certificate.serial_number in revocation_list.serials
            for revocation_list in signed
        ):
            raise CertificateRejected(
                "Certificate revoked.", f"serial number {serial_number(certificate)}"
            )
        if named and not any(
            _is_current(revocation_list, now) for revocation_list in signed
        ):
            raise CertificateRejected(
                "The revocation list of the certificate's issuer is out of date or not"
                " signed by it.",
                f"issuer {issuer.subject.rfc4514_string()}",
            )


def issuer_digest(issuer: x509.Name) -> str:
    """By which an issuer of certificates is known where its name would be too long."""
    return hashlib.sha256(issuer.public_bytes()).hexdigest()[:_DIGITS]


def find_revocation(
    serial: int, issued_by: str, lists: Iterable[RevocationList], now: datetime
) -> str:
    """Why a certificate that was valid before is not now; empty if it still is.

    ``issued_by`` is its issuer's digest. Signatures of lists are not asked about: of a
    list that the issuer did not sign, `verify_not_revoked` lets nothing pass.
    """
    named = [each for each in lists if issuer_digest(each.issuer) == issued_by]
    if any(serial in each.serials for each in named):
        return f"the certificate with serial number {serial} is revoked"
    if named and not any(_is_current(each, now) for each in named):
        return "the revocation list of the certificate's issuer is out of date"
    return ""


def _is_current(revocation_list: RevocationList, now: datetime) -> bool:
    return revocation_list.expires_at is None or now < revocation_list.expires_at
