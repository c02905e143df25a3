"""Results as JSON documents.

Maps are objects, lists arrays, binary values base64, and times seconds since the epoch
unless their shape says otherwise.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from broker.protocols.shapes.model import ServiceModel, ShapeModel, Shapes

Write = Callable[[Any], Any]

_encode = json.JSONEncoder(separators=(",", ":")).encode


def dump(document: Mapping[str, object]) -> bytes:
    """A document as compact JSON, ASCII only."""
    return _encode(document).encode("ascii")


def refuse_unknown_members(
    name: str, shape: ShapeModel, value: Mapping[str, object]
) -> None:
    """Raise for a result that its shape cannot carry: a fault in a handler.

    Raises:
        LookupError: ``value`` has a member that the shape does not know.
    """
    unknown = value.keys() - shape["members"].keys()
    if unknown:
        raise LookupError(f"{name} has no member {', '.join(sorted(unknown))}")


def compile_writer(shapes: Shapes, name: str) -> Write | None:
    """What writes values of a shape as JSON can hold them; None where they do already.

    A member that is None is left out. It raises LookupError for a member that the
    shape does not know.
    """
    shape = shapes[name]
    match shape["type"]:
        case "structure":
            return _compile_structure(shapes, name)
        case "list":
            write = compile_writer(shapes, shape["member"]["shape"]) or _itself
            return lambda value: [*map(write, value)]
        case "map":
            write = compile_writer(shapes, shape["value"]["shape"]) or _itself
            return lambda value: {key: write(node) for key, node in value.items()}
        case "timestamp":
            return partial(_timestamp, shape)
        case "blob":
            return lambda value: b64encode(value).decode("ascii")
        case _:
            return None


def _compile_structure(shapes: Shapes, name: str) -> Write:
    shape = shapes[name]
    known = shape["members"].keys()
    members = tuple(
        (
            member,
            reference.get("locationName", member),
            compile_writer(shapes, reference["shape"]),
        )
        for member, reference in shape["members"].items()
    )

    def write_structure(value: Mapping[str, object]) -> object:
        if not value.keys() <= known:
            refuse_unknown_members(name, shape, value)
        return {
            wire: node if write is None else write(node)
            for member, wire, write in members
            if (node := value.get(member)) is not None
        }

    return write_structure


def _itself(value: object) -> object:
    return value


def _timestamp(shape: ShapeModel, moment: datetime) -> object:
    if shape.get("timestampFormat") == "iso8601":
        text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
        return f"{text.removesuffix('+00:00')}Z"
    seconds = moment.timestamp()
    return int(seconds) if seconds.is_integer() else round(seconds, 3)


class Results:
    """A service's results as JSON bodies; each operation's writer is compiled once."""

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._writers: dict[str, Write | None] = {}

    def render(self, operation: str, result: Mapping[str, object]) -> bytes:
        """A result as the body of an answer; empty when there is no output."""
        if operation not in self._writers:
            output = self._model["operations"][operation].get("output")
            self._writers[operation] = output and compile_writer(
                self._model["shapes"], self._body(output["shape"])
            )
        write = self._writers[operation]
        return b"" if write is None else dump(write(result))

    def _body(self, name: str) -> str:
        """The shape of a body: the output's, or its payload's."""
        shape = self._model["shapes"][name]
        payload = shape.get("payload")
        return shape["members"][payload]["shape"] if payload else name
