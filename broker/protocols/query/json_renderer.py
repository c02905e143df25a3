"""The JSON form of answers, for clients whose ``Accept`` asks for it.

The same document as the XML: maps are objects, lists arrays, times seconds since
the epoch, binary values base64.

Source: recorded answers (REC-L); the security advisories of
kubernetes-sigs/aws-iam-authenticator.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import cast

from broker.protocols.query.renderer import (
    Renderer,
    members_in_order,
    refuse_unknown_members,
)
from broker.protocols.shapes.model import OperationModel, Shapes


def dump(document: Mapping[str, object]) -> bytes:
    """A document as compact JSON, ASCII only."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def compile_json_renderer(shapes: Shapes, operation: OperationModel) -> Renderer:
    """The JSON renderer of one operation. A member that is None is left out."""
    name = operation["name"]
    output = operation.get("output")

    def render(result: Mapping[str, object], request_id: str) -> bytes:
        response: dict[str, object] = {}
        if output is not None:
            response[f"{name}Result"] = _document(shapes, output["shape"], result)
        response["ResponseMetadata"] = {"RequestId": request_id}
        return dump({f"{name}Response": response})

    return render


def _document(shapes: Shapes, name: str, value: object) -> object:
    shape = shapes[name]
    match shape["type"]:
        case "structure":
            given = cast("Mapping[str, object]", value)
            refuse_unknown_members(name, shape, given)
            return {
                member: _document(shapes, target, given[member])
                for member, target in members_in_order(name, shape)
                if given.get(member) is not None
            }
        case "list":
            element = shape["member"]["shape"]
            elements = cast("list[object]", value)
            return [_document(shapes, element, item) for item in elements]
        case "map":
            target = shape["value"]["shape"]
            entries = cast("Mapping[str, object]", value)
            return {key: _document(shapes, target, v) for key, v in entries.items()}
        case "timestamp":
            seconds = cast("datetime", value).timestamp()
            return int(seconds) if seconds.is_integer() else round(seconds, 3)
        case "blob":
            return b64encode(cast("bytes", value)).decode("ascii")
        case _:
            return value
