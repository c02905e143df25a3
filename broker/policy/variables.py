"""Policy variables: ``${key}``, ``${key, 'default'}``, ``${*}``, ``${?}``, ``${$}``.

Substituted text is literal: wildcards and ``${…}`` in a value have no meaning.
Source: IAM User Guide, "Policy variables"; checklist POL-05.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from broker.policy.wildcard import Token, tokenize

Context = Mapping[str, tuple[str, ...]]
"""Condition keys (lower-case) and their values; an absent key is absent."""

_SPECIAL = frozenset("*?$")


class InvalidVariable(ValueError):
    """A ``${`` that does not begin a variable; the text says what is wrong."""


class Variable(Struct, frozen=True):
    """A variable: a condition key as written, and its default if there is one."""

    name: str
    default: str | None = None

    @property
    def key(self) -> str:
        """The condition key in lower case."""
        return self.name.lower()

    def resolve(self, context: Context) -> str | None:
        """The key's single value; None when there is none.

        The default stands in for an absent key only: a key with several values
        cannot be a variable.
        """
        values = context.get(self.key)
        if not values:
            return self.default
        return values[0] if len(values) == 1 else None


Template = tuple[Token | Variable, ...]


def parse_template(text: str, *, variables: bool, wildcards: bool) -> Template:
    """Split a policy string into literal text, wildcards and variables.

    Raises:
        InvalidVariable: a ``${`` is not closed, empty or badly quoted.
    """
    if not variables or "${" not in text:
        if wildcards:
            return tokenize(text)
        return (text,) if text else ()
    parts: list[Token | Variable] = []
    position = 0
    while True:
        begin = text.find("${", position)
        plain = text[position:begin] if begin >= 0 else text[position:]
        if wildcards:
            parts.extend(tokenize(plain))
        elif plain:
            parts.append(plain)
        if begin < 0:
            return tuple(parts)
        part, position = _parse_variable(text, begin + 2)
        parts.append(part)


def resolve_template(template: Template, context: Context) -> tuple[Token, ...] | None:
    """The template with its variables filled in; None when a value is missing."""
    filled: list[Token] = []
    for part in template:
        if isinstance(part, Variable):
            value = part.resolve(context)
            if value is None:
                return None
            filled.append(value)
        else:
            filled.append(part)
    return tuple(filled)


def find_static(template: Template) -> tuple[Token, ...] | None:
    """The template itself when it has no variables; None otherwise."""
    static: list[Token] = []
    for part in template:
        if isinstance(part, Variable):
            return None
        static.append(part)
    return tuple(static)


def find_variables(texts: Iterable[str]) -> tuple[Variable, ...]:
    """The variables in the texts; ``${*}``, ``${?}`` and ``${$}`` are literal text."""
    return tuple(
        part
        for text in texts
        if "${" in text
        for part in parse_template(text, variables=True, wildcards=False)
        if isinstance(part, Variable)
    )


def all_resolve(variables: Iterable[Variable], context: Context) -> bool:
    """Whether every variable has a value."""
    return all(variable.resolve(context) is not None for variable in variables)


def _parse_variable(text: str, start: int) -> tuple[str | Variable, int]:
    """The variable whose ``${`` ends at ``start``, and the position after it."""
    close = text.find("}", start)
    if close == -1:
        raise InvalidVariable("a variable is not closed; write ${key}")
    comma = text.find(",", start, close)
    if comma == -1:
        name = text[start:close].strip()
        if name in _SPECIAL:
            return name, close + 1
        return Variable(_checked(name)), close + 1
    name = _checked(text[start:comma].strip())
    default, position = _parse_default(text, comma + 1)
    return Variable(name, default), position


def _parse_default(text: str, start: int) -> tuple[str, int]:
    position = _skip_spaces(text, start)
    if not text.startswith("'", position):
        raise InvalidVariable(
            "a variable's default stands in single quotes; write ${key, 'default'}"
        )
    pieces: list[str] = []
    while True:
        end = text.find("'", position + 1)
        if end == -1:
            raise InvalidVariable(
                "a variable's default is not closed; write ${key, 'default'}"
            )
        pieces.append(text[position + 1 : end])
        if not text.startswith("'", end + 1):
            break
        position = end + 1  # a doubled quote is a quote
    position = _skip_spaces(text, end + 1)
    if not text.startswith("}", position):
        raise InvalidVariable("a variable is not closed; write ${key, 'default'}")
    return "'".join(pieces), position + 1


def _skip_spaces(text: str, position: int) -> int:
    while text.startswith(" ", position):
        position += 1
    return position


def _checked(name: str) -> str:
    if not name or name in _SPECIAL or any(c in "${'\"" or c.isspace() for c in name):
        raise InvalidVariable("a variable needs a condition key; write ${aws:username}")
    return name
