"""Decisions over HTTP: ``/decisions``, and ``/decisions/forward`` for proxies.

``POST /decisions`` takes and answers JSON. ``/decisions/forward`` is what proxies ask
before they let a request through, described in headers; below it, the request itself
as Envoy passes it on. A proxy understands 200 (let it through), 401 and 403; whatever
else it gets, it must refuse.

Source: nginx, ``ngx_http_auth_request_module``; Caddy, ``forward_auth``; Traefik,
"ForwardAuth"; Envoy, "External Authorization", HTTP service.
"""

import base64
import binascii
import hashlib
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from broker.actions.action import Action
from broker.actions.decisions.authorize import ANSWERS, QUESTIONS
from broker.actions.decisions.question import (
    DECISIONS_MAX,
    Batch,
    DecisionAnswer,
    Question,
    check_names_one,
)
from broker.edges.asgi import Headers, Scope
from broker.edges.doors import DECISIONS_PATH, FORWARD_PATH
from broker.edges.endpoint import (
    JSON,
    Endpoint,
    Operation,
    Response,
    read_json,
    read_model,
)
from broker.errors import (
    AccessDenied,
    BrokerError,
    InvalidClientTokenId,
    ProofError,
    SignatureDoesNotMatch,
)
from broker.errors import ValidationError as InvalidQuestion
from broker.model.request import Params, RawRequest
from broker.model.session import Caller
from broker.pipeline import Pipeline, Result
from broker.proofs.scheme import Scheme
from broker.protocols.enforcement import ClientRequest, RequestAmbiguous, read_forwarded
from broker.protocols.enforcement.forwarded import is_address, last_address
from broker.protocols.sigv4.errors import MISMATCH
from broker.runtime.bounded import remembered

_CHALLENGE = (b"www-authenticate", b"AWS4-HMAC-SHA256")
_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
_ONLY_POST: Response = 405, ((b"allow", b"POST"),), b""
_NOT_FOUND: Response = 404, (), b""
_PARTIAL = b"x-envoy-auth-partial-body"
"""Whether the body is cut, in a word of Envoy's (``allow_partial_message``)."""

_HEADERS_MAX = 100
_KEYS_MAX = 100

