"""An independent identity provider for tests: keys, metadata, responses, any flaw.

Signs with python-xmlsec templates and shares no code with the broker. Every knob of
`build_response` is a keyword; `sign_element` and `encrypt_assertion` are there for
whoever wants to break a document in between.
"""

import base64
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from xml.sax.saxutils import escape, quoteattr

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID
from lxml import etree

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
MORE_2007 = "http://www.w3.org/2007/05/xmldsig-more#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = DS + "enveloped-signature"
RSA_SHA256 = MORE + "rsa-sha256"
SHA256 = XENC + "sha256"
NS = {"saml": SAML, "samlp": SAMLP, "ds": DS, "xenc": XENC}

AWS = "https://aws.amazon.com/SAML/Attributes/"
ACCOUNT = "111122223333"
PROVIDER_ARN = f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/Reader"
ENTITY_ID = "https://idp.example.com/metadata"
ACS = "http://127.0.0.1:8080/saml"
AUDIENCE = "urn:amazon:webservices"
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"

_KEY_FORMAT_PEM = xmlsec.constants.KeyDataFormatPem


@dataclass(frozen=True, eq=False)
class KeyPair:
    """A private key and its self-signed certificate."""

    private_pem: bytes = field(repr=False)
    certificate_der: bytes

    @property
    def certificate_base64(self) -> str:
        return base64.b64encode(self.certificate_der).decode()

    @property
    def public_pem(self) -> bytes:
        certificate = x509.load_der_x509_certificate(self.certificate_der)
        return certificate.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def certificate_pem(self) -> bytes:
        certificate = x509.load_der_x509_certificate(self.certificate_der)
        return certificate.public_bytes(Encoding.PEM)


def make_key_pair(
    kind: str = "rsa2048",
    *,
    common_name: str = "idp.example.com",
    not_before: datetime = NOW - timedelta(days=30),
    not_after: datetime = NOW + timedelta(days=3650),
) -> KeyPair:
    """A new pair: ``rsaBITS``, ``p256``, ``p384`` or ``p521``."""
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if kind.startswith("rsa"):
        private = rsa.generate_private_key(
            public_exponent=65537, key_size=int(kind[3:])
        )
    else:
        curve = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
        private = ec.generate_private_key(curve[kind]())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .sign(private, hashes.SHA256())
    )
    return KeyPair(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.public_bytes(Encoding.DER),
    )


def key_pair(name: str = "idp", kind: str = "rsa2048") -> KeyPair:
    """A pair by name, made once per test process."""
    return _named_key_pair(name, kind)


@cache
def _named_key_pair(name: str, kind: str) -> KeyPair:
    return make_key_pair(kind, common_name=name)


