"""Opening an EncryptedAssertion.

Only the algorithms and the two ciphertexts are taken from the message; xmlsec gets a
document made here, so no reference, no key agreement and no other recipient's data
reaches it. The plaintext is a separate document and is checked like one.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from xml.sax.saxutils import quoteattr

from lxml import etree
from lxml.etree import _Element

from broker.protocols.saml.algorithms import (
    CBC_CIPHERS,
    OAEP_DIGESTS,
    OAEP_MASKS,
    RSA_OAEP,
    RSA_OAEP_MGF1P,
    AlgorithmPolicy,
)
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.gate import parse_strictly
from broker.protocols.saml.keys import DecryptionKey
from broker.protocols.saml.names import (
    ASSERTION,
    DSIG,
    ENCRYPTED_ASSERTION,
    XENC,
    XENC11,
)
from broker.protocols.saml.texts import decode_text

KEYS_MAX = 2
"""Private keys of a provider. Source: botocore's IAM model."""

_ELEMENT_TYPE = XENC + "Element"
_ENCRYPTED_DATA = f"{{{XENC}}}EncryptedData"
_ENCRYPTED_KEY = f"{{{XENC}}}EncryptedKey"
_ENCRYPTION_METHOD = f"{{{XENC}}}EncryptionMethod"
_CIPHER_DATA = f"{{{XENC}}}CipherData"
_CIPHER_VALUE = f"{{{XENC}}}CipherValue"
_KEY_INFO = f"{{{DSIG}}}KeyInfo"
_DIGEST_METHOD = f"{{{DSIG}}}DigestMethod"
_MGF = f"{{{XENC11}}}MGF"
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)

_DOCUMENT = (
    f'<xenc:EncryptedData xmlns:xenc="{XENC}" xmlns:ds="{DSIG}">'
    '<xenc:EncryptionMethod Algorithm="{cipher}"/><ds:KeyInfo><xenc:EncryptedKey>'
    '<xenc:EncryptionMethod Algorithm="{transport}">{parameters}'
    "</xenc:EncryptionMethod><xenc:CipherData><xenc:CipherValue>{key}"
    "</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>"
    "<xenc:CipherData><xenc:CipherValue>{data}</xenc:CipherValue></xenc:CipherData>"
    "</xenc:EncryptedData>"
)


def decrypt_assertion(
    encrypted: _Element,
    *,
    keys: Sequence[DecryptionKey],
    policy: AlgorithmPolicy,
    is_signed: bool,
) -> _Element:
    """The Assertion inside an EncryptedAssertion, root of a document of its own.

    ``keys`` are tried in their order. ``is_signed`` says that a verified signature
    covers the ciphertext; AES-CBC is not opened without one.

    Raises:
        SamlRejected: DECRYPTION_FAILED, whatever it was that failed;
            ALGORITHM_NOT_ALLOWED for what the message itself shows.
    """
    document = _rebuild(encrypted, policy, is_signed=is_signed)
    plaintext = _open(document, keys[:KEYS_MAX])
    if plaintext is None:
        raise _failed("no private key of the provider opens the assertion")
    try:
        root = _read(decode_text(plaintext), encrypted.nsmap)
    except SamlRejected as error:
        raise _failed(f"the plaintext is refused: {error}") from error
    if root.tag != ASSERTION:
        raise _failed("the plaintext is not an Assertion")
    if sum(1 for _ in root.iter(ASSERTION, ENCRYPTED_ASSERTION)) != 1:
        raise _failed("the plaintext holds further assertions")
    return root


def _read(text: str, in_scope: Mapping[str | None, str]) -> _Element:
    """The plaintext's root element, in a document of its own.

    One that uses prefixes of the document that it was encrypted in is read as what it
    was there. Source: XML Encryption 1.1, "Serializing XML".
    """
    with suppress(SamlRejected):  # whatever is wrong besides is wrong there, too
        root = parse_strictly(text)
        if root.tag == ASSERTION:
            return root
    declared = "".join(
        f" xmlns{':' if prefix else ''}{prefix or ''}={quoteattr(uri)}"
        for prefix, uri in in_scope.items()
    )
    context = parse_strictly(f"<context{declared}>{text}</context>")
    if len(context) != 1 or f"{context.text or ''}{context[0].tail or ''}".strip():
        raise _failed("the plaintext is not one element")
    return etree.fromstring(etree.tostring(context[0], with_tail=False))


