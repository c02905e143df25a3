"""ARN patterns: a wildcard stays within one of the six colon-separated parts.

The last part may hold colons. Source: IAM User Guide, "Resource" and "ARN condition
operators"; checklist POL-10.
"""

from collections.abc import Callable, Iterable

from broker.policy.variables import (
    Context,
    Template,
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


def is_everything(pattern: str) -> bool:
    """Whether a Resource pattern is stars only; it matches what is no ARN, too."""
    return bool(pattern) and not pattern.strip("*")


ContextTest = Callable[[str, Context], bool]
_PARTS = 6


def split_pattern(text: str, *, variables: bool, complete: bool) -> list[Template]:
    """Take an ARN pattern apart at its colons, outside of variables.

    ``complete`` fills missing parts with ``*``, as the Resource element does
    (``arn:aws:sqs`` means ``arn:aws:sqs:*:*:*``).
    """
    parts: list[list[object]] = [[]]
    for token in parse_template(text, variables=variables, wildcards=True):
        if isinstance(token, str):
            first, *others = token.split(":", _PARTS - len(parts))
            if first:
                parts[-1].append(first)
            parts.extend([part] if part else [] for part in others)
        else:
            parts[-1].append(token)
    if complete:
        parts.extend([Wild.STAR] for _ in range(_PARTS - len(parts)))
    return [tuple(part) for part in parts]  # type: ignore[arg-type]  # tokens all


def compile_arn_patterns(
    patterns: Iterable[str], *, variables: bool, complete: bool
) -> ContextTest:
    """A function that tells whether an ARN matches one of the patterns.

    A variable without a value makes its pattern match nothing.
    """
    exact: set[str] = set()
    prefixes: list[str] = []
    others: list[ContextTest] = []
    for pattern in patterns:
        parts = split_pattern(pattern, variables=variables, complete=complete)
        if len(parts) != _PARTS:
            continue  # no ARN has fewer parts, so nothing matches
        static = [find_static(part) for part in parts]
        whole = _joined(static)
        if whole is None:
            others.append(_by_part(parts))
        elif (literal := find_literal(whole)) is not None:
            exact.add(literal)
        elif (prefix := find_prefix(whole)) is not None and prefix.count(":") >= (
            _PARTS - 1
        ):
            prefixes.append(prefix)
        else:
            others.append(_by_part(parts))
    return _any_of(frozenset(exact), tuple(prefixes), tuple(others))


def _any_of(
    exact: frozenset[str], prefixes: tuple[str, ...], others: tuple[ContextTest, ...]
) -> ContextTest:
    if not others and not prefixes:
        return lambda arn, _: arn in exact
    if not others:
        return lambda arn, _: arn.startswith(prefixes) or arn in exact
    if not prefixes and not exact and len(others) == 1:
        return others[0]

    def matches(arn: str, context: Context) -> bool:
        return (
            arn in exact
            or arn.startswith(prefixes)
            or any(test(arn, context) for test in others)
        )

    return matches


def _joined(parts: list[tuple[Token, ...] | None]) -> tuple[Token, ...] | None:
    tokens: list[Token] = []
    for index, part in enumerate(parts):
        if part is None:
            return None
        if index:
            tokens.append(":")
        tokens.extend(part)
    return tuple(tokens)


def _by_part(parts: list[Template]) -> ContextTest:
    static: list[tuple[int, TextTest]] = []
    dynamic: list[tuple[int, Template]] = []
    for index, part in enumerate(parts):
        tokens = find_static(part)
        if tokens is None:
            dynamic.append((index, part))
        elif tokens != (Wild.STAR,):
            static.append((index, compile_wildcard(tokens)))

    def matches(arn: str, context: Context) -> bool:
        found = arn.split(":", _PARTS - 1)
        if len(found) != _PARTS:
            return False
        for index, test in static:
            if not test(found[index]):
                return False
        for index, template in dynamic:
            tokens = resolve_template(template, context)
            if tokens is None or not _matches_now(tokens, found[index]):
                return False
        return True

    return matches


def _matches_now(tokens: tuple[Token, ...], text: str) -> bool:
    literal = find_literal(tokens)
    if literal is not None:
        return text == literal
    prefix = find_prefix(tokens)
    if prefix is not None:
        return text.startswith(prefix)
    return compile_wildcard(tokens)(text)