def saml_time(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def metadata_xml(
    *key_pairs: KeyPair,
    entity_id: str = ENTITY_ID,
    sso_url: str = "https://idp.example.com/sso",
    want_signed: bool = False,
    attributes: str = "",
    wrap: bool = True,
    slo: Mapping[str, str] | None = None,
) -> str:
    """An EntityDescriptor of at least 1,000 characters."""
    keys = "".join(
        f'<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data>'
        f"<ds:X509Certificate>{pair.certificate_base64}</ds:X509Certificate>"
        "</ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        for pair in (key_pairs or (key_pair(),))
    )
    declaration = '<?xml version="1.0" encoding="UTF-8"?>\n' if wrap else ""
    return (
        f'{declaration}<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"'
        f" entityID={quoteattr(entity_id)}{attributes}>"
        f'<md:IDPSSODescriptor protocolSupportEnumeration="{SAMLP}"'
        f' WantAuthnRequestsSigned="{str(want_signed).lower()}">{keys}'
        + "".join(
            f'<md:SingleLogoutService Binding="{binding}" Location={quoteattr(url)}/>'
            for binding, url in (slo or {}).items()
        )
        + f"<md:NameIDFormat>{PERSISTENT}</md:NameIDFormat>"
        "<md:SingleSignOnService"
        ' Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"'
        f" Location={quoteattr(sso_url)}/>"
        "<md:SingleSignOnService"
        ' Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"'
        f" Location={quoteattr(sso_url)}/>"
        "</md:IDPSSODescriptor></md:EntityDescriptor>\n"
    )


def aws_attributes(
    *,
    role: str | Sequence[str] = f"{ROLE_ARN},{PROVIDER_ARN}",
    session_name: str | None = "alice@example.com",
    duration: str | None = None,
    source_identity: str | None = None,
    tags: Mapping[str, str] | None = None,
    transitive: Sequence[str] = (),
) -> dict[str, tuple[str, ...]]:
    """The AWS attributes as `build_response` takes them."""
    attributes: dict[str, tuple[str, ...]] = {
        AWS + "Role": (role,) if isinstance(role, str) else tuple(role)
    }
    if session_name is not None:
        attributes[AWS + "RoleSessionName"] = (session_name,)
    if duration is not None:
        attributes[AWS + "SessionDuration"] = (duration,)
    if source_identity is not None:
        attributes[AWS + "SourceIdentity"] = (source_identity,)
    for key, value in (tags or {}).items():
        attributes[f"{AWS}PrincipalTag:{key}"] = (value,)
    if transitive:
        attributes[AWS + "TransitiveTagKeys"] = tuple(transitive)
    return attributes


def confirmation_xml(
    *,
    recipient: str | None = ACS,
    not_on_or_after: str | None,
    not_before: str | None = None,
    in_response_to: str | None = None,
    method: str = "urn:oasis:names:tc:SAML:2.0:cm:bearer",
) -> str:
    data = _attrs(
        NotBefore=not_before,
        NotOnOrAfter=not_on_or_after,
        Recipient=recipient,
        InResponseTo=in_response_to,
    )
    return (
        f'<saml:SubjectConfirmation Method="{method}">'
        f"<saml:SubjectConfirmationData{data}/></saml:SubjectConfirmation>"
    )


def _attrs(**values: str | None) -> str:
    return "".join(
        f" {name}={quoteattr(value)}"
        for name, value in values.items()
        if value is not None
    )


def assertion_xml(
    *,
    now: datetime = NOW,
    assertion_id: str = "_a1",
    issuer: str | None = ENTITY_ID,
    subject: str = "alice",
    name_format: str | None = PERSISTENT,
    name_id: str | None = None,
    audience: str | Sequence[str] | None = AUDIENCE,
    recipient: str | None = ACS,
    not_before: str | None = "",
    not_on_or_after: str | None = "",
    confirmation_not_on_or_after: str | None = "",
    confirmations: str | None = None,
    in_response_to: str | None = None,
    issue_instant: str = "",
    session_not_on_or_after: str | None = None,
    attributes: Mapping[str, Sequence[str]] | None = None,
    attribute_xml: str = "",
    conditions_xml: str = "",
    conditions: str | None = None,
    authn_statement: str | None = None,
    version: str = "2.0",
    extra_attributes: str = "",
    declare_xs: bool = False,
    subject_xml: str | None = None,
) -> str:
    """An Assertion as text; ``""`` for a time means the usual one, None leaves out."""
    usual_end = saml_time(now + timedelta(minutes=5))
    end = usual_end if not_on_or_after == "" else not_on_or_after
    confirmation_end = (
        usual_end
        if confirmation_not_on_or_after == ""
        else confirmation_not_on_or_after
    )
    start = saml_time(now - timedelta(minutes=1)) if not_before == "" else not_before
    if name_id is None:
        name_id = f"<saml:NameID{_attrs(Format=name_format)}>{subject}</saml:NameID>"
    if confirmations is None:
        confirmations = confirmation_xml(
            recipient=recipient,
            not_on_or_after=confirmation_end,
            in_response_to=in_response_to,
        )
    audiences = (audience,) if isinstance(audience, str) else audience
    restriction = (
        ""
        if audiences is None
        else "<saml:AudienceRestriction>"
        + "".join(f"<saml:Audience>{name}</saml:Audience>" for name in audiences)
        + "</saml:AudienceRestriction>"
    )
    if conditions is None:
        conditions = (
            f"<saml:Conditions{_attrs(NotBefore=start, NotOnOrAfter=end)}>"
            f"{restriction}{conditions_xml}</saml:Conditions>"
        )
    if authn_statement is None:
        session = _attrs(SessionNotOnOrAfter=session_not_on_or_after)
        authn_statement = (
            f'<saml:AuthnStatement AuthnInstant="{saml_time(now)}"'
            f' SessionIndex="_s1"{session}>'
            "<saml:AuthnContext><saml:AuthnContextClassRef>"
            "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
            "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
        )
    typed = ' xsi:type="xs:string"' if declare_xs else ""
    statements = "".join(
        f"<saml:Attribute Name={quoteattr(name)}>"
        + "".join(
            f"<saml:AttributeValue{typed}>{escape(value)}</saml:AttributeValue>"
            for value in values
        )
        + "</saml:Attribute>"
        for name, values in (
            aws_attributes() if attributes is None else attributes
        ).items()
    )
    if statements or attribute_xml:
        statements = (
            f"<saml:AttributeStatement>{statements}{attribute_xml}"
            "</saml:AttributeStatement>"
        )
    issued = issue_instant or saml_time(now)
    issuer_xml = "" if issuer is None else f"<saml:Issuer>{issuer}</saml:Issuer>"
    if subject_xml is None:
        subject_xml = f"<saml:Subject>{name_id}{confirmations}</saml:Subject>"
    schema = (
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' xmlns:xs="http://www.w3.org/2001/XMLSchema"'
        if declare_xs
        else ""
    )
    return (
        f'<saml:Assertion xmlns:saml="{SAML}"{schema} ID="{assertion_id}"'
        f' Version="{version}" IssueInstant="{issued}"{extra_attributes}>'
        f"{issuer_xml}{subject_xml}"
        f"{conditions}{authn_statement}{statements}</saml:Assertion>"
    )


def response_xml(
    *assertions: str,
    now: datetime = NOW,
    response_id: str = "_r1",
    issuer: str | None = ENTITY_ID,
    destination: str | None = ACS,
    in_response_to: str | None = None,
    issue_instant: str = "",
    status: str | None = "urn:oasis:names:tc:SAML:2.0:status:Success",
    version: str = "2.0",
    extensions: str = "",
    namespaces: str = "",
) -> str:
    """A Response as text around the given assertions."""
    attributes = _attrs(Destination=destination, InResponseTo=in_response_to)
    issuer_xml = "" if issuer is None else f"<saml:Issuer>{issuer}</saml:Issuer>"
    status_xml = (
        ""
        if status is None
        else f'<samlp:Status><samlp:StatusCode Value="{status}"/></samlp:Status>'
    )
    return (
        f'<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}"{namespaces}'
        f' ID="{response_id}" Version="{version}"'
        f' IssueInstant="{issue_instant or saml_time(now)}"{attributes}>'
        f"{issuer_xml}{extensions}{status_xml}{''.join(assertions)}</samlp:Response>"
    )


def signature_template(
    reference: str,
    *,
    algorithm: str = RSA_SHA256,
    digest: str = SHA256,
    c14n: str = EXC_C14N,
    transforms: Sequence[str] = (ENVELOPED, EXC_C14N),
    prefixes: str | None = None,
    key_info: str = "",
    prefix: str = "ds",
) -> str:
    """A Signature to be filled in."""
    inclusive = (
        ""
        if prefixes is None
        else f'<ec:InclusiveNamespaces xmlns:ec="{EXC_C14N}" PrefixList="{prefixes}"/>'
    )
    transform_xml = "".join(
        f'<ds:Transform Algorithm="{name}">'
        + (inclusive if name.startswith(EXC_C14N) else "")
        + "</ds:Transform>"
        for name in transforms
    )
    text = (
        f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo>'
        f'<ds:CanonicalizationMethod Algorithm="{c14n}"/>'
        f'<ds:SignatureMethod Algorithm="{algorithm}"/>'
        f'<ds:Reference URI="{reference}"><ds:Transforms>{transform_xml}</ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue/></ds:Reference>'
        f"</ds:SignedInfo><ds:SignatureValue/>{key_info}</ds:Signature>"
    )
    return text.replace("ds:", f"{prefix}:").replace("xmlns:ds", f"xmlns:{prefix}")


def sign_element(
    element: etree._Element,
    pair: KeyPair | None = None,
    *,
    template: str | None = None,
    with_certificate: bool = True,
    **knobs: object,
) -> etree._Element:
    """Put an enveloped signature behind the element's Issuer; returns the Signature."""
    pair = pair or key_pair()
    if with_certificate:
        knobs.setdefault(
            "key_info",
            "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>"
            f"{textwrap.fill(pair.certificate_base64, 76)}"
            "</ds:X509Certificate></ds:X509Data></ds:KeyInfo>",
        )
    text = template or signature_template(
        f"#{element.get('ID')}",
        **knobs,  # type: ignore[arg-type]
    )
    signature = etree.fromstring(text)
    issuer = element.find("saml:Issuer", NS)
    element.insert(0 if issuer is None else 1, signature)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(pair.private_pem, _KEY_FORMAT_PEM)
    context.register_id(element, "ID")
    context.sign(signature)
    return signature


def encrypt_assertion(
    assertion: str,
    recipient_public_pem: bytes,
    *,
    cipher: str = XENC11 + "aes256-gcm",
    transport: str = XENC + "rsa-oaep-mgf1p",
    digest: str | None = None,
    mgf: str | None = None,
    sibling_key: bool = False,
    type_: str | None = XENC + "Element",
) -> str:
    """An EncryptedAssertion whose plaintext is exactly ``assertion``."""
    digest_xml = f'<ds:DigestMethod Algorithm="{digest}"/>' if digest else ""
    mgf_xml = f'<xenc11:MGF xmlns:xenc11="{XENC11}" Algorithm="{mgf}"/>' if mgf else ""
    template = etree.fromstring(
        f'<xenc:EncryptedData xmlns:xenc="{XENC}" xmlns:ds="{DS}"'
        f' Type="{XENC}Element">'
        f'<xenc:EncryptionMethod Algorithm="{cipher}"/><ds:KeyInfo>'
        f'<xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="{transport}">'
        f"{digest_xml}{mgf_xml}</xenc:EncryptionMethod><xenc:CipherData>"
        "<xenc:CipherValue/></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>"
        "<xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedData>"
    )
    manager = xmlsec.KeysManager()
    manager.add_key(xmlsec.Key.from_memory(recipient_public_pem, _KEY_FORMAT_PEM))
    context = xmlsec.EncryptionContext(manager)
    bits = 128 if "128" in cipher else 256
    context.key = xmlsec.Key.generate(
        xmlsec.constants.KeyDataAes, bits, xmlsec.constants.KeyDataTypeSession
    )
    data = context.encrypt_binary(template, assertion.encode())
    if type_ is None:
        del data.attrib["Type"]
    else:
        data.set("Type", type_)
    siblings = ""
    if sibling_key:
        key = data.find(".//xenc:EncryptedKey", NS)
        assert key is not None
        parent = key.getparent()
        assert parent is not None
        parent.remove(key)
        data.remove(parent)
        siblings = etree.tostring(key).decode()
    return (
        f'<saml:EncryptedAssertion xmlns:saml="{SAML}">'
        f"{etree.tostring(data).decode()}{siblings}</saml:EncryptedAssertion>"
    )


def encode(document: str | bytes | etree._Element) -> str:
    """The ``SAMLResponse`` parameter."""
    if isinstance(document, etree._Element):
        document = etree.tostring(document)
    if isinstance(document, str):
        document = document.encode()
    return base64.b64encode(document).decode()


def build_document(
    *,
    sign: str = "assertion",
    signing_key: KeyPair | None = None,
    encrypt_to: bytes | None = None,
    encryption: Mapping[str, object] | None = None,
    signature: Mapping[str, object] | None = None,
    response: Mapping[str, object] | None = None,
    change_assertion: Callable[[etree._Element], None] | None = None,
    now: datetime = NOW,
    **assertion: object,
) -> etree._Element:
    """A Response's tree. ``sign``: ``assertion``, ``response``, ``both``, ``none``.

    ``change_assertion`` runs before signing; ``encrypt_to`` is a public key in PEM.
    """
    knobs = dict(signature or {})
    outer = dict(response or {})
    text = assertion_xml(now=now, **assertion)  # type: ignore[arg-type]
    inner_signed = sign in {"assertion", "both"}
    if encrypt_to is not None:
        element = etree.fromstring(text)
        if change_assertion:
            change_assertion(element)
        if inner_signed:
            sign_element(element, signing_key, **knobs)  # type: ignore[arg-type]
        text = encrypt_assertion(
            etree.tostring(element).decode(),
            encrypt_to,
            **(encryption or {}),  # type: ignore[arg-type]
        )
    root = etree.fromstring(response_xml(text, now=now, **outer))  # type: ignore[arg-type]
    if encrypt_to is None:
        element = root.find("saml:Assertion", NS)
        assert element is not None
        if change_assertion:
            change_assertion(element)
        if inner_signed:
            sign_element(element, signing_key, **knobs)  # type: ignore[arg-type]
    if sign in {"response", "both"}:
        sign_element(root, signing_key, **knobs)  # type: ignore[arg-type]
    return root


def build_response(**knobs: object) -> str:
    """`build_document`, encoded as the ``SAMLResponse`` parameter."""
    return encode(build_document(**knobs))  # type: ignore[arg-type]
