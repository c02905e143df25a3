"""Logout requests of an identity provider, and our answers.

Only a signed request counts. By POST the signature is in the message and only the bytes
that it covers are read; by redirect it is over the query's own octets, and the message
is what those octets hold.

Source: SAML 2.0 Core 3.7; Bindings 3.4.4.1, 3.4.5.2, 3.5.5.2; Profiles 4.4.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import unquote_plus
from xml.sax.saxutils import escape, quoteattr

from lxml.etree import _Element
from msgspec import Struct

from broker.protocols.saml.algorithms import AlgorithmPolicy
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.gate import (
    XmlLimits,
    children_of,
    parse_strictly,
    require_id,
    text_of,
)
from broker.protocols.saml.keys import SigningKey
from broker.protocols.saml.metadata import IdpDescriptor, IdpMetadata
from broker.protocols.saml.names import (
    EXTENSIONS,
    ISSUER,
    NAME_CHARACTERS_MAX,
    NAME_ID,
    SAML,
    SAMLP,
    SIGNATURE,
    STATUS_SUCCESS,
    VERSION,
)
from broker.protocols.saml.response import read_issuer
from broker.protocols.saml.signature import (
    RESPONSE_WORK,
    find_signature,
    verify_signature,
)
from broker.protocols.saml.texts import decode_response, decode_text, parse_instant

LOGOUT_REQUEST: Final = f"{{{SAMLP}}}LogoutRequest"
_SESSION_INDEX = f"{{{SAMLP}}}SessionIndex"
_CHILDREN = frozenset({ISSUER, EXTENSIONS, NAME_ID, _SESSION_INDEX})
_DEFLATE_ENCODING = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"
_SIGNED_FIELDS = ("SAMLRequest", "RelayState", "SigAlg")
_FIELDS = frozenset({*_SIGNED_FIELDS, "Signature", "SAMLEncoding"})

LIFE_MAX = timedelta(minutes=5)
"""From IssueInstant on, whatever NotOnOrAfter says: as for assertions."""

SESSION_INDEXES_MAX = 16
_INFLATED_BYTES_MAX = 64_000
_RAW_DEFLATE = -15
_LIMITS = XmlLimits(
    depth=16,
    elements=200,
    attributes_per_element=32,
    namespace_declarations=200,
    signatures=1,
)


class LogoutRequest(Struct, frozen=True, kw_only=True):
    """The sessions to end: a NameID's, by session index or all of them.

    After ``good_until`` the request is refused whatever the clock skew.
    """

    request_id: str
    issuer: str
    name_id: str
    session_indexes: tuple[str, ...]
    issued_at: datetime
    good_until: datetime


class LogoutExpectations(Struct, frozen=True, kw_only=True):
    """Our own address for these requests, the time, and what the provider may use."""

    destination: str
    now: datetime
    skew: timedelta
    policy: AlgorithmPolicy


def verify_posted_logout(
    message: str, *, idp: IdpMetadata, expected: LogoutExpectations
) -> LogoutRequest:
    """Verify a ``SAMLRequest`` form field: a signed LogoutRequest of the provider's.

    Raises:
        SamlRejected: with the reason.
    """
    root = parse_strictly(decode_response(message), limits=_LIMITS)
    descriptor = _get_descriptor(root, idp)
    signature = find_signature(root)
    if signature is None:
        raise SamlRejected(SamlReason.UNSIGNED, "the LogoutRequest is not signed")
    signed = verify_signature(
        root,
        signature,
        keys=descriptor.signing_keys,
        policy=expected.policy,
        most_work=RESPONSE_WORK,
    )
    return _read(signed.element, descriptor, expected)


def verify_redirected_logout(
    query: bytes, *, idp: IdpMetadata, expected: LogoutExpectations
) -> LogoutRequest:
    """Verify the query of a redirect, as it was sent.

    Raises:
        SamlRejected: with the reason.
    """
    fields = _read_fields(query)
    encoding = unquote_plus(fields.get("SAMLEncoding", _DEFLATE_ENCODING))
    if encoding != _DEFLATE_ENCODING:
        raise SamlRejected(SamlReason.STRUCTURE, f"SAMLEncoding is {encoding!r:.100}")
    root = parse_strictly(_inflate(fields["SAMLRequest"]), limits=_LIMITS)
    if next(root.iter(SIGNATURE), None) is not None:
        raise SamlRejected(
            SamlReason.SIGNATURE_STRUCTURE, "a signature inside a redirected message"
        )
    descriptor = _get_descriptor(root, idp)
    _verify_query(fields, descriptor.signing_keys, expected.policy)
    return _read(root, descriptor, expected)


def logout_response(
    *,
    response_id: str,
    issued: datetime,
    issuer: str,
    destination: str,
    in_response_to: str,
) -> str:
    """A LogoutResponse that says success; ``issuer`` is our entity id."""
    instant = issued.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'<samlp:LogoutResponse xmlns:samlp="{SAMLP}" ID={quoteattr(response_id)}'
        f' Version="2.0" IssueInstant="{instant}"'
        f" Destination={quoteattr(destination)}"
        f" InResponseTo={quoteattr(in_response_to)}>"
        f'<saml:Issuer xmlns:saml="{SAML}">{escape(issuer)}</saml:Issuer>'
        f'<samlp:Status><samlp:StatusCode Value="{STATUS_SUCCESS}"/></samlp:Status>'
        "</samlp:LogoutResponse>"
    )


def _read_fields(query: bytes) -> dict[str, str]:
    """The parameters of the binding as they stand in the query, still encoded."""
    try:
        text = query.decode("ascii")
    except UnicodeDecodeError as error:
        raise SamlRejected(SamlReason.STRUCTURE, "the query is not ASCII") from error
    fields: dict[str, str] = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        name = unquote_plus(name)
        if name not in _FIELDS:
            continue
        if name in fields:
            raise SamlRejected(SamlReason.STRUCTURE, f"{name} is there twice")
        fields[name] = value
    if "SAMLRequest" not in fields:
        raise SamlRejected(SamlReason.STRUCTURE, "there is no SAMLRequest")
    return fields


def _inflate(field: str) -> str:
    inflater = zlib.decompressobj(wbits=_RAW_DEFLATE)
    try:
        raw = inflater.decompress(_base64(field), _INFLATED_BYTES_MAX)
    except zlib.error as error:
        raise SamlRejected(SamlReason.NOT_BASE64, "the message inflates not") from error
    if not inflater.eof or inflater.unused_data:
        raise SamlRejected(
            SamlReason.TOO_LARGE,
            f"the message is cut, or has more than {_INFLATED_BYTES_MAX} bytes",
        )
    return decode_text(raw)


def _base64(field: str) -> bytes:
    try:
        return base64.b64decode(unquote_plus(field), validate=True)
    except (ValueError, binascii.Error) as error:
        raise SamlRejected(SamlReason.NOT_BASE64, "a field is not base64") from error


def _verify_query(
    fields: Mapping[str, str], keys: tuple[SigningKey, ...], policy: AlgorithmPolicy
) -> None:
    if "Signature" not in fields or "SigAlg" not in fields:
        raise SamlRejected(SamlReason.UNSIGNED, "the redirect is not signed")
    algorithm = unquote_plus(fields["SigAlg"])
    method = policy.find_signature_method(algorithm)
    if method is None:
        raise SamlRejected(
            SamlReason.ALGORITHM_NOT_ALLOWED,
            f"signature method {algorithm[:120]!r} is not on the list",
        )
    signature = _base64(fields["Signature"])
    signed = "&".join(
        f"{name}={fields[name]}" for name in _SIGNED_FIELDS if name in fields
    ).encode("ascii")
    if not any(key.verifies(signature, signed, method) for key in keys):
        raise SamlRejected(
            SamlReason.SIGNATURE_INVALID,
            f"none of the provider's {len(keys)} registered keys verifies the query",
        )


def _get_descriptor(root: _Element, idp: IdpMetadata) -> IdpDescriptor:
    """The entity whose keys are to be tried, by what is not verified yet."""
    issuer = root.find(ISSUER)
    name = "" if issuer is None else text_of(issuer)
    descriptor = idp.find_descriptor(name)
    if descriptor is None:
        raise SamlRejected(
            SamlReason.ISSUER_UNKNOWN,
            f"Issuer is {name[:200]!r}, the metadata has "
            f"{[known.entity_id for known in idp.descriptors]!r:.300}",
        )
    return descriptor


def _read(
    root: _Element, descriptor: IdpDescriptor, expected: LogoutExpectations
) -> LogoutRequest:
    """Check and read what was signed."""
    if root.tag != LOGOUT_REQUEST or root.get("Version") != VERSION:
        raise SamlRejected(
            SamlReason.STRUCTURE,
            f"a {str(root.tag)[:120]}, no LogoutRequest of SAML 2.0",
        )
    children = children_of(root)
    foreign = [tag for tag in children if tag not in _CHILDREN]
    if foreign:
        raise SamlRejected(
            SamlReason.STRUCTURE, f"{foreign[0][:120]} does not belong there"
        )
    issuers, names = children.get(ISSUER, []), children.get(NAME_ID, [])
    if len(issuers) != 1 or read_issuer(issuers[0]) != descriptor.entity_id:
        raise SamlRejected(
            SamlReason.ISSUER_MISMATCH, "the signed Issuer is not the one looked up"
        )
    if len(names) != 1 or not 0 < len(text_of(names[0])) <= NAME_CHARACTERS_MAX:
        raise SamlRejected(SamlReason.SUBJECT, "not exactly one NameID of usual length")
    indexes = [text_of(index) for index in children.get(_SESSION_INDEX, [])]
    if len(indexes) > SESSION_INDEXES_MAX or any(
        not 0 < len(index) <= NAME_CHARACTERS_MAX for index in indexes
    ):
        raise SamlRejected(SamlReason.SUBJECT, "too many or unusual session indexes")
    if root.get("Destination") != expected.destination:
        raise SamlRejected(
            SamlReason.DESTINATION_WRONG,
            f"Destination is {(root.get('Destination') or '')[:200]!r}, expected"
            f" {expected.destination!r}",
        )
    issued, good_until = _require_times(root, expected)
    return LogoutRequest(
        request_id=require_id(root),
        issuer=descriptor.entity_id,
        name_id=text_of(names[0]),
        session_indexes=tuple(dict.fromkeys(indexes)),
        issued_at=issued,
        good_until=good_until,
    )


def _require_times(
    root: _Element, expected: LogoutExpectations
) -> tuple[datetime, datetime]:
    """When the request was issued, and after when it is refused."""
    now, skew = expected.now, expected.skew
    issued = parse_instant(root.get("IssueInstant"), "LogoutRequest/@IssueInstant")
    if issued > now + skew:
        raise SamlRejected(
            SamlReason.NOT_YET_VALID, f"issued at {issued}, now is {now}"
        )
    end = issued + LIFE_MAX
    if root.get("NotOnOrAfter") is not None:
        limit = parse_instant(root.get("NotOnOrAfter"), "LogoutRequest/@NotOnOrAfter")
        end = min(end, limit)
    if now - skew >= end:
        raise SamlRejected(SamlReason.EXPIRED, f"valid until {end}, now is {now}")
    return issued, end + 2 * skew
