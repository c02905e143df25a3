"""Checking a policy text against its grammar: what is wrong, and where."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from broker.administration.policy_findings import PolicyAdvice, find_advice
from broker.kinds.documents import validated_document
from broker.policy import PolicyDocument, PolicyKind, PolicyRejected, policy_size
from broker.policy.catalogue import ServiceEntry
from broker.policy.places import find_place, find_statement_index
from broker.policy.positions import Span

_AROUND = 2
_WIDTH_MAX = 160

CHECKED_MAX = 30_000
"""Non-white-space characters: three times the limit on a role's policies."""

Judge = Callable[[str, PolicyKind], PolicyDocument]
"""Parses a policy, or raises `PolicyRejected`."""


class ExcerptLine(Struct, frozen=True):
    """A line around the error; ``marked`` is the part that is wrong."""

    number: int
    before: str
    marked: str
    after: str


class Problem(Struct, frozen=True, kw_only=True):
    """An error; line and column count from 1, and are 0 if the place is unknown.

    ``start`` and ``end`` are offsets into the text in UTF-16 units, as in browsers.
    """

    message: str
    line: int = 0
    column: int = 0
    statement: int | None = None
    start: int = 0
    end: int = 0
    excerpt: tuple[ExcerptLine, ...] = ()


class CheckedPolicy(Struct, frozen=True):
    """A checked text: the document, or what is wrong with it."""

    document: PolicyDocument | None
    problem: Problem | None = None
    findings: tuple[PolicyAdvice, ...] = ()


def inspect_text(
    text: str,
    kind: PolicyKind,
    judge: Judge = validated_document,
    declared: Mapping[str, ServiceEntry] | None = None,
) -> CheckedPolicy:
    """Check a text against the grammar, and collect advice.

    ``judge`` has the rules to apply; the default are those for storing a policy.
    ``declared`` are the account's registered services.
    """
    size = policy_size(text)
    if size > CHECKED_MAX:
        message = f"The policy has {size} characters; pages take {CHECKED_MAX}."
        return CheckedPolicy(None, Problem(message=message))
    try:
        document = judge(text, kind)
    except PolicyRejected as error:
        return CheckedPolicy(None, place_problem(text, error))
    return CheckedPolicy(document, None, find_advice(document, declared))


def place_problem(text: str, error: PolicyRejected) -> Problem:
    """Locate an error in the text."""
    statement = find_statement_index(error)
    return problem_at(text, error.words, find_place(text, error), statement)


def problem_at(
    text: str, message: str, span: Span | None, statement: int | None = None
) -> Problem:
    """What is wrong with a part of a text; None for the whole of it."""
    if span is None:
        return Problem(message=message, statement=statement)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first, last = span.start, span.end
    end_column = last.column if last.line == first.line else len(lines[first.line - 1])
    return Problem(
        message=message,
        line=first.line,
        column=first.column,
        statement=statement,
        start=_offset(lines, first.line, first.column),
        end=_offset(lines, last.line, last.column),
        excerpt=_excerpt(lines, first.line, first.column, end_column),
    )


def _offset(lines: list[str], line: int, column: int) -> int:
    before = "\n".join([*lines[: line - 1], lines[line - 1][: column - 1]])
    # Browsers count UTF-16 units.
    return len(before.encode("utf-16-le", "surrogatepass")) // 2


def _excerpt(
    lines: list[str], wrong: int, column: int, end_column: int
) -> tuple[ExcerptLine, ...]:
    first = max(1, wrong - _AROUND)
    excerpt_lines = []
    for number in range(first, min(len(lines), wrong + _AROUND) + 1):
        line = lines[number - 1]
        if number != wrong:
            excerpt_lines.append(ExcerptLine(number, line[:_WIDTH_MAX], "", ""))
            continue
        skipped = max(0, column - 1 - _WIDTH_MAX // 2)
        before = ("…" if skipped else "") + line[skipped : column - 1]
        marked = line[column - 1 : max(end_column - 1, column)]
        after = line[max(end_column - 1, column) :]
        excerpt_lines.append(
            ExcerptLine(number, before, marked[:_WIDTH_MAX], after[: _WIDTH_MAX // 2])
        )
    return tuple(excerpt_lines)
