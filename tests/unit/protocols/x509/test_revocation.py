"""Which revocation lists are read, and what they revoke."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from broker.protocols.x509.chain import VerifiedChain
from broker.protocols.x509.errors import CertificateRejected
from broker.protocols.x509.revocation import (
    LIST_BYTES_MAX,
    parse_revocation_lists,
    verify_not_revoked,
)
from tests.support.certificates import Issued, issue, usage

NOW = datetime.now(UTC)
ROOT = issue("Corp Root", is_authority=True)
MACHINES = ROOT.authority("Corp Machines")
LEAF = MACHINES.issue("web-1")
CHAIN = VerifiedChain.of(*(issued.certificate for issued in (LEAF, MACHINES, ROOT)))


def builder() -> x509.CertificateRevocationListBuilder:
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(MACHINES.certificate.subject)
        .last_update(NOW - timedelta(days=1))
        .next_update(NOW + timedelta(days=1))
    )


def entry() -> x509.RevokedCertificateBuilder:
    return (
        x509.RevokedCertificateBuilder()
        .serial_number(LEAF.certificate.serial_number)
        .revocation_date(NOW)
    )


def signed(made: x509.CertificateRevocationListBuilder, by: Issued = MACHINES) -> bytes:
    return made.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)


def judge(*lists: bytes, chain: VerifiedChain = CHAIN, days: float = 0) -> str:
    """Why nothing passes; empty when it does."""
    try:
        revocation_lists = [
            revocation_list
            for data in lists
            for revocation_list in parse_revocation_lists(data)
        ]
        verify_not_revoked(chain, revocation_lists, NOW + timedelta(days=days))
    except CertificateRejected as error:
        return error.message
    return ""


def test_a_list_speaks_for_its_issuer() -> None:
    other = ROOT.authority("Other Machines")
    assert judge() == ""
    assert judge(MACHINES.revoke()) == ""
    assert judge(MACHINES.revoke(LEAF)) == "Certificate revoked."
    assert judge(other.revoke(LEAF), ROOT.revoke(LEAF)) == ""
    assert judge(ROOT.revoke(MACHINES)) == "Certificate revoked."
    assert judge(MACHINES.revoke(), MACHINES.revoke(LEAF)) == "Certificate revoked."
    # The anchor is not asked about: deleting it is how that ends.
    assert judge(ROOT.revoke(ROOT)) == ""


def test_a_list_in_either_form() -> None:
    assert judge(signed(builder().add_revoked_certificate(entry().build())))
    assert judge(b"\n" + MACHINES.revoke(LEAF))


def test_every_list_of_a_file_counts() -> None:
    first, second = ROOT.revoke(), MACHINES.revoke(LEAF)
    for file in (first + second, second + first, b"comment\n" + first + b"\n" + second):
        assert judge(file) == "Certificate revoked."
    assert judge(first + MACHINES.revoke()) == ""
    assert "out of date" in judge(first + MACHINES.revoke(days=-0.5))
    for broken in (first + second[:-30], first + second.replace(b"M", b"-", 1)):
        assert "cannot be read" in judge(broken)
    assert "16 lists at most" in judge(first * 17)
    assert judge(first * 16) == ""


def test_a_list_that_does_not_count_lets_nothing_pass() -> None:
    namesake = issue("Corp Machines", is_authority=True)
    assert "not signed by it" in judge(namesake.revoke())
    # What somebody else says revokes nothing either.
    assert "not signed by it" in judge(namesake.revoke(LEAF))
    assert judge(namesake.revoke(LEAF), MACHINES.revoke()) == ""
    assert "out of date" in judge(MACHINES.revoke(days=1), days=2)
    assert judge(MACHINES.revoke(LEAF, days=1), days=2) == "Certificate revoked."
    assert judge(MACHINES.revoke(days=1), MACHINES.revoke(days=3), days=2) == ""


@pytest.mark.parametrize("uses", ["key_cert_sign", ""])
def test_an_issuer_must_be_allowed_to_sign_lists(uses: str) -> None:
    silent = issue("Silent", is_authority=True, uses=usage(*uses.split()))
    leaf = silent.issue("web-1")
    chain = VerifiedChain.of(leaf.certificate, silent.certificate)
    assert "not signed by it" in judge(silent.revoke(), chain=chain)


def test_who_signed_is_remembered_for_each_certificate() -> None:
    (revocation_list,) = parse_revocation_lists(MACHINES.revoke())
    namesakes = [issue("Corp Machines", is_authority=True) for _ in range(20)]
    for _ in range(2):
        for issued in namesakes:
            assert not revocation_list.is_signed_by(issued.certificate)
        assert revocation_list.is_signed_by(MACHINES.certificate)


FOREIGN: dict[str, Callable[[], Any]] = {
    "of changes alone": lambda: builder().add_extension(
        x509.DeltaCRLIndicator(1), critical=True
    ),
    "of authorities alone": lambda: builder().add_extension(
        x509.IssuingDistributionPoint(
            full_name=None,
            relative_name=None,
            only_contains_user_certs=False,
            only_contains_ca_certs=True,
            only_some_reasons=None,
            indirect_crl=False,
            only_contains_attribute_certs=False,
        ),
        critical=True,
    ),
    "an unknown one": lambda: builder().add_extension(
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.5.5"), b"\5\0"),
        critical=False,
    ),
    "an entry of another issuer": lambda: builder().add_revoked_certificate(
        entry()
        .add_extension(
            x509.CertificateIssuer([x509.DirectoryName(ROOT.certificate.subject)]),
            critical=True,
        )
        .build()
    ),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_not_understood_is_refused(case: str) -> None:
    with pytest.raises(CertificateRejected, match="not supported"):
        parse_revocation_lists(signed(FOREIGN[case]()))


def test_what_changes_nothing_is_read() -> None:
    numbered = builder().add_extension(x509.CRLNumber(7), critical=False)
    reason = entry().add_extension(
        x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False
    )
    made = numbered.add_revoked_certificate(reason.build())
    assert judge(signed(made)) == "Certificate revoked."


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----",
        LEAF.pem.encode(),
        signed(builder())[:-1],
        # Another version, an issuer that is no name, a time that is none.
        signed(builder()).replace(b"\x02\x01\x01\x30", b"\x02\x01\x05\x30", 1),
        signed(builder()).replace(b"\x06\x03\x55\x04", b"\x04\x03\x55\x04", 1),
        signed(builder()).replace(b"Z\x17\r", b"Z\x16\r", 1),
    ],
)
def test_a_malformed_list_is_refused(data: bytes) -> None:
    with pytest.raises(CertificateRejected, match="cannot be read"):
        parse_revocation_lists(data)


def test_a_list_is_bounded() -> None:
    with pytest.raises(CertificateRejected, match="at most"):
        parse_revocation_lists(b"\x30" * (LIST_BYTES_MAX + 1))
