"""Readers of scalar shapes."""

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from broker.protocols.shapes.model import ShapeModel
from broker.protocols.shapes.violations import (
    InputReason,
    InputRejected,
    Violations,
    compile_integer_check,
    compile_string_check,
)

Node = str | dict[str, "Node"]
"""A value, or what stands below a dotted name."""

Read = Callable[[Node, str, Violations], object]
"""Reads a node that is there; the text is its path in messages."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,64}")


def scalar(node: Node) -> str:
    """The node's text; MALFORMED_INPUT when names stand below it."""
    if isinstance(node, str):
        return node
    raise InputRejected(InputReason.MALFORMED_INPUT)


def _compile_integer(shape: ShapeModel) -> Read:
    check = compile_integer_check(shape)

    def read(node: Node, path: str, violations: Violations) -> object:
        text = scalar(node)
        if not text:
            raise InputRejected(
                InputReason.MALFORMED_INPUT, "missing value for decimal type"
            )
        if not _INTEGER.fullmatch(text):
            raise InputRejected(InputReason.MALFORMED_INPUT)
        return check(int(text), path, violations)

    return read


def _read_boolean(node: Node, _path: str, _violations: Violations) -> object:
    match node:
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case _:
            raise InputRejected(InputReason.MALFORMED_INPUT)


def _read_timestamp(node: Node, _path: str, _violations: Violations) -> object:
    try:
        moment = datetime.fromisoformat(scalar(node))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputRejected(InputReason.MALFORMED_INPUT) from error


def _read_blob(node: Node, _path: str, _violations: Violations) -> object:
    try:
        return b64decode(scalar(node), validate=True)
    except ValueError as error:
        raise InputRejected(InputReason.MALFORMED_INPUT) from error


_FACTORIES: Mapping[str, Callable[[ShapeModel], Read]] = {
    "blob": lambda _shape: _read_blob,
    "boolean": lambda _shape: _read_boolean,
    "integer": _compile_integer,
    "long": _compile_integer,
    "string": compile_string_check,
    "timestamp": lambda _shape: _read_timestamp,
}


def compile_scalar(shape: ShapeModel) -> Read:
    """The reader of a shape that has no parts.

    Raises:
        ValueError: the shape's type is not one that requests have.
    """
    factory = _FACTORIES.get(shape["type"])
    if factory is None:
        raise ValueError(f"the type {shape['type']!r} cannot be read")
    return factory(shape)
