"""Certificates that open nothing: each breaks one rule of paths or of end entities."""

from collections.abc import Callable, Mapping
from ipaddress import ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.certificates import (
    X400_NAME,
    Issued,
    elliptic_key,
    issue,
    name_of,
    rsa_key,
    usage,
)

Presented = tuple[Issued, tuple[Issued, ...]]
"""An end entity's certificate and the intermediates sent with it."""

_UNKNOWN = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("1.3.6.1.4.1.5.5"), b"\x05\x00"
)


def _below(
    authority: Issued, *names: x509.GeneralName, subject: x509.Name | str = "web-1"
) -> Presented:
    extensions = [(x509.SubjectAlternativeName(names), False)] if names else []
    return authority.issue(subject, extensions=extensions), (authority,)


def _deep(_root: Issued, machines: Issued) -> Presented:
    below = machines.authority("Below")
    return below.issue("web-1"), (below, machines)


def _very_deep(root: Issued, _machines: Issued) -> Presented:
    chain = [root]
    for number in range(6):
        chain.insert(0, chain[0].authority(f"Level {number}"))
    return chain[0].issue("web-1"), tuple(chain[:-1])


def _lent(certified: Issued) -> Issued:
    """The certificate with a key that requests can be signed with."""
    return Issued(certified.certificate, elliptic_key())


def _under_a_forged_authority(root: Issued, _machines: Issued) -> Presented:
    forged = issue("Corp Machines", by=Issued(root.certificate, elliptic_key()))
    return forged.issue("web-1"), (forged,)


def _for(*purposes: x509.ObjectIdentifier) -> Callable[[Issued, Issued], Presented]:
    purpose = x509.ExtendedKeyUsage(purposes)
    return lambda root, _: (root.issue("web-1", extensions=[(purpose, False)]), ())


def _used(*names: str) -> Callable[[Issued, Issued], Presented]:
    return lambda root, _: (root.issue("web-1", uses=usage(*names)), ())


def _named(name: str | x509.Name) -> Callable[[Issued, Issued], Presented]:
    return lambda root, _: (root.issue(name), ())


