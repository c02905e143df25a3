"""Short-hands for tests that hand responses of `saml_idp` to the verifier."""

from datetime import timedelta
from functools import cache
from typing import Any

from broker.protocols.saml.conditions import AssertionExpectations
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.metadata import IdpMetadata, parse_metadata
from broker.protocols.saml.verify import VerifiedAssertion, verify_response
from tests.support import saml_idp
from tests.support.saml_idp import ACS, AUDIENCE, NOW

SKEW = timedelta(seconds=60)


@cache
def idp(*key_names: str, entity_id: str = saml_idp.ENTITY_ID) -> IdpMetadata:
    """The registered metadata of the test identity provider."""
    pairs = [saml_idp.key_pair(name) for name in (key_names or ("idp",))]
    return parse_metadata(saml_idp.metadata_xml(*pairs, entity_id=entity_id), now=NOW)


def expected(**changes: Any) -> AssertionExpectations:
    usual: dict[str, Any] = {
        "audiences": frozenset({AUDIENCE}),
        "recipients": frozenset({ACS}),
        "now": NOW,
        "skew": SKEW,
    }
    return AssertionExpectations(**(usual | changes))


def verify(
    response: str, *, metadata: IdpMetadata | None = None, **changes: Any
) -> VerifiedAssertion:
    return verify_response(
        response, idp=metadata or idp(), expected=expected(**changes)
    )


def reason(
    response: str, *, metadata: IdpMetadata | None = None, **changes: Any
) -> SamlReason | None:
    """Why a response is refused; None when it is accepted."""
    try:
        verify(response, metadata=metadata, **changes)
    except SamlRejected as error:
        return error.reason
    return None
