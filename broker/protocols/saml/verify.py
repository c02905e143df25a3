"""From a SAMLResponse parameter to a verified assertion; the order of all checks."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from lxml.etree import _Element
from msgspec import Struct

from broker.protocols.saml.attributes import read_attributes
from broker.protocols.saml.conditions import (
    LIFETIME_MAX,
    AssertionExpectations,
    Profile,
    check_in_response_to,
    check_issue_instant,
    check_lifetime,
    read_session,
    require_conditions,
    require_confirmation,
)
from broker.protocols.saml.decryption import decrypt_assertion
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.gate import (
    children_named,
    parse_strictly,
    require_id,
    text_of,
)
from broker.protocols.saml.keys import SigningKey
from broker.protocols.saml.metadata import IdpDescriptor, IdpMetadata
from broker.protocols.saml.names import (
    ASSERTION,
    ENCRYPTED_ASSERTION,
    ISSUER,
    NAME_CHARACTERS_MAX,
    NAME_ID,
    SIGNATURE,
    SUBJECT,
    SUBJECT_CONFIRMATION,
    VERSION,
)
from broker.protocols.saml.response import Envelope, read_envelope, read_issuer
from broker.protocols.saml.schema import check_schema
from broker.protocols.saml.signature import (
    RESPONSE_WORK,
    SignedElement,
    find_signature,
    verify_signature,
)
from broker.protocols.saml.texts import decode_response, parse_instant

_ISSUER_LENGTH_MAX = 1024


class VerifiedAssertion(Struct, frozen=True, kw_only=True):
    """What a verified assertion says; every value comes from signed bytes.

    ``recipient`` is the accepted confirmation's. ``latest_not_on_or_after`` is the last
    of all its time limits, at most a day after its issue: replay marks are kept until
    then (AWS's rules set no end to them, but refuse old assertions);
    ``session_not_on_or_after`` caps the session. ``in_response_to`` is set when one of
    the expected requests was answered. ``response_id`` alone may be unsigned.
    ``signing_key`` verified the assertion's own signature or, without one, the Response's.
    """

    response_id: str
    assertion_id: str
    issuer: str
    issue_instant: datetime
    subject: str
    subject_format: str
    recipient: str
    latest_not_on_or_after: datetime
    session_not_on_or_after: datetime | None
    session_index: str | None
    in_response_to: str | None
    is_encrypted: bool
    signing_key: SigningKey
    attributes: Mapping[str, tuple[str, ...]]


def find_unverified_issuer(response_text: str) -> str | None:
    """The sender that an unverified Response names, successful or not; None if none.

    For the record of a refusal only.

    Raises:
        SamlRejected: the text is not strict XML.
    """
    root = parse_strictly(decode_response(response_text))
    issuer = root.find(ISSUER)
    if issuer is None:
        issuer = root.find(f"{ASSERTION}/{ISSUER}")
    name = "" if issuer is None else text_of(issuer).strip()
    return name if 0 < len(name) <= _ISSUER_LENGTH_MAX else None


def verify_response(
    response_text: str, *, idp: IdpMetadata, expected: AssertionExpectations
) -> VerifiedAssertion:
    """Verify a Response by one provider's registered metadata.

    A signature of the assertion, of the Response, or both is needed; each one that is
    present must verify with a key of the entity that the assertion names as issuer.
    Replay is the caller's business.

    Raises:
        SamlRejected: with the reason of the first check that failed.
    """
    envelope = read_envelope(parse_strictly(decode_response(response_text)))
    is_encrypted = envelope.assertion.tag == ENCRYPTED_ASSERTION
    if expected.encryption_required and not is_encrypted:
        raise SamlRejected(
            SamlReason.ENCRYPTION_REQUIRED, "the provider's assertions are encrypted"
        )
    if is_encrypted:
        signed, descriptor = _verify_encrypted(envelope, idp, expected)
    else:
        signed, descriptor = _verify_plain(envelope, idp, expected)
    check_schema(signed.element)
    return _read(signed, envelope, descriptor, expected)


def _verify_plain(
    envelope: Envelope, idp: IdpMetadata, expected: AssertionExpectations
) -> tuple[SignedElement, IdpDescriptor]:
    descriptor = _get_descriptor(idp, _unverified_issuer(envelope.assertion))
    detached = _verify_signatures(
        envelope.root, envelope.assertion, descriptor.signing_keys, expected
    )
    if detached is None:
        raise SamlRejected(SamlReason.UNSIGNED, "neither assertion nor Response signed")
    return detached, descriptor


def _verify_encrypted(
    envelope: Envelope, idp: IdpMetadata, expected: AssertionExpectations
) -> tuple[SignedElement, IdpDescriptor]:
    """The Response's signature covers the ciphertext, the assertion's the plaintext.

    Whatever fails after the private key was used looks the same to the sender.
    """
    root = envelope.root
    policy = expected.options.algorithms
    encrypted, signer, response = envelope.assertion, None, None
    signature = find_signature(root)
    _require_signatures(root, signature)
    if signature is not None:
        if envelope.issuer is None:
            raise SamlRejected(
                SamlReason.ISSUER_UNKNOWN, "a signed Response without an Issuer"
            )
        signer = _get_descriptor(idp, envelope.issuer)
        response = verify_signature(
            root,
            signature,
            keys=signer.signing_keys,
            policy=policy,
            most_work=RESPONSE_WORK,
        )
        encrypted = _only_child(response.element, ENCRYPTED_ASSERTION)
    assertion = decrypt_assertion(
        encrypted,
        keys=expected.decryption_keys,
        policy=policy,
        is_signed=signer is not None,
    )
    try:
        descriptor = _get_descriptor(idp, _unverified_issuer(assertion))
        inner = _verify_signatures(None, assertion, descriptor.signing_keys, expected)
    except SamlRejected as error:
        raise SamlRejected(
            SamlReason.DECRYPTION_FAILED, f"the plaintext is refused: {error}"
        ) from error
    if inner is not None:
        return inner, descriptor
    if response is None or signer is not descriptor:
        raise SamlRejected(
            SamlReason.DECRYPTION_FAILED, "neither assertion nor Response signed"
        )
    return SignedElement(assertion, response.key), descriptor


def _verify_signatures(
    root: _Element | None,
    assertion: _Element,
    keys: Sequence[SigningKey],
    expected: AssertionExpectations,
) -> SignedElement | None:
    """Verify every signature there is; the assertion from signed bytes, or None."""
    policy = expected.options.algorithms
    outer = None if root is None else find_signature(root)
    inner = find_signature(assertion)
    _require_signatures(assertion if root is None else root, outer, inner)
    signed = None
    # The outer first: what it covers is made with the inner Signature in its place.
    if root is not None and outer is not None:
        response = verify_signature(
            root, outer, keys=keys, policy=policy, most_work=RESPONSE_WORK
        )
        signed = SignedElement(_only_child(response.element, ASSERTION), response.key)
    if inner is not None:
        signed = verify_signature(
            assertion, inner, keys=keys, policy=policy, most_work=RESPONSE_WORK
        )
    return signed


def _require_signatures(root: _Element, *known: _Element | None) -> None:
    """Refuse any signature besides the known ones: a second, or one elsewhere."""
    expected = len(known) - known.count(None)
    if len(list(root.iter(SIGNATURE))) != expected:
        raise SamlRejected(
            SamlReason.SIGNATURE_STRUCTURE, "a signature where none belongs"
        )


def _only_child(root: _Element, tag: str) -> _Element:
    elements = children_named(root, tag)
    if len(elements) != 1:
        raise SamlRejected(SamlReason.ASSERTION_COUNT, "not exactly one assertion")
    return elements[0]


def _unverified_issuer(assertion: _Element) -> str:
    issuers = children_named(assertion, ISSUER)
    if len(issuers) != 1:
        raise SamlRejected(SamlReason.ISSUER_UNKNOWN, f"{len(issuers)} issuers")
    return text_of(issuers[0])


def _get_descriptor(idp: IdpMetadata, entity_id: str) -> IdpDescriptor:
    descriptor = idp.find_descriptor(entity_id)
    if descriptor is None:
        raise SamlRejected(
            SamlReason.ISSUER_UNKNOWN,
            f"Issuer is {entity_id[:200]!r}, the metadata has "
            f"{[known.entity_id for known in idp.descriptors]!r:.300}",
        )
    return descriptor


def _read(
    signed: SignedElement,
    envelope: Envelope,
    descriptor: IdpDescriptor,
    expected: AssertionExpectations,
) -> VerifiedAssertion:
    """Check and read what the signed element says."""
    assertion = signed.element
    if assertion.get("Version") != VERSION:
        raise SamlRejected(SamlReason.STRUCTURE, "the assertion is not SAML 2.0")
    issuer = read_issuer(_only_child(assertion, ISSUER))
    if issuer != descriptor.entity_id:
        raise SamlRejected(
            SamlReason.ISSUER_MISMATCH, "the signed Issuer is not the one looked up"
        )
    issued = parse_instant(assertion.get("IssueInstant"), "Assertion/@IssueInstant")
    _check_envelope(envelope, issuer, expected)
    check_issue_instant(issued, expected=expected, where="Assertion IssueInstant")
    subject = _only_subject(assertion)
    name_id, name_format = _read_name_id(subject)
    confirmation = require_confirmation(subject, expected=expected)
    limits = [confirmation.not_on_or_after]
    conditions_end = require_conditions(assertion, expected=expected)
    if conditions_end is not None:
        limits.append(conditions_end)
    check_lifetime(issued, max(limits), expected=expected)
    session_end, session_index = read_session(assertion, expected=expected)
    return VerifiedAssertion(
        response_id=envelope.response_id,
        assertion_id=require_id(assertion),
        issuer=issuer,
        issue_instant=issued,
        subject=name_id,
        subject_format=name_format,
        recipient=confirmation.recipient,
        latest_not_on_or_after=min(max(limits), issued + LIFETIME_MAX + expected.skew),
        session_not_on_or_after=session_end,
        session_index=session_index,
        in_response_to=confirmation.in_response_to,
        is_encrypted=envelope.assertion.tag == ENCRYPTED_ASSERTION,
        signing_key=signed.key,
        attributes=read_attributes(assertion),
    )


def _check_envelope(
    envelope: Envelope, issuer: str, expected: AssertionExpectations
) -> None:
    """What the Response says against what the assertion and we say."""
    if (
        expected.options.profile is Profile.STRICT
        and envelope.issuer is not None
        and envelope.issuer != issuer
    ):
        raise SamlRejected(
            SamlReason.ISSUER_MISMATCH,
            f"Response Issuer is {envelope.issuer[:200]!r}, the assertion's {issuer!r}",
        )
    if (
        envelope.destination is not None
        and envelope.destination not in expected.recipients
    ):
        raise SamlRejected(
            SamlReason.DESTINATION_WRONG,
            f"Destination is {envelope.destination[:200]!r}, expected one of "
            f"{sorted(expected.recipients)}",
        )
    check_in_response_to(envelope.in_response_to, "Response", expected=expected)
    check_issue_instant(
        envelope.issue_instant, expected=expected, where="Response IssueInstant"
    )


def _only_subject(assertion: _Element) -> _Element:
    elements = children_named(assertion, SUBJECT)
    if len(elements) != 1:
        raise SamlRejected(SamlReason.SUBJECT, f"{len(elements)} subjects, not one")
    return elements[0]


def _read_name_id(subject: _Element) -> tuple[str, str]:
    """The NameID's text and format; EncryptedID and BaseID are not supported."""
    named = [child for child in subject if child.tag != SUBJECT_CONFIRMATION]
    if len(named) != 1 or named[0].tag != NAME_ID:
        raise SamlRejected(SamlReason.SUBJECT, "the Subject has not exactly one NameID")
    name, name_format = text_of(named[0]), named[0].get("Format")
    if not name.strip():
        raise SamlRejected(SamlReason.SUBJECT, "the NameID is empty")
    if len(name) > NAME_CHARACTERS_MAX:
        raise SamlRejected(
            SamlReason.SUBJECT,
            f"the NameID has {len(name)} characters, at most {NAME_CHARACTERS_MAX} are"
            " accepted",
        )
    if not name_format:
        # Recorded of AWS: a NameID without Format is refused.
        raise SamlRejected(SamlReason.SUBJECT, "the NameID has no Format")
    return name, name_format