def _malformed(oid: str, *, without: str = "") -> Callable[[Issued, Issued], Presented]:
    """With an extension whose value is not the DER of its kind."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x05\x00")
    return lambda root, _: (
        root.issue(
            "web-1",
            extensions=[(extension, False)],
            constraints=without != "constraints",
            uses=usage() if without == "usage" else None,
        ),
        (),
    )


def _limited(
    *names: x509.GeneralName,
    permitted: x509.GeneralName | None = None,
    excluded: x509.GeneralName | None = None,
    is_critical: bool = True,
    subject: x509.Name | str = "web-1",
) -> Callable[[Issued, Issued], Presented]:
    """Names that the constraints of the authority do not allow."""
    limits = x509.NameConstraints(
        None if permitted is None else [permitted],
        None if excluded is None else [excluded],
    )
    return lambda root, _: _below(
        root.authority("Rogue", extensions=[(limits, is_critical)]),
        *names,
        subject=subject,
    )


BAD: Mapping[str, Callable[[Issued, Issued], Presented]] = {
    # Who issued it.
    "self-signed": lambda _, __: (issue("web-1"), ()),
    "self-signed, sent along as its own issuer": lambda _, __: (
        (issued := issue("web-1", is_authority=True)).issue("web-1"),
        (issued,),
    ),
    "of another authority of the same name": lambda _, __: (
        issue("Corp Root", is_authority=True).issue("web-1"),
        (),
    ),
    "with that other authority sent along": lambda _, __: (
        (other := issue("Corp Root", is_authority=True)).issue("web-1"),
        (other,),
    ),
    "of the right key by another name": lambda root, _: (
        Issued(
            issue("Corp", is_authority=True, key=root.key).certificate, root.key
        ).issue("web-1"),
        (),
    ),
    "below a forged intermediate": _under_a_forged_authority,
    "without the intermediate": lambda _, machines: (machines.issue("web-1"), ()),
    "with an intermediate that is not its issuer": lambda root, machines: (
        machines.issue("web-1"),
        (root.authority("Others"),),
    ),
    # When.
    "expired": lambda root, _: (root.issue("web-1", starts=-9, days=-1), ()),
    "not yet valid": lambda root, _: (root.issue("web-1", starts=1), ()),
    "below an expired authority": lambda root, _: _below(
        root.authority("Rogue", starts=-9, days=-1)
    ),
    "below an authority of tomorrow": lambda root, _: _below(
        root.authority("Rogue", starts=1)
    ),
    # What it is for.
    "of an authority": lambda root, _: (
        root.authority(
            "web-1", uses=usage("digital_signature", "key_cert_sign", "crl_sign")
        ),
        (),
    ),
    "the anchor itself": lambda root, _: (root, ()),
    "the intermediate itself": lambda _, machines: (machines, ()),
    "without key usage": _used(),
    "to encipher keys": _used("key_encipherment"),
    "to encipher data": _used("data_encipherment"),
    "to agree on keys": _used("key_agreement"),
    "to commit to contents": _used("content_commitment"),
    "to sign revocation lists": _used("crl_sign"),
    "to sign certificates": _used("key_cert_sign"),
    "for servers alone": _for(ExtendedKeyUsageOID.SERVER_AUTH),
    "for code": _for(ExtendedKeyUsageOID.CODE_SIGNING),
    "for mail": _for(ExtendedKeyUsageOID.EMAIL_PROTECTION),
    "for time stamps": _for(ExtendedKeyUsageOID.TIME_STAMPING),
    "for OCSP answers": _for(ExtendedKeyUsageOID.OCSP_SIGNING),
    "for all but clients": _for(
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CODE_SIGNING,
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
    ),
    # Keys and signatures.
    "RSA of 1024 bits": lambda root, _: (root.issue("web-1", key=rsa_key(1024)), ()),
    "RSA of 4224 bits": lambda root, _: (root.issue("web-1", key=rsa_key(4224)), ()),
    "on P-224": lambda root, _: (
        root.issue("web-1", key=ec.generate_private_key(ec.SECP224R1())),
        (),
    ),
    "on secp256k1": lambda root, _: (
        root.issue("web-1", key=ec.generate_private_key(ec.SECP256K1())),
        (),
    ),
    "on brainpoolP256r1": lambda root, _: (
        root.issue("web-1", key=ec.generate_private_key(ec.BrainpoolP256R1())),
        (),
    ),
    "of an Ed25519 key": lambda root, _: (
        _lent(root.issue("web-1", key=ed25519.Ed25519PrivateKey.generate())),
        (),
    ),
    "of a key that somebody else has": lambda root, _: (_lent(root.issue("web-1")), ()),
    "signed with SHA-224": lambda root, _: (
        root.issue("web-1", digest=hashes.SHA224()),
        (),
    ),
    "signed with SHA3-256": lambda root, _: (
        root.issue("web-1", digest=hashes.SHA3_256()),
        (),
    ),
    "below a weak authority": lambda root, _: _below(
        root.authority("Rogue", key=rsa_key(1024))
    ),
    "below an authority signed with SHA-224": lambda root, _: _below(
        root.authority("Rogue", digest=hashes.SHA224())
    ),
    # Authorities that are none, and paths.
    "below an end entity": lambda root, _: _below(root.issue("Rogue")),
    "below one without basic constraints": lambda root, _: _below(
        root.issue(
            "Rogue", constraints=False, uses=usage("digital_signature", "key_cert_sign")
        )
    ),
    "below an authority that may not sign certificates": lambda root, _: _below(
        root.authority("Rogue", uses=usage("digital_signature"))
    ),
    "below an authority that may sign revocation lists alone": lambda root, _: _below(
        root.authority("Rogue", uses=usage("crl_sign"))
    ),
    "below an authority without key usage": lambda root, _: _below(
        root.authority("Rogue", uses=usage())
    ),
    "deeper than the path may be": _deep,
    "deeper than any path may be": _very_deep,
    # Extensions.
    "with an unknown critical extension": lambda root, _: (
        root.issue("web-1", extensions=[(_UNKNOWN, True)]),
        (),
    ),
    "below an authority with an unknown critical extension": lambda root, _: _below(
        root.authority("Rogue", extensions=[(_UNKNOWN, True)])
    ),
    "with an alternative name of a kind that no one reads": lambda root, _: (
        root.issue("web-1", extensions=[(X400_NAME, False)]),
        (),
    ),
    "with more alternative names than are compared": lambda root, _: _below(
        root, *(x509.DNSName(f"{number}.example") for number in range(101))
    ),
    "below an authority with more name constraints than are compared": lambda root, _: (
        _below(
            root.authority(
                "Rogue",
                extensions=[
                    (
                        x509.NameConstraints(
                            None,
                            [
                                x509.DNSName(f"{number}.example")
                                for number in range(101)
                            ],
                        ),
                        True,
                    )
                ],
            )
        )
    ),
    "with malformed basic constraints": _malformed("2.5.29.19", without="constraints"),
    "with a malformed key usage": _malformed("2.5.29.15", without="usage"),
    "with a malformed extended key usage": _malformed("2.5.29.37"),
    "with malformed alternative names": _malformed("2.5.29.17"),
    # Name constraints.
    "outside of the permitted DNS names": _limited(
        x509.DNSName("bad.example"), permitted=x509.DNSName("good.example")
    ),
    "beside a permitted DNS name": _limited(
        x509.DNSName("a.good.example"),
        x509.DNSName("bad.example"),
        permitted=x509.DNSName("good.example"),
    ),
    "with a permitted name for its end": _limited(
        x509.DNSName("notgood.example"), permitted=x509.DNSName("good.example")
    ),
    "with an excluded DNS name": _limited(
        x509.DNSName("a.bad.example"), excluded=x509.DNSName("bad.example")
    ),
    "outside of the permitted addresses": _limited(
        x509.IPAddress(ip_network("192.0.2.1/32").network_address),
        permitted=x509.IPAddress(ip_network("10.0.0.0/8")),
    ),
    "with an excluded address": _limited(
        x509.IPAddress(ip_network("10.1.2.3/32").network_address),
        excluded=x509.IPAddress(ip_network("10.0.0.0/8")),
    ),
    "outside of the permitted mail addresses": _limited(
        x509.RFC822Name("eve@bad.example"), permitted=x509.RFC822Name("good.example")
    ),
    "with an excluded URI": _limited(
        x509.UniformResourceIdentifier("spiffe://bad.example/web"),
        excluded=x509.UniformResourceIdentifier("bad.example"),
    ),
    "with an excluded name": _limited(
        x509.DirectoryName(name_of(O="Bad", CN="web")),
        excluded=x509.DirectoryName(name_of(O="Bad")),
    ),
    "outside of the permitted subjects": _limited(
        permitted=x509.DirectoryName(name_of(O="Good")),
        subject=name_of(O="Bad", CN="web-1"),
    ),
    "outside of the permitted subjects, though that is not critical": _limited(
        permitted=x509.DirectoryName(name_of(O="Good")),
        subject=name_of(O="Bad", CN="web-1"),
        is_critical=False,
    ),
    "with a mail address in its subject that is not permitted": _limited(
        permitted=x509.RFC822Name("good.example"),
        subject=name_of(
            (NameOID.COMMON_NAME, "web-1"), (NameOID.EMAIL_ADDRESS, "eve@bad.example")
        ),
    ),
    # Common names, which become the source identity.
    "with two common names": _named(
        name_of((NameOID.COMMON_NAME, "web-1"), (NameOID.COMMON_NAME, "admin"))
    ),
    "with a common name of one character": _named("w"),
    "with a star in its common name": _named("web-1 *"),
    "with a space at the end of its common name": _named("web-1 "),
    "with a line feed in its common name": _named("web-1\n"),
    "with a NUL in its common name": _named("web-1\0.admin"),
    "with a Cyrillic letter in its common name": _named("wеb-1"),  # noqa: RUF001
    "with a slash in its common name": _named("web-1/admin"),
    "with a colon in its common name": _named("web-1:admin"),
}
