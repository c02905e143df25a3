"""The endpoint of every protocol that is not AWS's own: what they share.

A protocol brings a function that finds the operation of a request, one that renders an
error, and for each operation how it is read and how its result is rendered. Receiving,
bounds, the pipeline and unexpected failures are the same for all.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, ValidationError

from broker.actions.action import Action
from broker.actions.refusals import wire_error
from broker.edges.api import QUERY_BYTES_MAX
from broker.edges.asgi import Headers, Receive, Scope, Send, respond
from broker.edges.bodies import BODY_BYTES_MAX, TooLargeError, has_left, receive_raw
from broker.errors import BrokerError, RequestEntityTooLarge
from broker.errors import ValidationError as InvalidQuestion
from broker.model.request import Door, Params, RawRequest
from broker.model.strict_json import parse_object
from broker.pipeline import Pipeline, Result
from broker.proofs.scheme import Scheme

JSON = (b"content-type", b"application/json")

Response = tuple[int, Headers, bytes]
"""Status, headers and body."""


Refuse = Callable[[Scope, Params, BrokerError], Response]
"""An error in the protocol's form. What was read is empty if it was not read."""

Model = TypeVar("Model", bound=BaseModel)


class Operation(Struct, frozen=True):
    """What a request asks for.

    ``show`` gets the action's result and what ``read`` returned. The endpoint holds the
    request to ``body_bytes_max`` and ``query_bytes_max``.
    """

    action: Action
    scheme: Scheme
    read: Callable[[RawRequest], Params]
    show: Callable[[Scope, Params, Result], Response]
    door: Door = Door.DECISIONS
    body_bytes_max: int = BODY_BYTES_MAX
    query_bytes_max: int = QUERY_BYTES_MAX


Find = Callable[[Scope], Operation | Response]
"""What is asked for, or the response to what is not served."""


class Endpoint:
    """Answers in one protocol; runs behind `broker.edges.edge.Edge`."""

    def __init__(self, pipeline: Pipeline, find: Find, refuse: Refuse) -> None:
        self._pipeline = pipeline
        self._find = find
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        state = scope["state"]
        params: Params = {}
        try:
            operation = self._find(scope)
            if isinstance(operation, tuple):
                await respond(send, *operation)
                return
            raw = await _receive(scope, receive, operation)
            state["line"]["action"] = operation.action.name
            request = self._pipeline.receive(
                raw,
                state["request_id"],
                operation.door,
                has_left=partial(has_left, receive),
            )

            def read() -> Params:
                nonlocal params
                params = operation.read(raw)
                return params

            result = await self._pipeline.perform(
                request, operation.action, read, operation.scheme
            )
            response = operation.show(scope, params, result)
        except Exception as failure:  # noqa: BLE001  # where anything may end
            error = wire_error(failure, state["request_id"])
            state["line"]["error_code"] = error.code
            response = self._refuse(scope, params, error)
        await respond(send, *response)


async def _receive(scope: Scope, receive: Receive, wanted: Operation) -> RawRequest:
    """The request with its body.

    Raises:
        ClientGoneError: the client went away.
        RequestEntityTooLarge: the query or the body is longer.
    """
    if len(scope["query_string"]) > wanted.query_bytes_max:
        raise RequestEntityTooLarge(
            f"The query is longer than {wanted.query_bytes_max} bytes."
        )
    try:
        return await receive_raw(scope, receive, wanted.body_bytes_max)
    except TooLargeError:
        raise RequestEntityTooLarge(
            f"The body is longer than {wanted.body_bytes_max} bytes."
        ) from None


class JsonObject(BaseModel):
    """A JSON object of a protocol that ignores what it does not know."""

    model_config = ConfigDict(extra="ignore", strict=True)


def read_json(body: bytes) -> dict[str, Any]:
    """The body, which is one JSON object without a name that is there twice.

    Raises:
        ValidationError: it is none.
    """
    try:
        return parse_object(body)
    except (ValueError, RecursionError) as error:
        raise InvalidQuestion(f"The body is not a JSON object: {error}.") from None


def read_model(model: type[Model], params: object) -> Model:
    """An object as the model has it.

    Raises:
        ValidationError: it is none; the text names the place.
    """
    try:
        return model.model_validate(params)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "The body"
        raise InvalidQuestion(f"{place}: {first['msg']}.") from None
