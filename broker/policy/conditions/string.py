"""String and ARN operators: exact, without case, and with wildcards.

A value with an unresolved variable equals and matches nothing, so the negated operators
match (IAM User Guide, "Policy variables with no value"). ``ArnEquals`` and ``ArnLike``
are the same.
"""

from broker.policy.arn_pattern import compile_arn_patterns
from broker.policy.conditions.values import OperatorFamily, ValueTest, accept
from broker.policy.variables import (
    Context,
    Template,
    find_static,
    parse_template,
    resolve_template,
)
from broker.policy.wildcard import TextTest, compile_wildcard, find_literal, find_prefix

_COLONS = 5


def _equals(values: tuple[str, ...], negated: bool, variables: bool) -> ValueTest:  # noqa: FBT001  # the shape of every family
    literals, templates = _sort(values, variables=variables)
    if not templates:
        return lambda value, _: (value in literals) is not negated

    def matches(value: str, context: Context) -> bool:
        match = value in literals
        for template in templates:
            tokens = resolve_template(template, context)
            match = match or (tokens is not None and find_literal(tokens) == value)
        return match is not negated

    return matches


def _equals_ignore_case(
    values: tuple[str, ...],
    negated: bool,  # noqa: FBT001  # the shape of every family
    variables: bool,  # noqa: FBT001  # the shape of every family
) -> ValueTest:
    literals, templates = _sort(values, variables=variables)
    lowered = frozenset(literal.lower() for literal in literals)

    def matches(value: str, context: Context) -> bool:
        value = value.lower()
        match = value in lowered
        for template in templates:
            tokens = resolve_template(template, context)
            match = match or (
                tokens is not None and (find_literal(tokens) or "").lower() == value
            )
        return match is not negated

    return matches


def _like(values: tuple[str, ...], negated: bool, variables: bool) -> ValueTest:  # noqa: FBT001  # the shape of every family
    exact: set[str] = set()
    prefixes: list[str] = []
    static: list[TextTest] = []
    dynamic: list[Template] = []
    for value in values:
        template = parse_template(value, variables=variables, wildcards=True)
        tokens = find_static(template)
        if tokens is None:
            dynamic.append(template)
        elif (literal := find_literal(tokens)) is not None:
            exact.add(literal)
        elif (prefix := find_prefix(tokens)) is not None:
            prefixes.append(prefix)
        else:
            static.append(compile_wildcard(tokens))
    starts = tuple(prefixes)

    def matches(value: str, context: Context) -> bool:
        match = (
            value in exact
            or value.startswith(starts)
            or any(test(value) for test in static)
            or any(_fits(template, value, context) for template in dynamic)
        )
        return match is not negated

    return matches


def _fits(template: Template, value: str, context: Context) -> bool:
    tokens = resolve_template(template, context)
    return tokens is not None and compile_wildcard(tokens)(value)


def _sort(
    values: tuple[str, ...], *, variables: bool
) -> tuple[frozenset[str], tuple[Template, ...]]:
    literals: set[str] = set()
    templates: list[Template] = []
    for value in values:
        template = parse_template(value, variables=variables, wildcards=False)
        tokens = find_static(template)
        literal = None if tokens is None else find_literal(tokens)
        if literal is None:
            templates.append(template)
        else:
            literals.add(literal)
    return frozenset(literals), tuple(templates)


STRING_EQUALS = OperatorFamily(_equals, accept, takes_variables=True)
STRING_EQUALS_IGNORE_CASE = OperatorFamily(
    _equals_ignore_case, accept, takes_variables=True
)
STRING_LIKE = OperatorFamily(_like, accept, takes_variables=True, takes_wildcards=True)


def _arn_like(values: tuple[str, ...], negated: bool, variables: bool) -> ValueTest:  # noqa: FBT001  # the shape of every family
    test = compile_arn_patterns(values, variables=variables)

    def matches(value: str, context: Context) -> bool:
        if not value.startswith("arn:") or value.count(":") < _COLONS:
            return False
        return test(value, context) is not negated

    return matches


ARN_LIKE = OperatorFamily(_arn_like, accept, takes_variables=True, takes_wildcards=True)
