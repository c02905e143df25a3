"""The endpoint of an API: what it takes of a request, and sends of an answer.

`broker.edges.edge` calls it, of Query at ``/`` before it looks for anything else. A
framework adds nothing for forms and XML, and this is the hot path.

Source: recorded STS answers (REC-A, REC-L).
"""

from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress

from broker.edges.asgi import App, Headers, Receive, Scope, Send, respond
from broker.edges.bodies import BODY_BYTES_MAX, TooLargeError, receive_raw
from broker.edges.deadlines import Deadlines
from broker.edges.refusals import answer_refusal, identify_client, other_service
from broker.model.request import Answer, RawRequest

METHODS = frozenset({"GET", "POST"})
QUERY_BYTES_MAX = 16 * 1024

LINGER_BYTES_MAX = 10 * BODY_BYTES_MAX
LINGER_SECONDS_MAX = 3
"""Body read after a refusal, and for how long: less than a shutdown waits."""

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


Answers = Callable[[RawRequest, str], Awaitable[Answer]]
"""One call's answer, by its request and the request's id; never raises."""


class ApiEndpoint:
    """Where the requests of an API arrive.

    ``cross_origin`` lets pages of other sites read the answers.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        cross_origin: bool = True,
        methods: AbstractSet[str] = METHODS,
    ) -> None:
        self.answer = answers
        self._methods = methods
        self.cross_origin = _CROSS_ORIGIN if cross_origin else ()
        self._lingering = Deadlines(LINGER_SECONDS_MAX)

    async def receive(
        self, scope: Scope, receive: Receive, send: Send
    ) -> RawRequest | None:
        """The whole request; None if it is answered already, as it is no call.

        Raises:
            ClientGoneError: the client went away.
        """
        is_of_api = scope["method"] in self._methods
        status = _BAD_REQUEST
        if is_of_api and len(scope["query_string"]) <= QUERY_BYTES_MAX:
            try:
                return await receive_raw(scope, receive)
            except TooLargeError:
                status = _CONTENT_TOO_LARGE
        common = self.cross_origin if b"origin" in scope["state"]["named"] else ()
        if is_of_api:
            await self._refuse(receive, send, status, common)
        else:
            await _respond_without_action(scope, send, common)
        return None

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


AnyEndpoint = App | ApiEndpoint
"""What answers at a path."""
