"""Reads and writes YAML with the core schema of YAML 1.2.

PyYAML's own schema would read ``Version: 2012-10-17`` as a date, account ids with a
leading zero as octal numbers and ``Effect: on`` as a boolean. Duplicate keys are
rejected.
"""

import re
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager

import yaml

from broker.kinds.template.errors import TemplateError

_SPECIAL = "tag:yaml.org,2002:"
_LITERAL_LENGTH = 60


class _Loader(yaml.SafeLoader):
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
                raise TemplateError(f"line {line}", f"{key!r} comes twice")
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
        TemplateError: it is not YAML, has a duplicate key, or an alias.
    """
    loader = _Loader if aliases else _LoaderWithoutAliases
    with _explained():
        return yaml.load(text, Loader=loader)  # noqa: S506  # derived from SafeLoader


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
