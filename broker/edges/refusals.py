"""The edge's own refusals, in the error format of the client's protocol.

AWS's SDKs read an error in the form of the service that they meant to call; anything
else they report as a parse error. The format is chosen from the request alone: the
service of its credential scope, ``X-Amz-Target``, content type and ``Accept``.

Source: botocore's ``parsers.py``; Smithy, "AWS JSON 1.0/1.1", "AWS restJson1",
"Smithy RPC v2 CBOR"; S3 API reference, "Error responses".
"""

import json
import re
from collections.abc import Mapping
from enum import Enum, auto
from html import escape as escape_html

from msgspec import Struct

from broker.edges.asgi import Headers, Scope, Send, respond
from broker.protocols.query import render_fault
from broker.protocols.query.renderer import escape

SERVED = (
    "This endpoint is a federation broker. It serves AWS STS (2011-06-15),"
    " IAM (2010-05-08), IAM Roles Anywhere (2018-05-10), sign-in with the access portal"
    " (sso and sso-oidc), CloudTrail's LookupEvents, and decisions for registered services; it serves nothing else."
)
_OURS = frozenset({"", "sts", "iam", "signin", "broker"})
_XML_SERVICES = frozenset({"cloudfront", "route53"})
_UNNAMED = "another service"
_FORM = b"application/x-www-form-urlencoded"
_BEARER = b"x-amz-sso_bearer_token"
"""The portal's, in requests that have neither a signature nor a body."""

_HEAD_CHARACTERS = 4096
_SCOPE = re.compile(
    r"Credential=[^/,&\s]{1,256}(?:/|%2F)[0-9]{8}(?:/|%2F)[a-z0-9-]{0,64}"
    r"(?:/|%2F)([a-z0-9-]{1,64})(?:/|%2F)aws4_request",
    re.ASCII | re.IGNORECASE,
)


class ErrorFormat(Enum):
    """How an error is written."""

    QUERY = auto()
    EC2 = auto()
    JSON = auto()
    CBOR = auto()
    XML = auto()
    S3 = auto()
    PAGE = auto()


class ClientDialect(Struct, frozen=True):
    """What a request's head says: the service meant, if any, and the error format."""

    service: str
    form: ErrorFormat

    @property
    def means_another_service(self) -> bool:
        """Whether the request is for a service that the broker is not."""
        return self.service not in _OURS


class Refusal(Struct, frozen=True):
    """An error of no operation."""

    status: int
    code: str
    message: str


_DENIED = {
    ErrorFormat.EC2: "UnauthorizedOperation",
    ErrorFormat.JSON: "AccessDeniedException",
    ErrorFormat.CBOR: "AccessDeniedException",
}
"""How services deny access, by their format; the others say ``AccessDenied``."""

HEADS: Mapping[int, Refusal] = {
    refusal.status: refusal
    for refusal in (
        Refusal(400, "BadRequest", "The request is not well-formed HTTP."),
        Refusal(
            408, "RequestTimeout", "The request did not arrive within the time allowed."
        ),
        Refusal(413, "RequestEntityTooLarge", "The body is too large."),
        Refusal(
            431,
            "RequestHeaderFieldsTooLarge",
            "The request's head is larger than 64 KiB or has over 100 fields.",
        ),
        Refusal(
            503,
            "ServiceUnavailable",
            "Too many large requests are arriving at once; try again.",
        ),
    )
}
"""Refusals of a request before it is read, by status."""

FAILURE = Refusal(
    500, "InternalFailure", "The request failed; its id finds the cause in the log."
)
STOPPING = Refusal(503, "ServiceUnavailable", "The broker is stopping.")


def identify_client(scope: Scope) -> ClientDialect:
    """Who sent a request, as far as its head says."""
    headers = dict(scope["headers"])
    query: bytes = scope["query_string"]
    authorization: bytes = headers.get(b"authorization", b"")
    signed = authorization[:_HEAD_CHARACTERS] + b" " + query[-_HEAD_CHARACTERS:]
    match = _SCOPE.search(signed.decode("latin-1"))
    service = match[1].lower() if match else ""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if b"smithy-protocol" in headers:
        return ClientDialect(service or _UNNAMED, ErrorFormat.CBOR)
    if b"x-amz-target" in headers or kind.startswith(b"application/x-amz-json"):
        return ClientDialect(service or _UNNAMED, ErrorFormat.JSON)
    if service not in _OURS:
        return ClientDialect(service, _form_of(service, is_form=kind == _FORM))
    if _BEARER in headers or kind.endswith(b"json"):
        return ClientDialect(service, ErrorFormat.JSON)
    if not service and b"text/html" in headers.get(b"accept", b""):
        return ClientDialect(service, ErrorFormat.PAGE)
    return ClientDialect(service, ErrorFormat.QUERY)


