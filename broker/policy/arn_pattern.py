"""ARN patterns, as the Resource element and as the ARN condition operators have them.

An ARN has six parts with colons between them; the last may hold colons. Under the ARN
operators a wildcard stays within its part. In the Resource element a star that ends a
part may run on past the colon, and missing parts are stars (``arn:aws:sqs`` means
``arn:aws:sqs:*:*:*``).

Source: IAM User Guide, "Resource" and "ARN condition operators"; checklist POL-10.
"""

from collections.abc import Callable, Iterable

from msgspec import Struct

from broker.policy.variables import (
    Context,
    Template,
    Variable,
    find_static,
    parse_template,
    resolve_template,
)
from broker.policy.wildcard import (
    TextTest,
    Token,
    Wild,
    compile_wildcard,
    find_literal,
    find_prefix,
)

_PARTS = 6

ContextTest = Callable[[str, Context], bool]


def is_everything(pattern: str) -> bool:
    """Whether a Resource pattern is stars only; it matches what is not an ARN, too."""
    return bool(pattern) and not pattern.strip("*")


def split_pattern(text: str, *, variables: bool) -> list[Template]:
    """Split an ARN pattern at its colons, except inside variables."""
    parts: list[list[Token | Variable]] = [[]]
    for token in parse_template(text, variables=variables, wildcards=True):
        if isinstance(token, str):
            first, *others = token.split(":", _PARTS - len(parts))
            if first:
                parts[-1].append(first)
            parts.extend([part] if part else [] for part in others)
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts]


class ArnPattern(Struct, frozen=True):
    """A pattern as it is read: compared part by part, or as one text."""

    parts: tuple[Template, ...]
    by_part: bool

    @property
    def joined(self) -> Template:
        """The parts with colons between them."""
        return _joined(self.parts)


def read_arn_patterns(
    patterns: Iterable[str], *, variables: bool
) -> tuple[ArnPattern, ...]:
    """How an ARN operator reads its values.

    A pattern with fewer parts than an ARN has matches nothing.
    """
    splits = [split_pattern(pattern, variables=variables) for pattern in patterns]
    return tuple(
        ArnPattern(tuple(parts), by_part=True)
        for parts in splits
        if len(parts) == _PARTS
    )


def read_resource_patterns(
    patterns: Iterable[str], *, variables: bool, in_parts: bool = False
) -> tuple[ArnPattern, ...]:
    """How a Resource element reads its patterns.

    A part with a wildcard inside of it, or with a variable, is compared on its own: a
    value must not reach into the part behind the colon. With ``in_parts``, none may.
    """
    results: list[ArnPattern] = []
    for pattern in patterns:
        parts = split_pattern(pattern, variables=variables)
        missing = _PARTS - len(parts)
        complete: list[Template] = [*parts, *[(Wild.STAR,)] * missing]
        by_part = in_parts or any(_is_closed(part) for part in complete[:-1])
        results.append(ArnPattern(tuple(complete), by_part))
        if missing and not by_part:
            results.append(ArnPattern(tuple(parts), by_part=False))
    return tuple(results)


def compile_arn_patterns(patterns: Iterable[str], *, variables: bool) -> ContextTest:
    """A function deciding whether an ARN matches one of an ARN operator's values.

    A variable without a value makes its pattern match nothing.
    """
    return _compile(read_arn_patterns(patterns, variables=variables))


def compile_resource_patterns(
    patterns: Iterable[str], *, variables: bool, in_parts: bool = False
) -> ContextTest:
    """A function deciding whether an ARN matches one of a Resource's patterns."""
    return _compile(
        read_resource_patterns(patterns, variables=variables, in_parts=in_parts)
    )


def _compile(patterns: Iterable[ArnPattern]) -> ContextTest:
    tests = _Tests()
    for pattern in patterns:
        if pattern.by_part:
            tests.add_by_part(pattern.parts)
        else:
            tests.add_whole(pattern.joined)
    return tests.any_of()


def _is_closed(part: Template) -> bool:
    """Whether a part has a variable, or a wildcard that is not its last star."""
    return any(not isinstance(token, str) for token in part[:-1]) or (
        bool(part) and (part[-1] is Wild.ANY or isinstance(part[-1], Variable))
    )


def _joined(parts: Iterable[Template]) -> Template:
    tokens: list[Token | Variable] = []
    for index, part in enumerate(parts):
        if index:
            tokens.append(":")
        tokens.extend(part)
    return tuple(tokens)


class _Tests:
    """Collects patterns by the cheapest way to test them."""

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._prefixes: list[str] = []
        self._others: list[ContextTest] = []

    def add_whole(self, template: Template) -> None:
        """A pattern for the whole text."""
        tokens = find_static(template)
        if tokens is None:
            self._others.append(_dynamic(template))
        elif not self._add_simple(tokens):
            test = compile_wildcard(tokens)
            self._others.append(lambda arn, _: test(arn))

    def add_by_part(self, parts: tuple[Template, ...]) -> None:
        """A pattern for each of the six parts."""
        tokens = find_static(_joined(parts))
        if tokens is None or not self._add_simple(tokens):
            self._others.append(_by_part(parts))

    def _add_simple(self, tokens: tuple[Token, ...]) -> bool:
        literal, prefix = find_literal(tokens), find_prefix(tokens)
        if literal is not None:
            self._exact.add(literal)
        elif prefix is not None:
            self._prefixes.append(prefix)
        else:
            return False
        return True

    def any_of(self) -> ContextTest:
        """One function for all that was added."""
        exact, prefixes = frozenset(self._exact), tuple(self._prefixes)
        others = tuple(self._others)
        if not others and not prefixes:
            return lambda arn, _: arn in exact
        if not others:
            return lambda arn, _: arn.startswith(prefixes) or arn in exact

        def matches(arn: str, context: Context) -> bool:
            return (
                arn in exact
                or arn.startswith(prefixes)
                or any(test(arn, context) for test in others)
            )

        return matches


def _dynamic(template: Template) -> ContextTest:
    """A pattern with variables; most texts already differ before the first."""
    head = template[0] if isinstance(template[0], str) else ""

    def matches(arn: str, context: Context) -> bool:
        return arn.startswith(head) and _matches_now(template, arn, context)

    return matches


def _by_part(parts: tuple[Template, ...]) -> ContextTest:
    static: list[tuple[int, TextTest]] = []
    dynamic: list[tuple[int, Template]] = []
    for index, part in enumerate(parts):
        tokens = find_static(part)
        if tokens is None:
            dynamic.append((index, part))
        elif tokens != (Wild.STAR,):
            static.append((index, compile_wildcard(tokens)))

    def matches(arn: str, context: Context) -> bool:
        values = arn.split(":", _PARTS - 1)
        if len(values) != _PARTS:
            return False
        for index, test in static:
            if not test(values[index]):
                return False
        return all(
            _matches_now(template, values[index], context)
            for index, template in dynamic
        )

    return matches


def _matches_now(template: Template, text: str, context: Context) -> bool:
    """Fill the variables in and compare; a missing value matches nothing."""
    tokens = resolve_template(template, context)
    if tokens is None:
        return False
    prefix = find_prefix(tokens)
    if prefix is not None:
        return text.startswith(prefix)
    return compile_wildcard(tokens)(text)
