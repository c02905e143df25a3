"""The endpoint of an API, as a plain ASGI callable; of Query at ``/`` first of all.

Reads the request within its limits and sends the pipeline's answer. A framework adds
nothing for forms and XML, and this is the hot path.

Source: recorded STS answers (REC-A, REC-L).
"""

from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Protocol

from broker.edges.asgi import Headers, Receive, Scope, Send, respond
from broker.edges.bodies import BODY_BYTES_MAX, TooLargeError, receive_raw
from broker.edges.deadlines import Deadlines
from broker.edges.refusals import answer_refusal, identify_client, other_service
from broker.model.answer import Answer
from broker.model.raw import RawRequest

METHODS = frozenset({"GET", "POST"})
QUERY_BYTES_MAX = 16 * 1024

LINGER_BYTES_MAX = 10 * BODY_BYTES_MAX
LINGER_SECONDS_MAX = 3
"""Body read after a refusal, and for how long: less than a shutdown waits."""

_FOUND = 302
_BAD_REQUEST = 400
_METHOD_NOT_ALLOWED = 405
_CONTENT_TOO_LARGE = 413
_ALLOWED = b"GET, POST, OPTIONS"
_CLOSE = (b"connection", b"close")
_CROSS_ORIGIN: Headers = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"x-amzn-RequestId,x-amzn-ErrorType,Date"),
)
"""For requests with an ``Origin``, which only browsers send."""

_PREFLIGHT: Headers = (
    (b"access-control-allow-methods", b"GET, POST"),
    (
        b"access-control-allow-headers",
        (
            b"authorization, content-type, x-amz-content-sha256, x-amz-date,"
            b" x-amz-security-token, x-amz-user-agent, amz-sdk-invocation-id,"
            b" amz-sdk-request"
        ),
    ),
    (b"access-control-max-age", b"172800"),
)


class Answers(Protocol):
    """What the endpoint asks of the pipeline."""

    async def answer(self, raw: RawRequest, request_id: str) -> Answer:
        """One call's answer; never raises."""
        ...


class ApiEndpoint:
    """Answers the requests of an API; runs behind `broker.edges.edge.Edge`.

    ``cross_origin`` lets pages of other sites read the answers.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        cross_origin: bool = True,
        methods: AbstractSet[str] = METHODS,
    ) -> None:
        self._answers = answers
        self._methods = methods
        self._cross_origin = cross_origin
        self._lingering = Deadlines(LINGER_SECONDS_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        state = scope["state"]
        request_id: str = state["request_id"]
        common: Headers = ()
        method: str = scope["method"]
        query: bytes = scope["query_string"]
        if self._cross_origin and b"origin" in state["named"]:
            common += _CROSS_ORIGIN
        if method not in self._methods:
            await _respond_without_action(scope, send, common)
            return
        if len(query) > QUERY_BYTES_MAX:
            await self._refuse(receive, send, _BAD_REQUEST, common)
            return
        try:
            raw = await receive_raw(scope, receive)
        except TooLargeError:
            await self._refuse(receive, send, _CONTENT_TOO_LARGE, common)
            return
        answer = await self._answers.answer(raw, request_id)
        if answer.status == _FOUND or answer.error_code == "InvalidAction":
            client = identify_client(scope)
            if client.means_another_service:
                await answer_refusal(scope, send, other_service(client), client)
                return
        if answer.action:
            state["line"]["action"] = answer.action
        if answer.error_code:
            state["line"]["error_code"] = answer.error_code
        await respond(send, answer.status, (*answer.headers, *common), answer.body)

    async def _refuse(
        self, receive: Receive, send: Send, status: int, common: Headers
    ) -> None:
        """Answer at once, and close once the client has had time to read it.

        A connection that is closed with a body unread is reset: a client that writes
        all of it before it reads would never see the answer.
        """
        headers = (*common, _CLOSE, (b"content-length", b"0"))
        await send(
            {"type": "http.response.start", "status": status, "headers": [*headers]}
        )
        left = LINGER_BYTES_MAX
        with suppress(TimeoutError), self._lingering.begin():
            while left > 0:
                message = await receive()
                if not message.get("more_body"):
                    break
                left -= len(message.get("body", b""))
        await send({"type": "http.response.body", "body": b""})


async def _respond_without_action(scope: Scope, send: Send, common: Headers) -> None:
    names = {name for name, _ in scope["headers"]}
    client = identify_client(scope)
    if (
        scope["method"] == "OPTIONS"
        and b"origin" in names
        and b"access-control-request-method" in names
    ):
        await respond(send, 200, (*common, *_PREFLIGHT))
    elif client.means_another_service:
        await answer_refusal(scope, send, other_service(client), client)
    else:
        await respond(send, _METHOD_NOT_ALLOWED, (*common, (b"allow", _ALLOWED)))