def _form_of(service: str, *, is_form: bool) -> ErrorFormat:
    if service == "ec2":
        return ErrorFormat.EC2
    if service.startswith("s3"):
        return ErrorFormat.S3
    if service in _XML_SERVICES:
        return ErrorFormat.XML
    return ErrorFormat.QUERY if is_form else ErrorFormat.JSON


def other_service(client: ClientDialect) -> Refusal:
    """The answer to a request for another service, in that service's format.

    Clients take it for what it is: nothing here is for them. A missing bucket or table,
    which they might create, is something else.
    """
    message = f"{SERVED} The request is for {client.service}: check the client's endpoint URL."
    return Refusal(403, _DENIED.get(client.form, "AccessDenied"), message)


def other_host(public_origin: str) -> Refusal:
    """The answer to a request whose host name is not the broker's."""
    return Refusal(
        421,
        "MisdirectedRequest",
        f"{SERVED} Its address is {public_origin}; the request's Host is another,"
        " or there is none. The operator names further ones in BROKER_HOST_ALIASES.",
    )


async def answer_refusal(
    scope: Scope, send: Send, refusal: Refusal, client: ClientDialect
) -> None:
    """Send a refusal in the client's form, and note it for the log line."""
    state = scope["state"]
    state["line"].setdefault("error_code", refusal.code)
    headers, body = _answer(refusal, client.form, state["request_id"])
    # A HEAD is answered without the body.
    await respond(
        send, refusal.status, headers, b"" if scope["method"] == "HEAD" else body
    )


def _answer(
    refusal: Refusal, form: ErrorFormat, request_id: str
) -> tuple[Headers, bytes]:
    kind, body = _render(refusal, form, request_id)
    headers: Headers = ((b"content-type", kind),)
    if form in {ErrorFormat.JSON, ErrorFormat.CBOR}:
        headers += ((b"x-amzn-errortype", refusal.code.encode()),)
    if form is ErrorFormat.CBOR:
        headers += ((b"smithy-protocol", b"rpc-v2-cbor"),)
    return headers, body


def _render(
    refusal: Refusal, form: ErrorFormat, request_id: str
) -> tuple[bytes, bytes]:
    code, message = refusal.code, refusal.message
    fault = "Receiver" if refusal.status >= FAILURE.status else "Sender"
    match form:
        case ErrorFormat.JSON:
            document = {"__type": code, "code": code, "message": message}
            return b"application/json", json.dumps(document).encode("ascii")
        case ErrorFormat.CBOR:
            return b"application/cbor", b"\xa2" + b"".join(
                _cbor_text(text) for text in ("__type", code, "message", message)
            )
        case ErrorFormat.EC2:
            body = (
                f"<Response><Errors><Error><Code>{code}</Code>"
                f"<Message>{escape(message)}</Message></Error></Errors>"
                f"<RequestID>{request_id}</RequestID></Response>\n"
            )
        case ErrorFormat.S3:
            body = (
                f"<Error><Code>{code}</Code><Message>{escape(message)}</Message>"
                f"<RequestId>{request_id}</RequestId></Error>\n"
            )
        case ErrorFormat.PAGE:
            return b"text/html; charset=utf-8", (
                '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8">'
                f"<title>{refusal.status} {refusal.code}</title>\n"
                f"<h1>{refusal.status} {refusal.code}</h1>\n"
                f"<p>{escape_html(refusal.message)}</p>\n"
                f"<p>Request id: {request_id}</p></html>\n"
            ).encode()
        case ErrorFormat.QUERY | ErrorFormat.XML:
            return b"text/xml", render_fault(
                code, message, fault=fault, request_id=request_id
            )
    return b"text/xml", body.encode()


def _cbor_text(text: str) -> bytes:
    """A text string of up to 65,535 bytes. Source: RFC 8949, 3.1."""
    encoded = text.encode()
    return b"\x79" + len(encoded).to_bytes(2, "big") + encoded
