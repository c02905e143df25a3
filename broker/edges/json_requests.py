"""Requests for decisions: received whole, held to a model, performed."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from broker.actions.action import Action
from broker.edges.api import QUERY_BYTES_MAX
from broker.edges.asgi import Receive, Scope
from broker.edges.bodies import BODY_BYTES_MAX, TooLargeError, has_left, receive_raw
from broker.errors import BrokerError, InternalFailure, RequestEntityTooLarge
from broker.errors import ValidationError as InvalidQuestion
from broker.model.raw import RawRequest
from broker.model.request import Door, Given
from broker.pipeline import Pipeline
from broker.proofs.scheme import Scheme
from broker.protocols.strict_json import parse_object

_log = structlog.get_logger(__name__)


class JsonObject(BaseModel):
    """A JSON object of a protocol that ignores what it does not know."""

    model_config = ConfigDict(extra="ignore", strict=True)


Model = TypeVar("Model", bound=BaseModel)


async def receive_request(
    scope: Scope, receive: Receive, body_bytes_max: int = BODY_BYTES_MAX
) -> RawRequest:
    """The request with its body.

    Raises:
        ClientGoneError: the client went away.
        RequestEntityTooLarge: the query or the body is longer.
    """
    if len(scope["query_string"]) > QUERY_BYTES_MAX:
        raise RequestEntityTooLarge(
            f"The query is longer than {QUERY_BYTES_MAX} bytes."
        )
    scope["state"]["has_left"] = partial(has_left, receive)
    try:
        return await receive_raw(scope, receive, body_bytes_max)
    except TooLargeError:
        raise RequestEntityTooLarge(
            f"The body is longer than {body_bytes_max} bytes."
        ) from None


async def perform_action(
    pipeline: Pipeline,
    scope: Scope,
    raw: RawRequest,
    action: Action,
    read: Callable[[], Given],
    *,
    scheme: Scheme,
) -> Mapping[str, Any]:
    """What the action answers to a request in one of the protocols.

    Raises:
        BrokerError: it is refused. What nobody foresaw is logged and an
            `InternalFailure`.
        ClientGoneError: the client went away during a long one.
    """
    request_id: str = scope["state"]["request_id"]
    scope["state"]["line"]["action"] = action.name
    request = pipeline.receive(
        raw, request_id, Door.DECISIONS, has_left=scope["state"]["has_left"]
    )
    try:
        return await pipeline.perform(request, action, read, scheme)
    except BrokerError:
        raise
    except Exception as error:
        _log.exception("unexpected failure", request_id=request_id)
        raise InternalFailure from error


def read_json(body: bytes) -> dict[str, Any]:
    """The body, which is one JSON object without a name that is there twice.

    Raises:
        ValidationError: it is none.
    """
    try:
        return parse_object(body)
    except (ValueError, RecursionError) as error:
        raise InvalidQuestion(f"The body is not a JSON object: {error}.") from None


def read_model(model: type[Model], given: object) -> Model:
    """An object as the model has it.

    Raises:
        ValidationError: it is none; the text names the place.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise not_as_modelled(error) from None


def not_as_modelled(error: ValidationError) -> InvalidQuestion:
    """What to answer to an object that a model refuses: the first place, and why."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or "The body"
    return InvalidQuestion(f"{place}: {first['msg']}.")
