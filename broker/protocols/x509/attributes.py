"""Session tags from a certificate, by a profile's attribute mappings.

Source: IAM Roles Anywhere User Guide, "Certificate attribute mapping".
"""

from collections.abc import Collection, Iterable, Mapping

from cryptography import x509
from cryptography.x509.oid import NameOID

from broker.protocols.x509.errors import UNREADABLE, CertificateRejected

DEFAULT_MAPPINGS: Mapping[str, tuple[str, ...]] = {
    "x509Issuer": ("*",),
    "x509SAN": ("DNS", "URI", "Name/*"),
    "x509Subject": ("*",),
}
"""A new profile's, by field of the certificate."""

_SUBJECT_CHARACTERS = 256

_NAMES = {
    NameOID.COMMON_NAME: "CN",
    NameOID.COUNTRY_NAME: "C",
    NameOID.DN_QUALIFIER: "DNQUALIFIER",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "E",
    NameOID.GENERATION_QUALIFIER: "GENERATION",
    NameOID.GIVEN_NAME: "GIVENNAME",
    NameOID.INITIALS: "INITIALS",
    NameOID.LOCALITY_NAME: "L",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.PSEUDONYM: "PSEUDONYM",
    NameOID.SERIAL_NUMBER: "SERIALNUMBER",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.STREET_ADDRESS: "STREET",
    NameOID.SURNAME: "SURNAME",
    NameOID.TITLE: "T",
    NameOID.USER_ID: "UID",
}
SPECIFIERS = frozenset({"*", *_NAMES.values()})
"""What a rule may name of a subject or issuer."""

SAN_SPECIFIERS = frozenset(
    {"DNS", "URI", "Name/*", *(f"Name/{name}" for name in _NAMES.values())}
)


def read_attributes(
    certificate: x509.Certificate, mappings: Mapping[str, Collection[str]]
) -> dict[str, str]:
    """The tags that a certificate gives: ``x509Subject/CN`` and so on.

    An attribute that a name has several times is one value, joined with slashes in
    their order; of each kind of alternative name the first counts.

    Raises:
        CertificateRejected: an extension cannot be read.
    """
    results: dict[str, str] = {}
    for name, place in (
        (certificate.subject, "x509Subject"),
        (certificate.issuer, "x509Issuer"),
    ):
        results.update(_of_name(name, place, mappings.get(place, ())))
    wanted = mappings.get("x509SAN", ())
    if wanted:
        results.update(_of_alternative_names(certificate, wanted))
    return results


def find_common_name(certificate: x509.Certificate) -> str | None:
    """The one common name of the subject; None if it has none.

    Raises:
        CertificateRejected: it has several.
    """
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) > 1:
        raise CertificateRejected("The certificate's subject has several common names.")
    return _text(names[0].value) if names else None


def serial_number(certificate: x509.Certificate) -> str:
    """A certificate's serial number in hexadecimal, whole bytes, as OpenSSL has it."""
    digits = f"{certificate.serial_number:x}"
    return digits.zfill(len(digits) + len(digits) % 2)


def describe(unverified: x509.Certificate) -> dict[str, str]:
    """What a certificate says of itself, for those who look for it in a record."""
    try:
        subject = unverified.subject.rfc4514_string()[:_SUBJECT_CHARACTERS]
    except UNREADABLE:
        subject = ""
    return {
        "subject": subject,
        "serialNumber": serial_number(unverified),
        "notAfter": unverified.not_valid_after_utc.isoformat(),
    }


def _of_name(name: x509.Name, place: str, wanted: Collection[str]) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for attribute in name:
        short = _NAMES.get(attribute.oid)
        if short is not None and ("*" in wanted or short in wanted):
            values.setdefault(short, []).append(_text(attribute.value))
    return {f"{place}/{short}": "/".join(texts) for short, texts in values.items()}


def _of_alternative_names(
    certificate: x509.Certificate, wanted: Collection[str]
) -> dict[str, str]:
    try:
        names: Iterable[x509.GeneralName] = (
            certificate.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            ).value
        )
    except x509.ExtensionNotFound:
        return {}
    results: dict[str, str] = {}
    has_directory_name = False
    for name in names:
        if isinstance(name, x509.DNSName) and "DNS" in wanted:
            results.setdefault("x509SAN/DNS", name.value)
        elif isinstance(name, x509.UniformResourceIdentifier) and "URI" in wanted:
            results.setdefault("x509SAN/URI", name.value)
        elif isinstance(name, x509.DirectoryName) and not has_directory_name:
            has_directory_name = True
            parts = {text.removeprefix("Name/") for text in wanted} & SPECIFIERS
            results.update(_of_name(name.value, "x509SAN/Name", parts))
    return results


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.hex()
