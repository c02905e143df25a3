"""Renderers: from an operation's result to its XML answer.

The answer is laid out as AWS does it: two-space indent, a line for each element.
Since a shape always stands at the same depth of an operation's answer, indents and
tags are joined when the renderer is compiled.

Source: recorded answers (REC-A, REC-L).
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from broker.protocols.shapes.documents import refuse_unknown_members
from broker.protocols.shapes.model import OperationModel, ShapeModel, Shapes

Renderer = Callable[[Mapping[str, object], str], bytes]
"""Takes an operation's result and the request id."""

Write = Callable[[object, list[str]], None]

RECORDED_ORDER: Mapping[str, tuple[str, ...]] = {
    "AssumeRoleResponse": ("AssumedRoleUser", "Credentials", "SourceIdentity"),
    "GetCallerIdentityResponse": ("Arn", "UserId", "Account"),
}
"""Members that AWS was seen to send first, where its order is not the model's."""

_RESULT_DEPTH = 1
_ESCAPED = re.compile("[&<>\r]|[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"}
_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"
_MILLISECOND = 1000


def escape(text: str) -> str:
    """Text for an element; what XML cannot carry becomes U+FFFD."""
    return _ESCAPED.sub(lambda m: _ENTITIES.get(m[0], _NO_CHARACTER), text)


def format_timestamp(moment: datetime) -> str:
    """``YYYY-MM-DDTHH:MM:SSZ``; with milliseconds when the time has any."""
    precision = "milliseconds" if moment.microsecond >= _MILLISECOND else "seconds"
    text = moment.astimezone(UTC).isoformat(timespec=precision)
    return f"{text.removesuffix('+00:00')}Z"


def format_scalar(type_: str, value: object) -> str:
    """A value of a scalar type as unescaped text."""
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return format_timestamp(value)
        case bytes():
            return b64encode(value).decode("ascii")
        case str() | int() | float():
            return str(value)
        case _:
            raise TypeError(f"a {type_} is expected, not {type(value).__name__}")


def members_in_order(name: str, shape: ShapeModel) -> list[tuple[str, str]]:
    """A structure's members with their shapes' names, in the answer's order."""
    first = RECORDED_ORDER.get(name, ())
    members = shape["members"]
    order = [*first, *(m for m in members if m not in first)]
    return [(member, members[member]["shape"]) for member in order]


def compile_renderer(
    shapes: Shapes, operation: OperationModel, namespace: str
) -> Renderer:
    """The renderer of one operation. A member that is None is left out."""
    name = operation["name"]
    head = f'<{name}Response xmlns="{namespace}">\n'
    metadata = "  <ResponseMetadata>\n    <RequestId>"
    tail = f"</RequestId>\n  </ResponseMetadata>\n</{name}Response>\n"
    output = operation.get("output")
    if output is None:
        before, after = (head + metadata).encode(), tail.encode()
        return lambda _result, request_id: before + request_id.encode() + after
    write = _compile(shapes, output["shape"], f"{name}Result", _RESULT_DEPTH)

    def render(result: Mapping[str, object], request_id: str) -> bytes:
        parts = [head]
        write(result, parts)
        parts += (metadata, request_id, tail)
        return "".join(parts).encode()

    return render


def _compile(shapes: Shapes, name: str, tag: str, depth: int) -> Write:
    shape = shapes[name]
    match shape["type"]:
        case "structure":
            return _compile_structure(shapes, name, tag, depth)
        case "list":
            return _compile_list(shapes, shape, tag, depth)
        case "map":
            return _compile_map(shapes, shape, tag, depth)
        case type_:
            return _compile_scalar(type_, tag, depth)


def _compile_scalar(type_: str, tag: str, depth: int) -> Write:
    opening, closing = f"{'  ' * depth}<{tag}>", f"</{tag}>\n"
    empty = f"{'  ' * depth}<{tag}/>\n"

    def write_string(value: object, parts: list[str]) -> None:
        if not isinstance(value, str):
            raise TypeError(f"{tag}: a string is expected, not {type(value).__name__}")
        # Escapes nothing most of the time, and most of an answer comes by here.
        if not value.isprintable() or "&" in value or "<" in value or ">" in value:
            value = escape(value)
        parts.append(f"{opening}{value}{closing}" if value else empty)

    def write(value: object, parts: list[str]) -> None:
        parts.append(f"{opening}{format_scalar(type_, value)}{closing}")

    return write_string if type_ == "string" else write


def _compile_structure(shapes: Shapes, name: str, tag: str, depth: int) -> Write:
    shape = shapes[name]
    opening, closing = f"{'  ' * depth}<{tag}>\n", f"{'  ' * depth}</{tag}>\n"
    empty = f"{'  ' * depth}<{tag}/>\n"
    members = tuple(
        (member, _compile(shapes, target, member, depth + 1))
        for member, target in members_in_order(name, shape)
    )

    def write(given: Any, parts: list[str]) -> None:  # noqa: ANN401  # a cast costs more than a member
        start = len(parts)
        parts.append(opening)
        written = 0
        for member, write_member in members:
            if (content := given.get(member)) is not None:
                write_member(content, parts)
                written += 1
        if written != len(given):
            refuse_unknown_members(name, shape, given)
        if written:
            parts.append(closing)
        else:
            parts[start:] = [empty]

    return write


def _compile_list(shapes: Shapes, shape: ShapeModel, tag: str, depth: int) -> Write:
    opening, closing = f"{'  ' * depth}<{tag}>\n", f"{'  ' * depth}</{tag}>\n"
    empty = f"{'  ' * depth}<{tag}/>\n"
    write_element = _compile(shapes, shape["member"]["shape"], "member", depth + 1)

    def write(value: object, parts: list[str]) -> None:
        elements = cast("list[object] | tuple[object, ...]", value)
        if not elements:
            parts.append(empty)
            return
        parts.append(opening)
        for element in elements:
            write_element(element, parts)
        parts.append(closing)

    return write


def _compile_map(shapes: Shapes, shape: ShapeModel, tag: str, depth: int) -> Write:
    opening, closing = f"{'  ' * depth}<{tag}>\n", f"{'  ' * depth}</{tag}>\n"
    empty = f"{'  ' * depth}<{tag}/>\n"
    entry_opening = f"{'  ' * (depth + 1)}<entry>\n"
    entry_closing = f"{'  ' * (depth + 1)}</entry>\n"
    write_key = _compile(shapes, shape["key"]["shape"], "key", depth + 2)
    write_value = _compile(shapes, shape["value"]["shape"], "value", depth + 2)

    def write(value: object, parts: list[str]) -> None:
        entries = cast("Mapping[str, object]", value)
        if not entries:
            parts.append(empty)
            return
        parts.append(opening)
        for key, content in entries.items():
            parts.append(entry_opening)
            write_key(key, parts)
            write_value(content, parts)
            parts.append(entry_closing)
        parts.append(closing)

    return write
