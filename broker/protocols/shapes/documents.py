"""Results as JSON documents.

Maps are objects, lists arrays, binary values base64, and times seconds since the epoch
unless their shape says otherwise.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from broker.protocols.shapes.model import ShapeModel, Shapes


def dump(document: Mapping[str, object]) -> bytes:
    """A document as compact JSON, ASCII only."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")


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


def to_document(shapes: Shapes, name: str, value: object) -> object:
    """A value of a shape as JSON can hold it. A member that is None is left out.

    Raises:
        LookupError: it has a member that the shape does not know.
    """
    shape = shapes[name]
    match shape["type"]:
        case "structure":
            params = cast("Mapping[str, object]", value)
            refuse_unknown_members(name, shape, params)
            return {
                reference.get("locationName", member): to_document(
                    shapes, reference["shape"], params[member]
                )
                for member, reference in shape["members"].items()
                if params.get(member) is not None
            }
        case "list":
            element = shape["member"]["shape"]
            elements = cast("list[object]", value)
            return [to_document(shapes, element, item) for item in elements]
        case "map":
            target = shape["value"]["shape"]
            entries = cast("Mapping[str, object]", value)
            return {key: to_document(shapes, target, v) for key, v in entries.items()}
        case "timestamp":
            return _timestamp(shape, cast("datetime", value))
        case "blob":
            return b64encode(cast("bytes", value)).decode("ascii")
        case _:
            return value


def _timestamp(shape: ShapeModel, moment: datetime) -> object:
    if shape.get("timestampFormat") == "iso8601":
        text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
        return f"{text.removesuffix('+00:00')}Z"
    seconds = moment.timestamp()
    return int(seconds) if seconds.is_integer() else round(seconds, 3)
