"""The error envelope, in XML and JSON.

Source: botocore's STS model; recorded STS answers (REC-A).
"""

from broker.protocols.query.renderer import escape
from broker.protocols.shapes.documents import dump

FAULT_NAMESPACE = "http://webservices.amazon.com/AWSFault/2005-15-09"
"""Of errors that belong to no service, such as ``InvalidAction``."""


def render_fault(
    code: str,
    message: str | None,
    *,
    fault: str,
    request_id: str,
    namespace: str = FAULT_NAMESPACE,
    encoded: str = "",
    advice: str = "",
) -> bytes:
    """An ``ErrorResponse``; ``fault`` is ``Sender`` or ``Receiver``.

    ``namespace`` is the service's own for every error that arises after its
    operation was found. Without a message the element is left out. ``encoded`` is an
    encoded authorization message, ``advice`` what stands beside the message: clients
    compare messages with AWS's, and pass over elements that they do not know.
    """
    beside = f"    <Advice>{escape(advice)}</Advice>\n" if advice else ""
    sealed = f"    <EncodedMessage>{encoded}</EncodedMessage>\n" if encoded else ""
    text = "" if message is None else f"    <Message>{escape(message)}</Message>\n"
    return (
        f'<ErrorResponse xmlns="{namespace}">\n'
        "  <Error>\n"
        f"    <Type>{fault}</Type>\n"
        f"    <Code>{code}</Code>\n"
        f"{text}{beside}{sealed}"
        "  </Error>\n"
        f"  <RequestId>{request_id}</RequestId>\n"
        "</ErrorResponse>\n"
    ).encode()


def render_json_fault(
    code: str,
    message: str | None,
    *,
    fault: str,
    request_id: str,
    encoded: str = "",
    advice: str = "",
) -> bytes:
    """The same as JSON; without a message the member is left out."""
    error = {"Code": code, "Message": message, "Type": fault}
    if message is None:
        del error["Message"]
    if advice:
        error["Advice"] = advice
    if encoded:
        error["EncodedMessage"] = encoded
    return dump({"Error": error, "RequestId": request_id})
