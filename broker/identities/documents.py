"""Policy documents on their way in: parsed by the engine, measured, or refused."""

from broker.errors import MalformedPolicyDocument
from broker.policy import PolicyDocument, PolicyKind, PolicyRejected, parse_policy


def checked_document(text: str, kind: PolicyKind) -> PolicyDocument:
    """The parsed document of a policy that is about to be stored.

    Raises:
        MalformedPolicyDocument: the engine refuses it.
    """
    try:
        return parse_policy(text, kind)
    except PolicyRejected as error:
        raise malformed(error) from error


def malformed(error: PolicyRejected) -> MalformedPolicyDocument:
    """What the wire says of a policy that the engine refuses."""
    return MalformedPolicyDocument(
        error.message,
        detail=f"{error.reason} at {error.place or 'the document'}: {error.message}",
        advice=error.advice,
    )
