"""What the broker answers, and what a client is told."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_UNAUTHORIZED, _FORBIDDEN = 401, 403
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided."
    " Check your AWS Secret Access Key and signing method. Consult the service"
    " documentation for details."
)


class BrokerAway(Exception):
    """There is no answer, so nothing is let through; the text says why, for a log."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who signed the request.

    ``type`` is ``AssumedRole``, ``User`` and so on. ``expires`` is in seconds since
    1970, None for long-term keys. ``context`` has what the session's proof said.
    """

    arn: str
    account: str
    user_id: str
    type: str
    session_name: str = ""
    source_identity: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    expires: int | None = None
    context: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal in the form of AWS's JSON protocols."""

    status: int
    code: str
    message: str
    request_id: str = ""

    def headers(self) -> list[tuple[str, str]]:
        """Those of the answer, but for its length."""
        results = [
            ("content-type", "application/json"),
            ("x-amzn-errortype", self.code),
        ]
        if self.request_id:
            results.append(("x-amzn-requestid", self.request_id))
        if self.status == _UNAUTHORIZED:
            results.append(("www-authenticate", "AWS4-HMAC-SHA256"))
        if self.status == UNAVAILABLE.status:
            results.append(("retry-after", "1"))
        return results

    def body(self) -> bytes:
        """That of the answer."""
        return json.dumps({"message": self.message}).encode("ascii")


UNAVAILABLE = Refusal(
    503, "ServiceUnavailable", "Your request cannot be authorized at the moment."
)
UNSIGNED = Refusal(
    _UNAUTHORIZED,
    "MissingAuthenticationToken",
    "Request is missing Authentication Token",
)
TOO_LARGE = Refusal(
    413, "RequestEntityTooLarge", "The body is larger than the service accepts."
)


def ambiguous(error: Exception) -> Refusal:
    """For a request that can be read in two ways."""
    return Refusal(_FORBIDDEN, "ValidationError", str(error))


@dataclass(frozen=True, slots=True)
class Answer:
    """A yes has a principal and no refusal."""

    principal: Principal | None
    refusal: Refusal | None


def read_answer(body: bytes, body_sha256: str) -> Answer:
    """Read what ``POST /decisions`` answered with status 200.

    Anything but a plain yes about the body with this hash is a refusal.

    Raises:
        BrokerAway: it is no answer.
    """
    try:
        params = json.loads(body)
        described = params.get("Principal")
        principal = None if described is None else _read_principal(described)
        refusal = _read_refusal(params, principal)
        if refusal is None and not _is_of_body(params, body_sha256):
            raise BrokerAway("the broker answered about another body")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BrokerAway("what the broker answered cannot be read") from error
    return Answer(principal, refusal)


def _read_principal(described: Mapping[str, Any]) -> Principal:
    return Principal(
        arn=described["Arn"],
        account=described["Account"],
        user_id=described["UserId"],
        type=described["Type"],
        session_name=described.get("SessionName", ""),
        source_identity=described.get("SourceIdentity", ""),
        tags=described["Tags"],
        expires=described.get("Expires"),
        context=described.get("Context", {}),
    )


def _read_refusal(
    params: Mapping[str, Any], principal: Principal | None
) -> Refusal | None:
    request_id = params["RequestId"]
    told = params.get("Refusal")
    if told is not None:
        return _refused(told["Code"], told["Message"], request_id, principal)
    if params["Allowed"] is True and principal is not None:
        return None
    denied = next(
        (
            decision
            for decision in params["Decisions"]
            if decision["Allowed"] is not True
        ),
        None,
    )
    message = "The request is not allowed."
    if denied is not None and principal is not None:
        message = (
            f"User: {principal.arn} is not authorized to perform: {denied['Action']}"
            f" on resource: {denied['Resource']}"
        )
    return Refusal(_FORBIDDEN, "AccessDenied", message, request_id)


def _refused(
    code: str, message: str, request_id: str, principal: Principal | None
) -> Refusal:
    """401 if the caller is not proved; 403 if what they ask cannot be decided."""
    if code == "InvalidClientTokenId":
        # Which access keys there are is not the business of a service's clients.
        code, message = "SignatureDoesNotMatch", _MISMATCH
    proved = principal is not None or code == "ValidationError"
    return Refusal(_FORBIDDEN if proved else _UNAUTHORIZED, code, message, request_id)


def _is_of_body(params: Mapping[str, Any], body_sha256: str) -> bool:
    """Declarations in place of a hash count where the service's definition has them."""
    signed: str = params["ContentSha256"]
    return signed == body_sha256 or signed.isupper()
