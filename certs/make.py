"""Create the keys and certificates that an installation may need. None is committed.

    python certs/make.py secrets/ --host broker.example.com

writes these into the folder, with mode 0600 for keys, and overwrites nothing:

ca.key, ca.crt                your own certificate authority, which signs the next one
tls.key, tls.crt              for the proxy that terminates TLS in front of the broker
saml-signing.key, .crt        for your own identity provider, to sign SAML
saml-decryption.key           for a SAML provider with encrypted assertions
                              (AddPrivateKey of CreateSAMLProvider)

The broker's own encryption keys are not among them: the broker creates its keyring for an
empty database, and `broker keys rotate` adds keys.
"""

import argparse
import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Pair = tuple[Key, x509.Certificate]


def main() -> None:
    """Create all files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--host", default="localhost", help="name in the TLS certificate"
    )
    parser.add_argument(
        "--days", type=int, default=365, help="validity of certificates"
    )
    given = parser.parse_args()
    folder: Path = given.folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    authority = make_authority(given.days)
    tls = make_tls(authority, given.host, given.days)
    signing = make_saml_signing(given.host, given.days)
    write_pair(folder, "ca", authority)
    write_pair(folder, "tls", tls)
    write_pair(folder, "saml-signing", signing)
    # PKCS #1, as AWS asks for it.
    write_key(
        folder / "saml-decryption.key",
        rsa.generate_private_key(public_exponent=65537, key_size=3072),
        PrivateFormat.TraditionalOpenSSL,
    )


def make_authority(days: int) -> Pair:
    """A root that may sign end entities only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = named("Broker installation CA")
    certificate = (
        begun(name, name, key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def make_tls(authority: Pair, host: str, days: int) -> Pair:
    """A server's certificate, for a name or an address."""
    authority_key, authority_certificate = authority
    key = ec.generate_private_key(ec.SECP256R1())
    alternative: x509.GeneralName
    try:
        alternative = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    certificate = (
        begun(named(host), authority_certificate.subject, key, days)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                authority_key.public_key()
            ),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    return key, certificate


def make_saml_signing(host: str, days: int) -> Pair:
    """A self-signed certificate: in SAML the metadata says which key is trusted."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    name = named(f"SAML signing {host}")
    certificate = (
        begun(name, name, key, days)
        .add_extension(usage(), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def named(common_name: str) -> x509.Name:
    """A name of one attribute, which holds at most 64 characters."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def begun(
    subject: x509.Name, issuer: x509.Name, key: Key, days: int
) -> x509.CertificateBuilder:
    """A certificate's common part."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
    )


def usage(*, signs_certificates: bool = False) -> x509.KeyUsage:
    """Signatures, of certificates or of anything else."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def write_pair(folder: Path, name: str, pair: Pair) -> None:
    """Write a key and its certificate."""
    key, certificate = pair
    write_key(folder / f"{name}.key", key, PrivateFormat.PKCS8)
    write_new(folder / f"{name}.crt", certificate.public_bytes(Encoding.PEM), 0o644)


def write_key(path: Path, key: Key, private_format: PrivateFormat) -> None:
    """Write a private key, for its owner only."""
    pem = key.private_bytes(Encoding.PEM, private_format, NoEncryption())
    write_new(path, pem, 0o600)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is not there yet; what is there stays as it is."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise SystemExit(f"{path} is there already: move it away first") from None
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    print(path)


if __name__ == "__main__":
    main()
