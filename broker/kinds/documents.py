"""Validates policy documents that are about to be stored or used."""

from broker.errors import MalformedPolicyDocument
from broker.kinds.service_principals import is_known_service
from broker.policy import (
    PolicyDocument,
    PolicyKind,
    PolicyRejected,
    check_shared_issuers,
    parse_new_policy,
)


def checked_document(
    text: str, kind: PolicyKind, *, managed: bool = False
) -> PolicyDocument:
    """The parsed document of a policy about to be stored or used as a session policy.

    ``managed`` is for managed policies. Principals are not looked up.

    Raises:
        MalformedPolicyDocument: the engine refuses it, or it opens a role to every
            tenant of a shared issuer.
    """
    try:
        return validated_document(text, kind, managed=managed)
    except PolicyRejected as error:
        raise malformed(error) from error


def validated_document(
    text: str, kind: PolicyKind, *, managed: bool = False
) -> PolicyDocument:
    """The same for pages, which show where in the text a mistake is.

    Raises:
        PolicyRejected: as above.
    """
    document = parse_new_policy(
        text, kind, managed=managed, knows_service=is_known_service
    )
    if kind is PolicyKind.TRUST:
        check_shared_issuers(document)
    return document


def malformed(error: PolicyRejected) -> MalformedPolicyDocument:
    """What the wire says of a policy that the engine refuses."""
    return MalformedPolicyDocument(
        error.message,
        detail=f"{error.reason} at {error.place or 'the document'}: {error.message}",
        advice=error.advice,
    )
