"""Renderers: from an operation's result to its XML answer.

The answer is laid out as AWS does it: two-space indent, a line for each element.
Since a shape always stands at the same depth of an operation's answer, indents and
tags are joined when the renderer is compiled, and the text of a structure is prepared
for each set of members that it comes with.

Source: recorded answers (REC-A, REC-L).
"""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from operator import itemgetter
from typing import Any

from broker.protocols.shapes.documents import refuse_unknown_members
from broker.protocols.shapes.model import OperationModel, ShapeModel, Shapes

Renderer = Callable[[Mapping[str, object], str], bytes]
"""Takes an operation's result and the request id."""

Write = Callable[[Any], str]
"""An element of a value."""

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
_LAYOUTS_MAX = 64
"""Prepared texts of one structure; handlers return few sets of members."""

_Pick = Callable[[Mapping[str, Any]], Sequence[Any]]

_Layout = tuple[str, _Pick, _Pick, tuple[tuple[int, Write], ...]]
"""A structure's text for one set of members, which picks its strings and all of them.

The other members are written by themselves, each at its place.
"""


def escape(text: str) -> str:
    """Text for an element; what XML cannot carry becomes U+FFFD."""
    return _ESCAPED.sub(lambda m: _ENTITIES.get(m[0], _NO_CHARACTER), text)


def format_timestamp(moment: datetime) -> str:
    """``YYYY-MM-DDTHH:MM:SSZ``; with milliseconds when the time has any."""
    precision = "milliseconds" if moment.microsecond >= _MILLISECOND else "seconds"
    text = moment.astimezone(UTC).isoformat(timespec=precision)
    return f"{text.removesuffix('+00:00')}Z"


@cache
def _format_of(type_: type) -> Callable[[Any], str]:
    for known in type_.__mro__:
        if known in _FORMATS:
            return _FORMATS[known]
    raise TypeError(f"a scalar is expected, not {type_.__name__}")


_FORMATS: Mapping[type, Callable[[Any], str]] = {
    bool: lambda value: "true" if value else "false",
    datetime: format_timestamp,
    bytes: lambda value: b64encode(value).decode("ascii"),
    str: str,
    int: str,
    float: str,
}


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
        return f"{head}{write(result)}{metadata}{request_id}{tail}".encode()

    return render


def _compile(shapes: Shapes, name: str, tag: str, depth: int) -> Write:
    shape = shapes[name]
    match shape["type"]:
        case "structure":
            return _Structure(shapes, name, tag, depth).write
        case "list":
            return _compile_list(shapes, shape, tag, depth)
        case "map":
            return _compile_map(shapes, shape, tag, depth)
        case type_:
            return _compile_scalar(type_, tag, depth)


def _compile_scalar(type_: str, tag: str, depth: int) -> Write:
    opening, closing = f"{'  ' * depth}<{tag}>", f"</{tag}>\n"
    empty = f"{'  ' * depth}<{tag}/>\n"

    def write_string(value: object) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{tag}: a string is expected, not {type(value).__name__}")
        return f"{opening}{escape(value)}{closing}" if value else empty

    def write(value: object) -> str:
        as_text = _format_of(type(value))  # type: ignore[arg-type] # a type has a hash
        return f"{opening}{as_text(value)}{closing}"

    return write_string if type_ == "string" else write


class _Structure:
    def __init__(self, shapes: Shapes, name: str, tag: str, depth: int) -> None:
        self._name, self._shape = name, shapes[name]
        self._indent = "  " * (depth + 1)
        self._opening = f"{'  ' * depth}<{tag}>\n"
        self._closing = f"{'  ' * depth}</{tag}>\n"
        self._empty = f"{'  ' * depth}<{tag}/>\n"
        self._members: dict[str, Write] = {}
        self._strings = set()
        for member, target in members_in_order(name, self._shape):
            self._members[member] = _compile(shapes, target, member, depth + 1)
            if shapes[target]["type"] == "string":
                self._strings.add(member)
        self._layouts: dict[tuple[str, ...], _Layout] = {}

    def write(self, params: Mapping[str, Any]) -> str:
        """As each member would be written by itself, with a prepared text."""
        text, pick_strings, pick_all, others = self._layouts.get(
            tuple(params)
        ) or self._lay_out(params)
        strings, values = pick_strings(params), pick_all(params)
        if None in values or "" in strings:
            return self._write_each(params)
        joined = "".join(strings)
        # Most of an answer comes by here, and most of the time nothing is escaped.
        if not joined.isprintable() or "&" in joined or "<" in joined or ">" in joined:
            return self._write_each(params)
        if others:
            values = [*values]
            for place, write_other in others:
                values[place] = write_other(values[place])
        return text % tuple(values)

    def _write_each(self, params: Mapping[str, Any]) -> str:
        text = "".join(
            write(content)
            for member, write in self._members.items()
            if (content := params.get(member)) is not None
        )
        return f"{self._opening}{text}{self._closing}" if text else self._empty

    def _lay_out(self, params: Mapping[str, Any]) -> _Layout:
        refuse_unknown_members(self._name, self._shape, params)
        present = [member for member in self._members if member in params]
        text = "".join(
            f"{self._indent}<{member}>%s</{member}>\n"
            if member in self._strings
            else "%s"
            for member in present
        )
        others = (
            (place, self._members[member])
            for place, member in enumerate(present)
            if member not in self._strings
        )
        layout = (
            f"{self._opening}{text}{self._closing}" if present else self._empty,
            _pick([member for member in present if member in self._strings]),
            _pick(present),
            tuple(others),
        )
        if len(self._layouts) < _LAYOUTS_MAX:
            self._layouts[tuple(params)] = layout
        return layout


def _pick(names: Sequence[str]) -> _Pick:
    match names:
        case []:
            return lambda _: ()
        case [name]:
            return lambda params: (params[name],)
    return itemgetter(*names)


def _compile_list(shapes: Shapes, shape: ShapeModel, tag: str, depth: int) -> Write:
    opening, closing = f"{'  ' * depth}<{tag}>\n", f"{'  ' * depth}</{tag}>\n"
    empty = f"{'  ' * depth}<{tag}/>\n"
    write_element = _compile(shapes, shape["member"]["shape"], "member", depth + 1)

    def write(elements: Sequence[object]) -> str:
        texts = map(write_element, elements)
        return f"{opening}{''.join(texts)}{closing}" if elements else empty

    return write


def _compile_map(shapes: Shapes, shape: ShapeModel, tag: str, depth: int) -> Write:
    opening, closing = f"{'  ' * depth}<{tag}>\n", f"{'  ' * depth}</{tag}>\n"
    empty = f"{'  ' * depth}<{tag}/>\n"
    entry_opening = f"{'  ' * (depth + 1)}<entry>\n"
    entry_closing = f"{'  ' * (depth + 1)}</entry>\n"
    write_key = _compile(shapes, shape["key"]["shape"], "key", depth + 2)
    write_value = _compile(shapes, shape["value"]["shape"], "value", depth + 2)

    def write(entries: Mapping[str, object]) -> str:
        texts = (
            f"{entry_opening}{write_key(key)}{write_value(content)}{entry_closing}"
            for key, content in entries.items()
        )
        return f"{opening}{''.join(texts)}{closing}" if entries else empty

    return write