_Text = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
_Value = Annotated[str, StringConstraints(max_length=65_536)]
# JSON has no tuples, which a strict model demands.
_Header = Annotated[tuple[_Text, _Value], Field(strict=False)]
# A default that is a list would be copied deeply for each question.
_Names = Annotated[list[_Text], Field(default_factory=list, max_length=DECISIONS_MAX)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Credentials(_Part):
    AccessKeyId: Annotated[str, StringConstraints(min_length=16, max_length=128)]
    SessionToken: Annotated[str, StringConstraints(max_length=8192)] | None = None


class _Request(_Part):
    Method: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{1,20}$")]
    Target: Annotated[str, StringConstraints(min_length=1, max_length=65_536)]
    Headers: Annotated[list[_Header], Field(max_length=_HEADERS_MAX)]
    Body: str | None = None
    BodySha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = (
        None
    )
    ContentLength: Annotated[int, Field(ge=0)] | None = None
    SourceIp: Annotated[str, StringConstraints(max_length=64)] = ""
    SecureTransport: bool | None = None


class _Question(_Part):
    Service: Annotated[str, StringConstraints(max_length=256)] = ""
    Request: _Request | None = None
    Credentials: _Credentials | None = None
    Principal: Annotated[str, StringConstraints(max_length=2048)] = ""
    Actions: _Names
    Resources: _Names
    Context: Annotated[
        dict[str, list[str]], Field(default_factory=dict, max_length=_KEYS_MAX)
    ]


def decisions_endpoint(
    pipeline: Pipeline, action: Action, *, services: Scheme, proxies: Scheme
) -> Endpoint:
    """Answers what registered services ask, at and below ``/decisions``."""
    asked = Operation(action, services, _read_asked, _show)
    described = Operation(action, proxies, _read_described, _show_to_proxy)
    passed_on = Operation(action, proxies, _read_passed_on, _show_to_proxy)

    def find(scope: Scope) -> Operation | Response:
        path: str = scope["path"]
        if path == DECISIONS_PATH:
            return asked if scope["method"] == "POST" else _ONLY_POST
        if path == FORWARD_PATH:
            return described
        return passed_on if path.startswith(f"{FORWARD_PATH}/") else _NOT_FOUND

    # Never 401, which would ask the proxy's client for the proxy's own token.
    return Endpoint(pipeline, find, lambda _scope, _given, error: _refuse(error))


def _show(scope: Scope, _given: Params, result: Result) -> Response:
    answer: DecisionAnswer = result[ANSWERS][0]
    described = {
        "RequestId": scope["state"]["request_id"],
        "Allowed": answer.allowed,
        "Decisions": [
            {"Action": d.action, "Resource": d.resource, "Allowed": d.allowed}
            for d in answer.decisions
        ],
    }
    if answer.caller is not None:
        described["Principal"] = describe_principal(answer.caller)
    if answer.payload:
        described["ContentSha256"] = answer.payload
    if answer.refusal is not None:
        described["Refusal"] = {
            "Code": answer.refusal.code,
            "Message": answer.refusal.words,
        }
    return _OK, (JSON,), orjson.dumps(described)


def _show_to_proxy(scope: Scope, _given: Params, result: Result) -> Response:
    answer: DecisionAnswer = result[ANSWERS][0]
    if answer.allowed and answer.caller is not None:
        return _OK, _principal_headers(answer, answer.caller), b""
    refusal = answer.refusal or _denial(answer)
    if isinstance(refusal, InvalidClientTokenId):
        # Which access keys there are is not the business of a proxy's clients.
        refusal = SignatureDoesNotMatch(MISMATCH)
    scope["state"]["line"]["error_code"] = refusal.code
    unproved = isinstance(refusal, ProofError)
    return _refuse(refusal, _UNAUTHORIZED if unproved else _FORBIDDEN)


def _asking(question: Question) -> Params:
    return {QUESTIONS: Batch(questions=(question,), is_strict=True)}


def _read_asked(raw: RawRequest) -> Params:
    """The body of ``POST /decisions``; an error names the place."""
    model = read_model(_Question, read_json(raw.body))
    credentials = model.Credentials
    for resource in model.Resources:
        check_names_one(resource)
    question = Question(
        service=model.Service,
        request=None if model.Request is None else _client_request(model.Request),
        access_key_id="" if credentials is None else credentials.AccessKeyId,
        session_token=None if credentials is None else credentials.SessionToken,
        principal=model.Principal,
        actions=tuple(model.Actions),
        resources=tuple(model.Resources),
        context={key: tuple(values) for key, values in model.Context.items()}
        if model.Context
        else {},
    )
    return _asking(question)


def _client_request(params: _Request) -> ClientRequest:
    try:
        raw_path, _, query = params.Target.encode("latin-1").partition(b"?")
        headers = tuple(
            [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in params.Headers
            ]
        )
    except UnicodeEncodeError:
        raise InvalidQuestion(
            "Request: Target and Headers hold bytes, each as one character."
        ) from None
    if params.SourceIp and not is_address(params.SourceIp):
        raise InvalidQuestion("Request.SourceIp is not an address.")
    return ClientRequest(
        method=params.Method,
        raw_path=raw_path,
        query=query,
        headers=headers,
        body_sha256=_body_sha256(params),
        content_length=-1 if params.ContentLength is None else params.ContentLength,
        source_ip=params.SourceIp,
        secure=params.SecureTransport,
    )


def _body_sha256(params: _Request) -> str | None:
    if params.Body is None:
        return params.BodySha256
    if params.BodySha256 is not None:
        raise InvalidQuestion("Request: send Body or BodySha256, not both.")
    try:
        body = base64.b64decode(params.Body, validate=True)
    except binascii.Error:
        raise InvalidQuestion("Request.Body is not base64.") from None
    return hashlib.sha256(body).hexdigest()


def _read_described(raw: RawRequest) -> Params:
    """A proxy's subrequest: headers describe the request; the proxy keeps the body."""
    try:
        return _asking(Question(request=read_forwarded(raw.headers)))
    except RequestAmbiguous as error:
        return _asking(Question(ambiguous=str(error)))


def _read_passed_on(raw: RawRequest) -> Params:
    """The request itself, below the path; with its body, if the proxy passes that on."""
    # Of several headers the last one is the proxy's; those before came to it.
    sent = dict(raw.headers)
    if sent.get(_PARTIAL, b"false").lower() != b"false":
        part = "The proxy passes on only a part of the body."
        return _asking(Question(ambiguous=part))
    try:
        source_ip = last_address(sent.get(b"x-forwarded-for", b""))
    except RequestAmbiguous as error:
        return _asking(Question(ambiguous=str(error)))
    scheme = sent.get(b"x-forwarded-proto")
    request = ClientRequest(
        method=raw.method,
        raw_path=raw.raw_path[len(FORWARD_PATH) :],
        query=raw.query,
        headers=raw.headers,
        body_sha256=hashlib.sha256(raw.body).hexdigest() if raw.body else None,
        source_ip=source_ip,
        secure=None if scheme is None else scheme.lower() == b"https",
    )
    return _asking(Question(request=request))


def describe_principal(caller: Caller) -> dict[str, Any]:
    """The principal, as services receive it."""
    principal, session = caller.principal, caller.session
    described: dict[str, Any] = {
        "Arn": principal.arn,
        "Account": principal.account,
        "UserId": principal.userid,
        "Type": principal.type.value,
        "Tags": dict(caller.principal_tags),
    }
    if principal.session_name:
        described["SessionName"] = principal.session_name
    if session is not None:
        described["Expires"] = session.expires_at
        if session.source_identity:
            described["SourceIdentity"] = session.source_identity
        if session.identity_context:
            described["Context"] = {
                key: list(values) for key, values in session.identity_context.items()
            }
    return described


def _principal_headers(answer: DecisionAnswer, caller: Caller) -> Headers:
    """Who acts, for the service behind a proxy.

    All are sent, if only empty, so that a proxy overwrites those of its client.
    """
    principal, session = caller.principal, caller.session
    source_identity = session.source_identity if session is not None else None
    tags = caller.principal_tags
    return (
        (b"x-broker-principal", header_value(principal.arn)),
        (b"x-broker-account", header_value(principal.account)),
        (b"x-broker-user-id", header_value(principal.userid)),
        (b"x-broker-session-name", header_value(principal.session_name or "")),
        (b"x-broker-source-identity", header_value(source_identity or "")),
        (b"x-broker-tags", urlencode(tags).encode("ascii") if tags else b""),
        (b"x-broker-content-sha256", header_value(answer.payload)),
    )


@remembered()
def header_value(text: str) -> bytes:
    """A text as a header's value, percent-encoded unless it is printable ASCII."""
    if not (text.isascii() and text.isprintable()):
        text = quote(text, safe=":/@=,.+$!~ ")
    return text.encode("ascii")


def _denial(answer: DecisionAnswer) -> BrokerError:
    """What a proxy's client reads; why is the operator's to know."""
    denied = next(
        (decision for decision in answer.decisions if not decision.allowed), None
    )
    if denied is None or answer.caller is None:
        return AccessDenied("The request is not allowed.")
    return AccessDenied(
        f"User: {answer.caller.principal.arn} is not authorized to perform:"
        f" {denied.action} on resource: {denied.resource}"
    )


def _refuse(error: BrokerError, status: int = 0) -> Response:
    status = status or error.status
    headers: Headers = (JSON, (b"x-amzn-errortype", error.code.encode()))
    if status == _UNAUTHORIZED:
        headers = (*headers, _CHALLENGE)
    return status, headers, orjson.dumps({"message": error.words})