def _open(document: str, keys: Sequence[DecryptionKey]) -> bytes | None:
    import xmlsec  # noqa: PLC0415  # loaded with the first key that decrypts

    for key in keys:
        context = xmlsec.EncryptionContext(key.xmlsec_manager)
        try:
            result: object = context.decrypt(etree.fromstring(document))
        except (xmlsec.Error, ValueError):
            continue
        if isinstance(result, bytes):
            return result
    return None


def _rebuild(encrypted: _Element, policy: AlgorithmPolicy, *, is_signed: bool) -> str:
    data, encrypted_key = _get_parts(encrypted)
    cipher = _only(data, _ENCRYPTION_METHOD).get("Algorithm") or ""
    if not policy.allows_cipher(cipher):
        raise _not_allowed(f"content encryption {cipher[:120]!r} is not on the list")
    if cipher in CBC_CIPHERS and not is_signed:
        raise _not_allowed("AES-CBC without a signature of the Response over it")
    method = _only(encrypted_key, _ENCRYPTION_METHOD)
    return _DOCUMENT.format(
        cipher=cipher,
        transport=method.get("Algorithm"),
        parameters=_oaep_parameters(method),
        key=_cipher_value(encrypted_key),
        data=_cipher_value(data),
    )


def _get_parts(encrypted: _Element) -> tuple[_Element, _Element]:
    """EncryptedData and its one EncryptedKey, inside KeyInfo or beside it."""
    if any(child.tag not in {_ENCRYPTED_DATA, _ENCRYPTED_KEY} for child in encrypted):
        raise _failed("unexpected content of EncryptedAssertion")
    data = _only(encrypted, _ENCRYPTED_DATA)
    if data.get("Type", _ELEMENT_TYPE) != _ELEMENT_TYPE:
        raise _failed("EncryptedData is not of type Element")
    elements = list(encrypted.iter(_ENCRYPTED_KEY))
    if len(elements) != 1:
        raise _failed(f"{len(elements)} encrypted keys, exactly one is taken")
    parent = elements[0].getparent()
    if parent is not encrypted and (
        parent is None or parent.tag != _KEY_INFO or parent.getparent() is not data
    ):
        raise _failed("the encrypted key stands in the wrong place")
    return data, elements[0]


def _oaep_parameters(method: _Element) -> str:
    transport = method.get("Algorithm") or ""
    if transport not in {RSA_OAEP, RSA_OAEP_MGF1P}:
        raise _not_allowed(f"key transport {transport[:120]!r} is not on the list")
    allowed = {_DIGEST_METHOD: OAEP_DIGESTS}
    if transport == RSA_OAEP:
        allowed[_MGF] = OAEP_MASKS
    written = ""
    seen: set[object] = set()
    for child in method:
        algorithm = child.get("Algorithm") or ""
        if child.tag in seen or algorithm not in allowed.get(
            str(child.tag), frozenset()
        ):
            raise _not_allowed("parameters of the key transport")
        seen.add(child.tag)
        if child.tag == _DIGEST_METHOD:
            written += f'<ds:DigestMethod Algorithm="{algorithm}"/>'
        else:
            written += f'<MGF xmlns="{XENC11}" Algorithm="{algorithm}"/>'
    return written


def _cipher_value(element: _Element) -> str:
    cipher_data = _only(element, _CIPHER_DATA)
    value = _only(cipher_data, _CIPHER_VALUE)
    compact = "".join((value.text or "").split())
    if len(cipher_data) != 1 or len(value) or not _BASE64.fullmatch(compact):
        raise _failed("CipherData holds other than one base64 CipherValue")
    return compact


def _only(element: _Element, tag: str) -> _Element:
    elements = element.findall(tag)
    if len(elements) != 1:
        raise _failed(f"{len(elements)} elements {etree.QName(tag).localname}, not one")
    return elements[0]


def _failed(detail: str) -> SamlRejected:
    return SamlRejected(SamlReason.DECRYPTION_FAILED, detail)


def _not_allowed(detail: str) -> SamlRejected:
    return SamlRejected(SamlReason.ALGORITHM_NOT_ALLOWED, detail)
