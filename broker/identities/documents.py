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
        raise MalformedPolicyDocument(
            error.message, detail=f"{error.reason} at {error.place or 'the document'}"
        ) from error
