"""Readers: from a call's flat parameters to an operation's input.

A reader is compiled once for each shape. Reading finds everything that cannot be
read as its type first (``MalformedInput``, at once) and everything that breaks a
constraint (one joined ``ValidationError`` at the end).
"""

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import cast

from broker.protocols.shapes.constraints import (
    Wording,
    compile_matcher,
    scalar_constraints,
    size_violation,
    string_violations,
)
from broker.protocols.shapes.members import ABSENT, compile_members, read_members
from broker.protocols.shapes.model import ShapeModel, Shapes
from broker.protocols.shapes.violations import (
    SHOWN_CHARACTERS,
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

Reader = Callable[[Mapping[str, str]], dict[str, object]]
_NAME_PARTS_MAX = 8
_INDEX = re.compile(r"[1-9][0-9]{0,8}")


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


def compile_reader(shapes: Shapes, name: str | None, wording: Wording) -> Reader:
    """The reader of an operation's input shape; None is an input without members."""
    if name is None:
        return lambda _params: {}
    shape = shapes[name]
    members = compile_members(shapes, shape, lambda to: _compile(shapes, to["shape"]))
    aggregates = frozenset(
        key
        for key, reference in shape["members"].items()
        if shapes[reference["shape"]]["type"] in {"list", "map", "structure"}
    )

    def read(params: Mapping[str, str]) -> dict[str, object]:
        violations = Violations(wording)
        parameters: Mapping[str, Node] = params
        if aggregates and "." in " ".join(params):
            parameters = _fold(params, aggregates)
        result = read_members(members, parameters, "", violations)
        violations.refuse()
        return result

    return read


def _fold(params: Mapping[str, str], roots: frozenset[str]) -> Mapping[str, Node]:
    """Hang the dotted names of known aggregates into a tree."""
    folded: dict[str, Node] | None = None
    for name, value in params.items():
        if "." not in name:
            continue
        root = name.partition(".")[0]
        if root not in roots:
            continue
        if folded is None:
            folded = {k: v for k, v in params.items() if "." not in k}
        if name.count(".") >= _NAME_PARTS_MAX:
            raise InputRejected(InputReason.MALFORMED_INPUT)
        *parents, last = name.split(".")
        place = folded
        for part in parents:
            below = place.setdefault(part, {})
            if isinstance(below, str):
                raise InputRejected(InputReason.MALFORMED_INPUT)
            place = below
        if last in place:
            raise InputRejected(InputReason.MALFORMED_INPUT)
        place[last] = value
    return params if folded is None else folded


def _compile(shapes: Shapes, name: str) -> Read:
    shape = shapes[name]
    match shape["type"]:
        case "structure":
            return _compile_structure(shapes, shape)
        case "list":
            return _compile_list(shapes, shape)
        case "map":
            return _compile_map(shapes, shape)
        case _:
            return compile_scalar(shape)


def _compile_structure(shapes: Shapes, shape: ShapeModel) -> Read:
    members = compile_members(shapes, shape, lambda to: _compile(shapes, to["shape"]))
    union = shape.get("union", False)

    def read(node: Node, path: str, violations: Violations) -> object:
        if isinstance(node, str):
            if node:
                raise InputRejected(InputReason.MALFORMED_INPUT)
            node = {}
        result = read_members(members, node, f"{path}.", violations)
        if union and len(result) != 1:
            violations.add("", path, "Member must have exactly one member set")
        return result

    return read


def _children(node: Node, element: str) -> list[Node] | None:
    """The numbered nodes below ``element`` in their order; None when there are none.

    An empty list or map is sent as an empty value (CAP). Numbers may have gaps.
    Anything else below the name is refused rather than overlooked.
    """
    if isinstance(node, str):
        if node:
            raise InputRejected(InputReason.MALFORMED_INPUT)
        return None
    numbered = node.get(element)
    if len(node) != 1 or not isinstance(numbered, dict):
        raise InputRejected(InputReason.MALFORMED_INPUT)
    for index in numbered:
        if not _INDEX.fullmatch(index):
            raise InputRejected(InputReason.MALFORMED_INPUT)
    return [numbered[index] for index in sorted(numbered, key=int)]


def _compile_list(shapes: Shapes, shape: ShapeModel) -> Read:
    element_name = shape["member"]["shape"]
    element_shape = shapes[element_name]
    if element_shape["type"] == "string":
        return _compile_string_list(shape, element_shape)
    read_element = _compile(shapes, element_name)

    def read(node: Node, path: str, violations: Violations) -> object:
        children = _children(node, "member")
        if children is None:
            return ABSENT
        violation = size_violation(shape, len(children))
        if violation:
            violations.add("", path, violation)
        return [
            read_element(child, f"{path}.{number}.member", violations)
            for number, child in enumerate(children, 1)
        ]

    return read


def _compile_string_list(shape: ShapeModel, element: ShapeModel) -> Read:
    matches = compile_matcher(element)
    sensitive = element.get("sensitive", False)
    constraints = ", ".join(scalar_constraints(element))

    def read(node: Node, path: str, violations: Violations) -> object:
        children = _children(node, "member")
        if children is None:
            return ABSENT
        values = [scalar(child) for child in children]
        wrong = []
        violation = size_violation(shape, len(values))
        if violation:
            wrong.append(violation)
        broken = next(filter(None, map(check, values)), None)
        if broken:
            wrong.append(violations.wording.element(path, constraints or broken[0]))
        if wrong:
            listed = "[" + ", ".join(values)[:SHOWN_CHARACTERS] + "]"
            label = "" if sensitive else f" '{listed}'"
            for text in wrong:
                violations.add(label, path, text)
        return values

    def check(value: str) -> tuple[str, ...]:
        return string_violations(element, matches, value)

    return read


def _compile_map(shapes: Shapes, shape: ShapeModel) -> Read:
    read_key = _compile(shapes, shape["key"]["shape"])
    read_value = _compile(shapes, shape["value"]["shape"])

    def read(node: Node, path: str, violations: Violations) -> object:
        entries = _children(node, "entry")
        if entries is None:
            return ABSENT
        result: dict[str, object] = {}
        for number, entry in enumerate(entries, 1):
            if isinstance(entry, str) or "key" not in entry:
                raise InputRejected(InputReason.MALFORMED_INPUT)
            key = cast(
                "str", read_key(entry["key"], f"{path}.{number}.key", violations)
            )
            if key in result:
                raise InputRejected(
                    InputReason.VALIDATION_ERROR,
                    f"The map at '{path}' has a key twice.",
                )
            value = read_value(
                entry.get("value", {}), f"{path}.{number}.value", violations
            )
            result[key] = [] if value is ABSENT else value
        violation = size_violation(shape, len(result))
        if violation:
            violations.add("", path, violation)
        return result

    return read
