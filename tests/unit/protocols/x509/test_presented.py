"""What a request may bring in its headers, and whose signature it has."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from broker.protocols.x509.chain import parse_anchors
from broker.protocols.x509.errors import CertificateRejected
from broker.protocols.x509.presented import PARTS_MAX, parse_presented
from tests.support.certificates import (
    Issued,
    elliptic_key,
    issue,
    of_version_2,
    rsa_key,
)

ROOT = issue("Corp Root", is_authority=True)
LEVELS = [ROOT]
for number in range(6):
    LEVELS.append(LEVELS[-1].authority(f"Level {number}"))
OTHERS = LEVELS[5:0:-1]
LEAF = OTHERS[0].issue("web-1")
ANCHORS = parse_anchors(ROOT.pem)
TEXT = b"AWS4-X509-ECDSA-SHA256\n..."


def encoded(certificate: Issued) -> bytes:
    return base64.b64encode(certificate.der)


def refusal(**headers: bytes) -> str:
    names = {"leaf": b"x-amz-x509", "chain": b"x-amz-x509-chain"}
    params = {names[name]: value for name, value in headers.items()}
    with pytest.raises(CertificateRejected) as refused:
        parse_presented(params, ANCHORS)
    return refused.value.message


def test_certificates_come_in_two_headers() -> None:
    certificates = parse_presented(
        {
            b"x-amz-x509": encoded(LEAF),
            b"x-amz-x509-chain": b", ".join(map(encoded, OTHERS)),
        },
        ANCHORS,
    )
    assert certificates.unverified_leaf == LEAF.certificate
    assert certificates.unverified_chain == tuple(
        issued.certificate for issued in OTHERS
    )


@pytest.mark.parametrize(
    "chain",
    [
        [LEAF],  # AWS's helper, from PKCS #12 and Windows' store
        [LEAF, LEAF],  # from a PKCS #11 token with one certificate
        [LEAF, *OTHERS],
        [LEAF, *OTHERS, ROOT],
        [LEAF, *OTHERS, ROOT, LEAF, *OTHERS, ROOT],
        [*OTHERS, *OTHERS],
    ],
)
def test_the_leaf_the_anchor_and_repeats_do_not_count(chain: list[Issued]) -> None:
    joined = b",".join(map(encoded, chain))
    headers = {b"x-amz-x509": encoded(LEAF), b"x-amz-x509-chain": joined}
    certificates = parse_presented(headers, ANCHORS)
    others = {issued.certificate for issued in chain if issued not in (LEAF, ROOT)}
    assert len(certificates.unverified_chain) == len(others)
    assert set(certificates.unverified_chain) == others


def test_what_is_on_no_path_from_the_leaf_is_passed_over() -> None:
    """As of a PKCS #11 token with the certificates of several machines."""
    machines = [OTHERS[0].issue(f"web-{number}") for number in range(2, 12)]
    renewed = OTHERS[0].issue("web-1")
    stranger = issue("Level 9", is_authority=True)
    sent = [renewed, *machines, stranger, stranger.authority("Level 8"), *OTHERS, LEAF]
    chain = b",".join(map(encoded, sent))
    headers = {b"x-amz-x509": encoded(LEAF), b"x-amz-x509-chain": chain}
    certificates = parse_presented(headers, ANCHORS)
    assert certificates.unverified_chain == tuple(c.certificate for c in OTHERS)


def test_what_is_missing_or_too_much_is_said() -> None:
    assert "X-Amz-X509 is missing" in refusal()
    assert "X-Amz-X509 is missing" in refusal(leaf=b"")
    six = b",".join(map(encoded, LEVELS[1:]))
    below = encoded(LEVELS[-1].issue("web-1"))
    assert "5 intermediate certificates" in refusal(leaf=below, chain=six)
    many = b",".join([encoded(LEAF)] * (PARTS_MAX + 1))
    assert "32 certificates at most" in refusal(leaf=encoded(LEAF), chain=many)
    assert "too long" in refusal(leaf=b"A" * 12_001)
    assert "too long" in refusal(leaf=encoded(LEAF), chain=b"A" * 12_001)


@pytest.mark.parametrize(
    "text",
    [
        b"A",
        b"AAAA",
        b"\xff\xfe",
        encoded(LEAF)[:-4],
        encoded(LEAF)[:40] + b"!" + encoded(LEAF)[40:],
        encoded(LEAF) + b",",
        base64.b64encode(of_version_2(LEAF.der)),
        LEAF.pem.encode(),
    ],
)
def test_a_malformed_certificate_is_refused(text: bytes) -> None:
    assert "cannot be read" in refusal(leaf=text)
    if b"," not in text:
        assert "cannot be read" in refusal(leaf=encoded(LEAF), chain=text)


@pytest.mark.parametrize("bits", [161, 30_000])
def test_a_serial_number_is_bounded(bits: int) -> None:
    odd = encoded(issue("web-1", serial=2 ** (bits - 1)))
    assert "serial number" in refusal(leaf=odd)
    assert "serial number" in refusal(leaf=encoded(LEAF), chain=odd)


def test_a_weak_key_is_refused_before_it_is_used() -> None:
    weak = encoded(issue("web-1", key=rsa_key(1024)))
    assert "Keys of certificates" in refusal(leaf=weak)


def signed(key: Any) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(TEXT, ec.ECDSA(hashes.SHA256())).hex()
    made: bytes = key.sign(TEXT, padding.PKCS1v15(), hashes.SHA256())
    return made.hex()


@pytest.mark.parametrize(
    ("kind", "key"), [("ECDSA", elliptic_key()), ("RSA", rsa_key())]
)
def test_the_certificates_own_key_signs(kind: str, key: Any) -> None:
    certificates = parse_presented(
        {b"x-amz-x509": encoded(issue("web-1", key=key))}, ANCHORS
    )
    certificates.verify_signature(f"AWS4-X509-{kind}-SHA256", signed(key), TEXT)
    other = {"ECDSA": "RSA", "RSA": "ECDSA"}[kind]
    for algorithm, signature, text in (
        (f"AWS4-X509-{other}-SHA256", signed(key), TEXT),
        ("AWS4-HMAC-SHA256", signed(key), TEXT),
        ("", signed(key), TEXT),
        (f"AWS4-X509-{kind}-SHA256", signed(key), TEXT + b"."),
        (f"AWS4-X509-{kind}-SHA256", signed(elliptic_key()), TEXT),
        (f"AWS4-X509-{kind}-SHA256", "", TEXT),
        (f"AWS4-X509-{kind}-SHA256", "xy", TEXT),
        (f"AWS4-X509-{kind}-SHA256", "00" * 256, TEXT),
    ):
        with pytest.raises(CertificateRejected):
            certificates.verify_signature(algorithm, signature, text)
