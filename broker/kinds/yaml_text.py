"""What people write in YAML, which JSON is, too: what is wrong in it, and where.

PyYAML's own schema would read ``Version: 2012-10-17`` as a date, account ids with a
leading zero as octal numbers and ``Effect: on`` as a boolean. Duplicate keys are
rejected.
"""

import json
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import yaml

from broker.errors import BrokerError, OperatorError
from broker.policy.positions import Span, TextPosition
from broker.protocols.enforcement.definition import DEFINITION_CHARACTERS_MAX

_SPECIAL = "tag:yaml.org,2002:"
_LITERAL_LENGTH = 60
_FAULTS_MAX = 100
_NUMBER = re.compile(r"\[([0-9]+)\]")


class TemplateError(OperatorError):
    """A template is invalid, or cannot be applied.

    ``place`` names where, the way the file is written: ``Accounts.123456789012.
    Roles[0].MaxSessionDuration``; the message says what is wrong. ``more`` is what else
    is wrong with the same text.
    """

    def __init__(
        self, place: str, message: str, more: Sequence["TemplateError"] = ()
    ) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place
        self.message = message
        self.more = tuple(more)

    @property
    def faults(self) -> tuple["TemplateError", ...]:
        """This one and what else is wrong, in the order of reading."""
        return (self, *self.more)


def raise_faults(faults: Sequence[TemplateError]) -> None:
    """Raise what was noted while a text was read; nothing if nothing is wrong.

    Raises:
        TemplateError: the first, with the others as its ``more``.
    """
    if faults:
        first, *more = faults
        raise TemplateError(first.place, first.message, more) from first


@contextmanager
def at_place(place: str) -> Iterator[None]:
    """What is refused inside is wrong at this place, or at one inside it."""
    try:
        yield
    except BrokerError as error:
        raise TemplateError(place, str(error)) from error
    except TemplateError as error:
        raise_faults(
            [
                TemplateError(f"{place}.{fault.place}".rstrip("."), fault.message)
                for fault in error.faults
            ]
        )


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.faults: list[TemplateError] = []

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002  # PyYAML's signature
    ) -> dict[Hashable, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                self.faults.append(
                    TemplateError(f"line {line}", f"{key!r} comes twice")
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# libyaml's dumper, where PyYAML has it, writes the same in a fifth of the time; a large
# account has a hundred thousand users.
class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # its class is known at run time
    def ignore_aliases(self, _data: object) -> bool:
        return True


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)\.[0-9]+", list("-0123456789")),
):
    _Loader.add_implicit_resolver(
        _SPECIAL + _tag, re.compile(f"(?:{_pattern})$"), _first
    )


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text and len(text) > _LITERAL_LENGTH else None
    return dumper.represent_scalar(_SPECIAL + "str", text, style=style)


_Dumper.add_representer(str, _represent_text)


class _LoaderWithoutAliases(_Loader):
    """For texts of people who are not the operator: aliases can multiply a text."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # as the stubs have it
            line = event.start_mark.line + 1
            raise TemplateError(f"line {line}", "aliases are not allowed here")
        return super().compose_node(parent, index)


def load_yaml(text: str, *, aliases: bool = True) -> object:
    """The document's plain data; ``aliases`` says whether it may have any.

    Raises:
        TemplateError: it is not YAML, has duplicate keys, or an alias.
    """
    with _explained():
        loader = (_Loader if aliases else _LoaderWithoutAliases)(text)
        try:
            data: object = loader.get_single_data()
        finally:
            loader.dispose()
    raise_faults(loader.faults)
    return data


def compose_yaml(text: str) -> yaml.Node | None:
    """The document's nodes, which know their places; None for an empty text.

    Raises:
        TemplateError: it is not YAML.
    """
    with _explained():
        return yaml.compose(text, Loader=_Loader)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}" if mark else ""
        raise TemplateError(place, error.problem or "this is not YAML") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise TemplateError("", "this is not YAML") from error
    except ValueError as error:
        raise TemplateError("", "a number has too many digits") from error


def dump_yaml(data: Mapping[str, object]) -> str:
    """Readable YAML; reading it again gives equal data.

    Text with characters that could control or mislead a terminal (control characters,
    bidirectional overrides) is escaped to ASCII.
    """
    text = _dump(data, allow_unicode=True)
    if text.replace("\n", "").isprintable():
        return text
    return _dump(data, allow_unicode=False)


def _dump(data: Mapping[str, object], *, allow_unicode: bool) -> str:
    return yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=88
    )


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


def with_lines(text: str, error: TemplateError) -> list[str]:
    """What is wrong with a YAML text, each fault after the line that it is on.

    Of more than a hundred faults, the rest is only counted.
    """
    faults = error.faults[:_FAULTS_MAX]
    spans = find_places(text, [fault.place for fault in faults])
    numbers = [0 if span is None else span.start.line for span in spans]
    lines = [
        f"line {number}: {fault}" if number else str(fault)
        for number, fault in sorted(
            zip(numbers, faults, strict=True), key=lambda entry: entry[0]
        )
    ]
    left = len(error.faults) - len(faults)
    return [*lines, f"and {left:,} more"] if left else lines


def _find_place(root: yaml.Node, place: str) -> Span | None:
    span: Span | None = None
    node, rest = root, place
    while rest:
        step = _step(node, rest)
        if step is None:
            break
        key, node, rest = step
        span = _span(key, node)
    return span


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
        values = [entity for _, entity in node.value]
    return [node.value for node in values if isinstance(node, yaml.ScalarNode)]


def _span(key: yaml.Node, value: yaml.Node) -> Span:
    start, end = key.start_mark, value.end_mark
    if end.line != start.line:
        end = key.end_mark
    if end.line != start.line:  # a part of a list that goes over several lines
        return Span(_position(start), TextPosition(start.line + 1, start.column + 2))
    return Span(_position(start), _position(end))


def _position(mark: yaml.Mark) -> TextPosition:
    return TextPosition(mark.line + 1, mark.column + 1)
