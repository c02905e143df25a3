"""Compiled policies, indexed by service and action.

A set is built from documents once and never changes. The index is made at once;
the inside of a statement (patterns, conditions) is compiled when the statement
first becomes a candidate, so that a large set costs little until it is used.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from msgspec import Struct

from broker.policy.arn_pattern import (
    ContextTest,
    compile_resource_patterns,
    is_everything,
)
from broker.policy.conditions import ConditionTest, compile_condition
from broker.policy.decision import StatementRef
from broker.policy.document import (
    VERSION_2012,
    Effect,
    PolicyDocument,
    PolicyKind,
    Statement,
)
from broker.policy.principal import PrincipalTest
from broker.policy.wildcard import TextTest, compile_wildcard, tokenize
from broker.policy.work import StatementWork, statement_work
from broker.runtime.bounded import Charged, measure

_MEMO_ENTRIES = 1024
_MEMO_BYTES = 288
"""Of an action that is looked up again, besides its name and the statements."""

_POINTER_BYTES = 8
_STATEMENT_BYTES = 512


class CompiledStatement(Struct, frozen=True):
    """A statement ready to match; None means "matches everything".

    ``principal`` is None in policies that belong to the principal itself.
    ``variables`` says whether ``${…}`` is a variable in it. ``work`` is the cost of a
    comparison.
    """

    ref: StatementRef
    source: Statement
    resource: ContextTest | None
    conditions: tuple[ConditionTest, ...]
    principal: PrincipalTest | None
    variables: bool
    work: StatementWork


class Candidates(Struct, frozen=True):
    """The statements of a set whose action matches, in writing order.

    ``work`` is the cost of comparing them all with short texts, ``search`` that of
    finding them, both in units.
    """

    denies: tuple[CompiledStatement, ...]
    allows: tuple[CompiledStatement, ...]
    work: int
    search: int


class PolicySet(Charged):
    """An immutable set of labelled policies. Made by `compile_policies`.

    What it compiles when that is first used counts as its memory then.
    """

    __slots__ = (
        "_by_action",
        "_by_service",
        "_compiled",
        "_everywhere",
        "_excluded",
        "_memo",
        "_memo_bytes",
        "_sources",
        "policies",
    )

    def __init__(self, policies: tuple[tuple[str, PolicyDocument], ...]) -> None:
        self._charge = None
        self.policies = policies
        self._sources: list[tuple[str, PolicyDocument, Statement]] = [
            (label, document, statement)
            for label, document in policies
            for statement in document.statements
        ]
        self._compiled: dict[int, CompiledStatement] = {}
        self._memo: dict[str, Candidates] = {}
        self._memo_bytes = 0
        self._by_action: dict[str, list[int]] = {}
        self._by_service: dict[str, list[tuple[int, TextTest]]] = {}
        self._everywhere: list[tuple[int, TextTest]] = []
        self._excluded = 0
        for number, (_, _, statement) in enumerate(self._sources):
            self._index(number, statement)

    def candidates(self, action: str) -> Candidates:
        """The statements whose Action or NotAction matches ``service:name``."""
        matching = self._memo.get(action)
        if matching is None:
            matching = self._find(action.lower())
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
                self.grow(-self._memo_bytes)
                self._memo_bytes = 0
            self._memo[action] = matching
            number = len(matching.denies) + len(matching.allows)
            size = _MEMO_BYTES + len(action) + number * _POINTER_BYTES
            self._memo_bytes += size
            self.grow(size)
        return matching

    def statements(self) -> Iterator[CompiledStatement]:
        """All statements, in writing order."""
        return map(self._compile, range(len(self._sources)))

    def compiling(self, action: str) -> Iterator[CompiledStatement]:
        """Compile the statements about an action, one a step."""
        return map(self._compile, self._numbers(action.lower())[0])

    def __repr__(self) -> str:
        labels = ", ".join(label for label, _ in self.policies)
        return f"PolicySet({labels})"

    def _index(self, number: int, statement: Statement) -> None:
        if statement.not_action:
            excluded = [action_test(a.lower()) for a in statement.actions]
            self._everywhere.append((number, _none_of(excluded)))
            self._excluded += len(excluded)
            return
        for written in statement.actions:
            action = written.lower()
            service, _, _ = action.partition(":")
            if service == "*":
                self._everywhere.append((number, action_test(action)))
            elif "*" in action or "?" in action:
                entry = (number, action_test(action))
                self._by_service.setdefault(service, []).append(entry)
            else:
                self._by_action.setdefault(action, []).append(number)

    def _find(self, action: str) -> Candidates:
        numbers, search = self._numbers(action)
        ordered = [self._compile(number) for number in numbers]
        return Candidates(
            tuple(s for s in ordered if s.source.effect is Effect.DENY),
            tuple(s for s in ordered if s.source.effect is Effect.ALLOW),
            sum(s.work.total for s in ordered),
            search,
        )

    def _numbers(self, action: str) -> tuple[list[int], int]:
        """The statements whose action matches, and the units of finding them."""
        service, _, _ = action.partition(":")
        numbers = set(self._by_action.get(action, ()))
        patterns = self._by_service.get(service, ())
        numbers.update(n for n, test in patterns if test(action))
        numbers.update(n for n, test in self._everywhere if test(action))
        return sorted(numbers), len(patterns) + len(self._everywhere) + self._excluded

    def _compile(self, number: int) -> CompiledStatement:
        statement = self._compiled.get(number)
        if statement is None:
            statement = self._compiled[number] = _compile(*self._sources[number])
            # What it was compiled from is counted already.
            parts = (statement.resource, statement.conditions, statement.principal)
            self.grow(_STATEMENT_BYTES + measure(parts))
        return statement


class _JoinedPolicySet(PolicySet):
    """Sets that were made ready before, as one."""

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple[PolicySet, ...]) -> None:
        super().__init__(())
        self.policies = tuple(policy for part in parts for policy in part.policies)
        self._parts = parts

    def statements(self) -> Iterator[CompiledStatement]:
        return chain.from_iterable(part.statements() for part in self._parts)

    def compiling(self, action: str) -> Iterator[CompiledStatement]:
        return chain.from_iterable(part.compiling(action) for part in self._parts)

    def _find(self, action: str) -> Candidates:
        candidates = [part.candidates(action) for part in self._parts]
        return Candidates(
            tuple(statement for entry in candidates for statement in entry.denies),
            tuple(statement for entry in candidates for statement in entry.allows),
            sum(entry.work for entry in candidates),
            sum(entry.search for entry in candidates),
        )


def join_policies(sets: Iterable[PolicySet]) -> PolicySet:
    """One set of several: what each allows or denies, all of them do.

    A part that many sets share is indexed and compiled once.
    """
    return _JoinedPolicySet(tuple(sets))


def compile_policies(documents: Iterable[tuple[str, PolicyDocument]]) -> PolicySet:
    """A set of policies; each comes with the label that decisions show.

    Labels are policy ARNs or ``inline:NAME``. An empty set allows nothing.
    """
    return PolicySet(tuple(documents))


def _compile(
    label: str, document: PolicyDocument, statement: Statement
) -> CompiledStatement:
    variables = document.has_variables
    principal = None
    if statement.principals is not None:
        principal = PrincipalTest.compile(
            statement.principals,
            excludes=statement.not_principal,
            denies=statement.effect is Effect.DENY,
        )
    return CompiledStatement(
        ref=StatementRef(label, statement.index, statement.sid),
        source=statement,
        resource=_resource_test(statement, variables=variables),
        conditions=tuple(
            compile_condition(c.operator, c.key, c.values, variables=variables)
            for c in statement.conditions
        ),
        principal=principal,
        variables=variables,
        work=statement_work(statement, variables=variables),
    )


def _resource_test(statement: Statement, *, variables: bool) -> ContextTest | None:
    resources = statement.resources
    if resources is None:
        return None
    everything = any(map(is_everything, resources))
    if everything and not statement.not_resource:
        return None
    if everything:
        return lambda _arn, _context: False
    named = compile_resource_patterns(resources, variables=variables)
    if not statement.not_resource:
        return named
    # A pattern whose variable has no value matches nothing, so it excludes nothing.
    return lambda arn, context: not named(arn, context)


def action_test(pattern: str) -> TextTest:
    """A function deciding whether an action, both in lower case, matches a pattern."""
    if pattern.find("*") == len(pattern) - 1 and "?" not in pattern:
        prefix = pattern[:-1]  # the frequent kind, without being taken apart
        return lambda action: action.startswith(prefix)
    return compile_wildcard(tokenize(pattern))


def _none_of(tests: list[TextTest]) -> Callable[[str], bool]:
    return lambda action: not any(test(action) for test in tests)


def _allow_all() -> PolicySet:
    statement = Statement(
        index=0, effect=Effect.ALLOW, actions=("*",), resources=("*",)
    )
    document = PolicyDocument(
        kind=PolicyKind.IDENTITY, version=VERSION_2012, statements=(statement,)
    )
    return compile_policies([("root", document)])


ALLOW_ALL = _allow_all()
"""What the account's root has for identity policies."""
