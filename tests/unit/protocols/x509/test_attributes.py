"""What of a certificate becomes a tag."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from broker.protocols.x509.attributes import (
    DEFAULT_MAPPINGS,
    find_common_name,
    read_attributes,
)
from broker.protocols.x509.errors import CertificateRejected
from tests.support.certificates import issue, name_of
from tests.support.rows import rows

_SAN = x509.SubjectAlternativeName(
    [
        x509.DNSName("one.example"),
        x509.DNSName("two.example"),
        x509.UniformResourceIdentifier("spiffe://corp/web"),
        x509.DirectoryName(name_of(O="First", CN="inner")),
        x509.DirectoryName(name_of(OU="Second")),
    ]
)
_LEAF = issue(
    name_of(
        (NameOID.DOMAIN_COMPONENT, "corp"),
        (NameOID.DOMAIN_COMPONENT, "example"),
        CN="web-1",
        O="Corp",
    ),
    by=issue(name_of(CN="Corp Root", O="Corp"), is_authority=True),
    extensions=[(_SAN, False)],
).certificate


def test_by_default_every_attribute_is_one() -> None:
    assert read_attributes(_LEAF, DEFAULT_MAPPINGS) == {
        "x509Subject/DC": "corp/example",
        "x509Subject/CN": "web-1",
        "x509Subject/O": "Corp",
        "x509Issuer/CN": "Corp Root",
        "x509Issuer/O": "Corp",
        "x509SAN/DNS": "one.example",
        "x509SAN/URI": "spiffe://corp/web",
        "x509SAN/Name/O": "First",
        "x509SAN/Name/CN": "inner",
    }


@rows("mappings, found")
def test_mappings_say_which(
    mappings: dict[str, list[str]], found: dict[str, str]
) -> None:
    assert read_attributes(_LEAF, mappings) == found


def test_a_certificate_without_alternative_names_has_no_such_tags() -> None:
    leaf = issue("web-1").certificate
    assert read_attributes(leaf, {"x509SAN": ["DNS"]}) == {}


def test_there_is_one_common_name_or_none() -> None:
    assert find_common_name(issue(name_of(O="Corp")).certificate) is None
    assert find_common_name(_LEAF) == "web-1"
    twice = name_of((NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b"))
    with pytest.raises(CertificateRejected, match="several"):
        find_common_name(issue(twice).certificate)
