"""Unverified statements of a Response, used only to choose whose keys to try."""

from lxml.etree import _Element
from msgspec import Struct

from broker.model.federated import RolePair
from broker.protocols.saml.attributes import ROLE, parse_role_pair
from broker.protocols.saml.gate import parse_strictly, text_of
from broker.protocols.saml.names import (
    ATTRIBUTE,
    ATTRIBUTE_STATEMENT,
    ATTRIBUTE_VALUE,
    ENCRYPTED_ASSERTION,
    ISSUER,
)
from broker.protocols.saml.response import read_envelope
from broker.protocols.saml.texts import decode_response

NOMINATED_PROVIDERS_MAX = 20
_ROLE_VALUES = f"{ATTRIBUTE_STATEMENT}/{ATTRIBUTE}[@Name='{ROLE}']/{ATTRIBUTE_VALUE}"


class UnverifiedResponse(Struct, frozen=True, kw_only=True):
    """The request that it answers, its assertion's issuer, the role pairs it names.

    ``issuer`` is empty where it cannot be read, as in an encrypted assertion, which
    names no provider either. The pairs name at most 20 providers; values that are not
    pairs are skipped.
    """

    in_response_to: str | None
    issuer: str
    role_pairs: tuple[RolePair, ...]


def peek_response(response_text: str) -> UnverifiedResponse:
    """Read a Response once, before any trust.

    Raises:
        SamlRejected: the text is not a Response with exactly one assertion.
    """
    envelope = read_envelope(parse_strictly(decode_response(response_text)))
    assertion = envelope.assertion
    if assertion.tag == ENCRYPTED_ASSERTION:
        return UnverifiedResponse(
            in_response_to=envelope.in_response_to, issuer="", role_pairs=()
        )
    issuers = assertion.findall(ISSUER)
    return UnverifiedResponse(
        in_response_to=envelope.in_response_to,
        issuer=text_of(issuers[0]) if len(issuers) == 1 else "",
        role_pairs=_nominate(assertion),
    )


def _nominate(assertion: _Element) -> tuple[RolePair, ...]:
    pairs: dict[RolePair, None] = {}
    providers: set[str] = set()
    for value in assertion.iterfind(_ROLE_VALUES):
        try:
            pair = parse_role_pair(text_of(value))
        except ValueError:
            continue
        if pair.provider_arn not in providers:
            if len(providers) == NOMINATED_PROVIDERS_MAX:
                continue
            providers.add(pair.provider_arn)
        pairs[pair] = None
    return tuple(pairs)
