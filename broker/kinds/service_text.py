"""What people write in YAML, which JSON is, too: definitions, and where their parts are."""

import json
import re
from collections.abc import Iterable

import yaml

from broker.kinds.template.errors import TemplateError
from broker.kinds.template.yaml_text import compose_yaml, dump_yaml, load_yaml
from broker.policy.places import Span, TextPosition
from broker.protocols.enforcement.definition import DEFINITION_CHARACTERS_MAX


def read_definition(text: str) -> str:
    """The JSON text of a definition; an empty text is that of an empty one.

    Takes a tenth of a second for the longest.

    Raises:
        TemplateError: it is too long or not YAML, or has an alias or what is not in
            JSON.
    """
    if len(text) > DEFINITION_CHARACTERS_MAX:
        raise TemplateError(
            "", f"it is longer than {DEFINITION_CHARACTERS_MAX} characters"
        )
    data = load_yaml(text, aliases=False)
    try:
        return json.dumps({} if data is None else data)
    except (TypeError, ValueError) as error:
        raise TemplateError("", "it has a value that JSON cannot express") from error


def write_definition(definition: str) -> str:
    """The YAML text of a stored definition; empty for an empty one."""
    data = json.loads(definition)
    return dump_yaml(data) if data else ""


def find_places(text: str, places: Iterable[str]) -> list[Span | None]:
    """Where parts of a YAML text are, such as ``Routes.0.Path`` or ``Roles[0].Path``.

    A part of a mapping is its key, and the value if that ends on the same line. Part of
    a list is named by its number, or by a name that it has. For a part that is not
    there it is the nearest one around it; None for the whole.
    """
    try:
        root = compose_yaml(text)
    except TemplateError:
        root = None
    if root is None:
        return [None for _ in places]
    return [_find_place(root, _NUMBER.sub(r".\1", place)) for place in places]


def with_line(text: str, error: TemplateError) -> str:
    """What is wrong with a YAML text, after the line that it is on."""
    (span,) = find_places(text, [error.place])
    return str(error) if span is None else f"line {span.start.line}: {error}"


_NUMBER = re.compile(r"\[([0-9]+)\]")


def _find_place(root: yaml.Node, place: str) -> Span | None:
    found: Span | None = None
    node, rest = root, place
    while rest:
        step = _step(node, rest)
        if step is None:
            break
        key, node, rest = step
        found = _span(key, node)
    return found


def _step(node: yaml.Node, rest: str) -> tuple[yaml.Node, yaml.Node, str] | None:
    """One step down: the key's node, the value's, and what is left of the place."""
    if isinstance(node, yaml.SequenceNode):
        number, _, left = rest.partition(".")
        if number.isascii() and number.isdigit() and int(number) < len(node.value):
            value = node.value[int(number)]
            return value, value, left
        for item in node.value:
            for name in _names(item):
                if rest == name or rest.startswith(f"{name}."):
                    return item, item, rest[len(name) + 1 :]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value)
            if rest == name or rest.startswith(f"{name}."):
                return key, value, rest[len(name) + 1 :]
    return None


def _names(node: yaml.Node) -> list[str]:
    """A text, or the texts of a mapping: one of them is its name."""
    values = [node]
    if isinstance(node, yaml.MappingNode):
        values = [one for _, one in node.value]
    return [one.value for one in values if isinstance(one, yaml.ScalarNode)]


def _span(key: yaml.Node, value: yaml.Node) -> Span:
    start, end = key.start_mark, value.end_mark
    if end.line != start.line:
        end = key.end_mark
    if end.line != start.line:  # a part of a list that goes over several lines
        return Span(_position(start), TextPosition(start.line + 1, start.column + 2))
    return Span(_position(start), _position(end))


def _position(mark: yaml.Mark) -> TextPosition:
    return TextPosition(mark.line + 1, mark.column + 1)
