"""Which anchors are fit, and which paths lead to one."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from broker.protocols.x509.chain import (
    CHAIN_MAX,
    FORGED_MAX,
    NAMESAKES_MAX,
    find_issued,
    parse_anchors,
    verify_chain,
)
from broker.protocols.x509.errors import CertificateRejected
from broker.protocols.x509.presented import parse_presented
from tests.support.bad_certificates import BAD
from tests.support.certificates import (
    X400_NAME,
    Issued,
    issue,
    of_version_2,
    rsa_key,
    to_pem,
    usage,
)

NOT_OF_PATHS = {"of a key that somebody else has", *(n for n in BAD if "common" in n)}
"""The request's signature and the session's name tell."""


class _Key:
    """Stands in for a private key that nobody has."""

    def __init__(self, public: Any) -> None:
        self._public = public

    def public_key(self) -> Any:
        return self._public


def with_exponent(exponent: int) -> _Key:
    modulus = rsa_key().public_key().public_numbers().n
    return _Key(rsa.RSAPublicNumbers(exponent, modulus).public_key())


def of_version_1(certificate: Issued) -> str:
    """Its PEM without the version, which stands first in what is signed."""
    der = certificate.der
    assert (der[:2], der[4:6], der[8:13]) == (
        b"\x30\x82",
        b"\x30\x82",
        b"\xa0\x03\x02\x01\x02",
    )
    outer, inner = (
        b"\x30\x82" + (int.from_bytes(der[at : at + 2]) - 5).to_bytes(2)
        for at in (2, 6)
    )
    text = base64.encodebytes(outer + inner + der[13:]).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"


def present(
    leaf: Issued, *chain: Issued
) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    headers = {b"x-amz-x509": base64.b64encode(leaf.der)}
    if chain:
        headers[b"x-amz-x509-chain"] = b",".join(base64.b64encode(c.der) for c in chain)
    presented_certificates = parse_presented(headers, parse_anchors(ROOT.pem))
    return (
        presented_certificates.unverified_leaf,
        presented_certificates.unverified_chain,
    )


ROOT = issue("Corp Root", is_authority=True)
MACHINES = ROOT.authority("Corp Machines", path_length=0)


@pytest.mark.parametrize("case", sorted(BAD.keys() - NOT_OF_PATHS))
def test_a_bad_path_leads_nowhere(case: str) -> None:
    leaf, chain = BAD[case](ROOT, MACHINES)
    anchors = parse_anchors(ROOT.pem)
    with pytest.raises(CertificateRejected):
        verify_chain(*present(leaf, *chain), anchors, datetime.now(UTC))


def test_a_good_path_is_told_from_end_to_anchor() -> None:
    leaf = MACHINES.issue("web-1")
    anchors = parse_anchors(issue("Other", is_authority=True).pem + ROOT.pem)
    chain = verify_chain(*present(leaf, MACHINES), anchors, datetime.now(UTC))
    assert chain.leaf == leaf.certificate
    assert chain.certificates == tuple(
        issued.certificate for issued in (leaf, MACHINES, ROOT)
    )


def test_the_path_goes_through_the_issuer_that_is_valid() -> None:
    """Of several with one name: the renewed one beside the old, another key, a namesake."""
    now = datetime.now(UTC)
    old = ROOT.authority("Corp Machines", key=MACHINES.key, starts=-9, days=-1)
    renewed = ROOT.authority("Corp Machines", key=MACHINES.key, days=90)
    rekeyed = ROOT.authority("Corp Machines", days=200)
    next_one = ROOT.authority("Corp Machines", key=MACHINES.key, starts=1, days=300)
    leaf = MACHINES.issue("web-1")
    anchors = parse_anchors(ROOT.pem)
    for sent in (
        (old, renewed, rekeyed),
        (rekeyed, renewed, old, next_one),
        (renewed, MACHINES, old),
        (MACHINES, next_one, renewed),
    ):
        path = verify_chain(*present(leaf, *sent), anchors, now)
        expected = max(
            (
                each
                for each in sent
                if each.key == MACHINES.key and each not in (old, next_one)
            ),
            key=lambda each: each.certificate.not_valid_after_utc,
        )
        assert path.certificates == certificates(leaf, expected, ROOT)
    with pytest.raises(CertificateRejected, match="expired"):
        verify_chain(*present(leaf, old, rekeyed), anchors, now)


def test_an_anchor_that_issued_the_certificate_needs_nothing_between() -> None:
    """Whatever else has its name and key, and is over."""
    other = issue("Other Root", is_authority=True)
    crossed = other.authority("Corp Root", key=ROOT.key, starts=-9, days=-1)
    anchors = parse_anchors(ROOT.pem + other.pem)
    leaf = ROOT.issue("web-1")
    path = verify_chain(*present(leaf, crossed), anchors, datetime.now(UTC))
    assert path.certificates == certificates(leaf, ROOT)


def test_an_anchor_that_is_over_is_replaced_by_what_another_issued() -> None:
    over = issue("Old Root", is_authority=True, starts=-9, days=-1)
    crossed = ROOT.authority("Old Root", key=over.key)
    anchors = parse_anchors(over.pem + ROOT.pem)
    leaf = over.issue("web-1")
    path = verify_chain(*present(leaf, crossed), anchors, datetime.now(UTC))
    assert path.certificates == certificates(leaf, crossed, ROOT)


def test_the_time_is_the_one_that_is_given() -> None:
    leaf = ROOT.issue("web-1", days=2)
    anchors = parse_anchors(ROOT.pem)
    verify_chain(*present(leaf), anchors, datetime.now(UTC))
    with pytest.raises(CertificateRejected):
        verify_chain(*present(leaf), anchors, datetime.now(UTC) + timedelta(days=3))


def test_a_path_has_at_most_five_certificates_between() -> None:
    chain = [ROOT]
    for number in range(5):
        chain.insert(0, chain[0].authority(f"Level {number}"))
    anchors = parse_anchors(ROOT.pem)
    now = datetime.now(UTC)
    verify_chain(*present(chain[0].issue("web-1"), *chain[:-1]), anchors, now)
    chain.insert(0, chain[0].authority("Level 5"))
    leaf, between = chain[0].issue("web-1").certificate, chain[:-1]
    with pytest.raises(CertificateRejected):
        verify_chain(
            leaf, tuple(issued.certificate for issued in between), anchors, now
        )


def certificates(*issued: Issued) -> tuple[x509.Certificate, ...]:
    return tuple(entry.certificate for entry in issued)


def test_only_what_an_anchor_issued_is_looked_at() -> None:
    below = MACHINES.authority("Below")
    leaf, *chain = certificates(below.issue("web-1"), below, MACHINES, ROOT)
    stranger = issue("Corp Machines", is_authority=True)
    foreign = certificates(stranger, stranger.authority("Below"))
    anchors = parse_anchors(issue("Other", is_authority=True).pem + ROOT.pem)
    assert set(find_issued(leaf, (*foreign, *chain), anchors)) == set(chain)
    for some in ((), chain[1:], chain[:1], foreign):
        with pytest.raises(CertificateRejected, match="Untrusted"):
            find_issued(leaf, some, anchors)


def test_an_anchor_is_renewed_with_another_key() -> None:
    namesakes = [issue("Corp Root", is_authority=True) for _ in range(3)]
    anchors = parse_anchors("".join(issued.pem for issued in (*namesakes, ROOT)))
    leaf, *chain = certificates(MACHINES.issue("web-1"), MACHINES, ROOT)
    assert set(find_issued(leaf, chain, anchors)) == set(chain)


def test_a_key_that_is_not_sound_verifies_nothing() -> None:
    weak = ROOT.authority("Weak", key=rsa_key(1024))
    leaf, *chain = certificates(weak.issue("web-1"), weak)
    with pytest.raises(CertificateRejected, match="Keys of certificates"):
        find_issued(leaf, chain, parse_anchors(ROOT.pem))


class _Forged:
    """Names each anchor as its issuer; notes how often that is looked into."""

    def __init__(self, tried: list[x509.Certificate]) -> None:
        self._tried = tried

    def verify_directly_issued_by(self, issuer: x509.Certificate) -> None:
        self._tried.append(issuer)
        raise InvalidSignature


def test_forged_signatures_are_counted() -> None:
    namesakes = [issue("Corp Root", is_authority=True) for _ in range(NAMESAKES_MAX)]
    anchors = parse_anchors("".join(issued.pem for issued in namesakes))
    tried: list[x509.Certificate] = []
    leaf, *chain = (cast("Any", _Forged(tried)) for _ in range(CHAIN_MAX + 1))
    with pytest.raises(CertificateRejected, match="Untrusted"):
        find_issued(leaf, chain, anchors)
    assert FORGED_MAX <= len(tried) <= FORGED_MAX + CHAIN_MAX + 1


@pytest.mark.parametrize(
    ("starts", "days", "said"),
    [(-9, -1, "Certificate expired."), (1, 9, "Certificate not yet valid.")],
)
def test_what_is_out_of_date_is_not_untrusted(
    starts: float, days: float, said: str
) -> None:
    old = MACHINES.authority("Old", starts=starts, days=days)
    for leaf, *chain in (
        certificates(MACHINES.issue("web-1", starts=starts, days=days), MACHINES),
        certificates(old.issue("web-1"), old, MACHINES),
    ):
        with pytest.raises(CertificateRejected) as refused:
            verify_chain(leaf, tuple(chain), parse_anchors(ROOT.pem), datetime.now(UTC))
        assert refused.value.message == said
        assert "UTC" in refused.value.detail


UNFIT: dict[str, Callable[[], str]] = {
    "no certificate": lambda: "nothing",
    "of an end entity": lambda: issue("web-1").pem,
    "of an end entity that may sign certificates": lambda: (
        issue("web-1", uses=usage("key_cert_sign")).pem
    ),
    "without basic constraints": lambda: (
        issue("Root", constraints=False, uses=usage("key_cert_sign")).pem
    ),
    "without key usage": lambda: issue("Root", is_authority=True, uses=usage()).pem,
    "that may not sign certificates": lambda: (
        issue("Root", is_authority=True, uses=usage("crl_sign")).pem
    ),
    "of version 1": lambda: of_version_1(
        issue("Root", is_authority=True, key=rsa_key())
    ),
    "of version 2": lambda: to_pem(of_version_2(ROOT.der)),
    "with a name that no one reads": lambda: (
        issue("Root", is_authority=True, extensions=[(X400_NAME, False)]).pem
    ),
    "signed with SHA-224": lambda: (
        issue("Root", is_authority=True, digest=hashes.SHA224()).pem
    ),
    "RSA of 1024 bits": lambda: issue("Root", is_authority=True, key=rsa_key(1024)).pem,
    "on P-224": lambda: (
        issue(
            "Root", is_authority=True, key=ec.generate_private_key(ec.SECP224R1())
        ).pem
    ),
    "with an exponent of 33 bits": lambda: (
        issue("Root", by=ROOT, is_authority=True, key=with_exponent(2**32 + 1)).pem
    ),
    "101 of them": lambda: "".join(
        issue(f"{entry}", is_authority=True).pem for entry in range(101)
    ),
    "five of one name": lambda: "".join(
        issue("Root", is_authority=True).pem for _ in range(5)
    ),
    "one of them": lambda: ROOT.pem + issue("web-1").pem,
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_anchor_is_refused(case: str) -> None:
    with pytest.raises(CertificateRejected):
        parse_anchors(UNFIT[case]())


def test_what_is_just_fit() -> None:
    key = with_exponent(2**32 - 1)
    fit = issue("Root", by=ROOT, is_authority=True, key=key).pem
    assert len(parse_anchors(fit).certificates) == 1
    namesakes = "".join(issue("Root", is_authority=True).pem for _ in range(4))
    assert len(parse_anchors(namesakes).certificates) == 4
