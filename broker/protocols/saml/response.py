"""The Response around the assertion. What it says may only refuse, never grant."""

from collections.abc import Mapping
from datetime import datetime

from lxml.etree import _Element
from msgspec import Struct

from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.gate import children_of, require_id, text_of
from broker.protocols.saml.names import (
    ASSERTION,
    ENCRYPTED_ASSERTION,
    ENTITY_FORMAT,
    EXTENSIONS,
    ISSUER,
    RESPONSE,
    SIGNATURE,
    STATUS,
    STATUS_CODE,
    STATUS_MESSAGE,
    STATUS_SUCCESS,
    VERSION,
)
from broker.protocols.saml.texts import parse_instant

_ASSERTIONS = (ASSERTION, ENCRYPTED_ASSERTION)
_CHILDREN = frozenset({ISSUER, SIGNATURE, EXTENSIONS, STATUS, *_ASSERTIONS})
_SHOWN_MAX = 200


class Envelope(Struct, frozen=True, kw_only=True):
    """A Response's parts, unverified; ``assertion`` may be encrypted."""

    root: _Element
    response_id: str
    issue_instant: datetime
    destination: str | None
    in_response_to: str | None
    issuer: str | None
    assertion: _Element


def read_envelope(root: _Element) -> Envelope:
    """Take a Response apart that holds exactly one assertion, plain or encrypted.

    Raises:
        SamlRejected: NOT_A_RESPONSE, STATUS_NOT_SUCCESS, ASSERTION_COUNT, STRUCTURE,
            IDS or TIMESTAMP.

    Source: SAML 2.0 Core 3.2.2; SAML 2.0 Profiles 4.1.4.2.
    """
    if root.tag != RESPONSE:
        raise SamlRejected(
            SamlReason.NOT_A_RESPONSE, f"the document is a {str(root.tag)[:120]}"
        )
    if root.get("Version") != VERSION:
        raise SamlRejected(SamlReason.NOT_A_RESPONSE, "the Response is not SAML 2.0")
    children = children_of(root)
    _require_success(root, children.get(STATUS, []))
    assertion = _only_assertion(root, children)
    issuers = children.get(ISSUER, [])
    if len(issuers) > 1:
        raise SamlRejected(SamlReason.STRUCTURE, "two issuers of the Response")
    return Envelope(
        root=root,
        response_id=require_id(root),
        issue_instant=parse_instant(root.get("IssueInstant"), "Response/@IssueInstant"),
        destination=root.get("Destination"),
        in_response_to=root.get("InResponseTo"),
        issuer=read_issuer(issuers[0]) if issuers else None,
        assertion=assertion,
    )


def read_issuer(issuer: _Element) -> str:
    """The text of an Issuer that names an entity.

    Raises:
        SamlRejected: STRUCTURE, for another format or an empty name.

    Source: SAML 2.0 Profiles 4.1.4.2.
    """
    name = text_of(issuer)
    if not name or issuer.get("Format", ENTITY_FORMAT) != ENTITY_FORMAT:
        raise SamlRejected(SamlReason.STRUCTURE, "an Issuer that is not an entity id")
    return name


def _require_success(root: _Element, statuses: list[_Element]) -> None:
    codes = [
        code.get("Value")
        for status in statuses
        for code in status.iterchildren(STATUS_CODE)
    ]
    if codes == [STATUS_SUCCESS]:
        return
    said = root.findtext(f"{STATUS}/{STATUS_MESSAGE}") or ""
    raise SamlRejected(
        SamlReason.STATUS_NOT_SUCCESS,
        f"the identity provider's status is {codes!r:.{_SHOWN_MAX}} "
        f"{said[:_SHOWN_MAX]!r}",
    )


def _only_assertion(root: _Element, children: Mapping[str, list[_Element]]) -> _Element:
    # Anywhere and in any namespace: a second one has no honest reason to be there.
    elements = list(root.iterdescendants("{*}Assertion", "{*}EncryptedAssertion"))
    direct = [child for tag in _ASSERTIONS for child in children.get(tag, ())]
    if len(elements) != 1 or len(direct) != 1:
        raise SamlRejected(
            SamlReason.ASSERTION_COUNT,
            f"{len(elements)} assertions, {len(direct)} of them where they belong; "
            "exactly one is taken",
        )
    for tag in children:
        if tag not in _CHILDREN:
            raise SamlRejected(
                SamlReason.STRUCTURE, f"{tag[:120]} does not belong there"
            )
    return direct[0]
