"""JSON requests of the faces of decisions: received whole, and held to a model."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from broker.errors import RequestEntityTooLarge
from broker.errors import ValidationError as InvalidQuestion
from broker.model.raw import RawRequest
from broker.protocols.strict_json import parse_object
from broker.web.asgi import Receive, Scope
from broker.web.bodies import TooLargeError, receive_body


class Part(BaseModel):
    """A JSON object of a protocol that ignores what it does not know."""

    model_config = ConfigDict(extra="ignore", strict=True)


Model = TypeVar("Model", bound=BaseModel)


async def receive_request(
    scope: Scope, receive: Receive, body_bytes_max: int
) -> RawRequest:
    """The request with its body.

    Raises:
        ClientGoneError: the client went away.
        RequestEntityTooLarge: the body is longer.
    """
    headers = tuple(scope["headers"])
    try:
        body = await receive_body(receive, headers)
    except TooLargeError:
        raise RequestEntityTooLarge from None
    if len(body) > body_bytes_max:
        raise RequestEntityTooLarge
    return RawRequest(
        method=scope["method"],
        raw_path=scope["raw_path"],
        query=scope["query_string"],
        headers=headers,
        body=body,
        source_ip=scope["state"]["source_ip"],
        secure=scope["state"]["secure"],
    )


def read_json(body: bytes) -> dict[str, Any]:
    """The body, which is one JSON object without a name that is there twice.

    Raises:
        ValidationError: it is none.
    """
    try:
        return parse_object(body)
    except (ValueError, RecursionError) as error:
        raise InvalidQuestion(f"The body is no JSON object: {error}.") from None


def read_model(model: type[Model], given: object) -> Model:
    """An object as the model has it.

    Raises:
        ValidationError: it is none; the text names the place.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "The body"
        raise InvalidQuestion(f"{place}: {first['msg']}.") from None
