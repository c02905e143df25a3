"""Readers of JSON documents, each compiled for a shape.

As in Query, what cannot be read as its type is ``MALFORMED_INPUT`` at once, and all
that breaks a constraint is one joined ``VALIDATION_ERROR`` at the end.

Source: Smithy, "AWS JSON 1.1 protocol" and "AWS REST JSON 1 protocol"; botocore's
serializers are the oracle.
"""

import math
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from broker.model.strict_json import parse_object
from broker.protocols.shapes.constraints import size_violation
from broker.protocols.shapes.members import Read, compile_members, read_members
from broker.protocols.shapes.model import ShapeModel, ShapeReference, Shapes
from broker.protocols.shapes.violations import (
    InputReason,
    InputRejected,
    Violations,
    compile_integer_check,
    compile_string_check,
)

_LAST_SECOND = 253_402_300_799
"""Of the year 9999."""


def parse_document(body: bytes) -> Mapping[str, Any]:
    """The object that a body holds; an empty body holds an empty one.

    Raises:
        InputRejected: MALFORMED_INPUT, it is none, or has a name twice.
    """
    if not body:
        return {}
    try:
        return parse_object(body)
    except (ValueError, RecursionError) as error:
        raise InputRejected(
            InputReason.MALFORMED_INPUT, "The body is not a JSON object."
        ) from error


def wire_name(member: str, reference: ShapeReference) -> str:
    """What a member is called in a document."""
    return reference.get("locationName", member)


def compile_document(shapes: Shapes, name: str) -> Read:
    """The reader of a shape's values in a document."""
    shape = shapes[name]
    match shape["type"]:
        case "structure":
            return _compile_structure(shapes, shape)
        case "list":
            return _compile_list(shapes, shape)
        case "map":
            return _compile_map(shapes, shape)
        case _:
            return compile_leaf(shape)


def compile_leaf(shape: ShapeModel) -> Read:
    """The reader of a shape that has no parts.

    Raises:
        ValueError: the shape's type is not one that requests have.
    """
    factory = _LEAVES.get(shape["type"])
    if factory is None:
        raise ValueError(f"the type {shape['type']!r} cannot be read")
    return factory(shape)


def _malformed() -> NoReturn:
    raise InputRejected(InputReason.MALFORMED_INPUT)


def _compile_structure(shapes: Shapes, shape: ShapeModel) -> Read:
    members = compile_members(
        shapes,
        shape,
        lambda to: compile_document(shapes, to["shape"]),
        wire_name=wire_name,
    )
    union = shape.get("union", False)

    def read(node: object, path: str, violations: Violations) -> object:
        if not isinstance(node, dict):
            _malformed()
        result = read_members(members, node, f"{path}.", violations)
        if union and len(result) != 1:
            violations.add("", path, "Member must have exactly one member set")
        return result

    return read


def _compile_list(shapes: Shapes, shape: ShapeModel) -> Read:
    read_element = compile_document(shapes, shape["member"]["shape"])

    def read(node: object, path: str, violations: Violations) -> object:
        if not isinstance(node, list):
            _malformed()
        _check_size(shape, len(node), path, violations)
        return [
            read_element(_there(element), f"{path}.{number}.member", violations)
            for number, element in enumerate(node, 1)
        ]

    return read


def _compile_map(shapes: Shapes, shape: ShapeModel) -> Read:
    read_key = compile_document(shapes, shape["key"]["shape"])
    read_value = compile_document(shapes, shape["value"]["shape"])

    def read(node: object, path: str, violations: Violations) -> object:
        if not isinstance(node, dict):
            _malformed()
        _check_size(shape, len(node), path, violations)
        return {
            read_key(key, f"{path}.{number}.key", violations): read_value(
                _there(value), f"{path}.{number}.value", violations
            )
            for number, (key, value) in enumerate(node.items(), 1)
        }

    return read


def _there(node: object) -> object:
    return _malformed() if node is None else node


def _check_size(
    shape: ShapeModel, size: int, path: str, violations: Violations
) -> None:
    violation = size_violation(shape, size)
    if violation:
        violations.add("", path, violation)


def _compile_integer(shape: ShapeModel) -> Read:
    check = compile_integer_check(shape)

    def read(node: object, path: str, violations: Violations) -> object:
        if isinstance(node, bool) or not isinstance(node, int):
            _malformed()
        return check(node, path, violations)

    return read


def _read_number(node: object, _path: str, _violations: Violations) -> object:
    if isinstance(node, bool) or not isinstance(node, int | float):
        _malformed()
    try:
        value = float(node)
    except OverflowError:
        _malformed()
    return value if math.isfinite(value) else _malformed()


def _read_boolean(node: object, _path: str, _violations: Violations) -> object:
    return node if isinstance(node, bool) else _malformed()


def _compile_timestamp(shape: ShapeModel) -> Read:
    match shape.get("timestampFormat", "unixTimestamp"):
        case "unixTimestamp":
            return _read_seconds
        case "iso8601":
            return read_iso8601
        case other:
            raise ValueError(f"times of the form {other!r} cannot be read")


def _read_seconds(node: object, path: str, violations: Violations) -> object:
    seconds = _read_number(node, path, violations)
    if not isinstance(seconds, float) or not 0 <= seconds <= _LAST_SECOND:
        _malformed()
    return datetime.fromtimestamp(seconds, UTC)


def read_iso8601(node: object, _path: str, _violations: Violations) -> object:
    """A time as text; without a zone it is UTC."""
    if not isinstance(node, str):
        _malformed()
    try:
        moment = datetime.fromisoformat(node)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        _malformed()


def _read_blob(node: object, _path: str, _violations: Violations) -> object:
    if not isinstance(node, str):
        _malformed()
    try:
        return b64decode(node, validate=True)
    except ValueError:
        _malformed()


_LEAVES: Mapping[str, Callable[[ShapeModel], Read]] = {
    "blob": lambda _shape: _read_blob,
    "boolean": lambda _shape: _read_boolean,
    "double": lambda _shape: _read_number,
    "float": lambda _shape: _read_number,
    "integer": _compile_integer,
    "long": _compile_integer,
    "string": compile_string_check,
    "timestamp": _compile_timestamp,
}
