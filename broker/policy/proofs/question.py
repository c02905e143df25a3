"""Is there a request inside these boxes and outside those?

A point is looked for in each dimension by itself: action, resource, and each condition
key. If one of the boxes outside contains the point, the question is split into the ways
not to be in that box. No box left: a request. No case left: there is none.

Policy variables make it more than that. Values that a condition names are put in, one
after the other. For others, a first attempt lets patterns with variables match whatever
they could: if there is no request even so, there is none. Otherwise some values are
guessed, each of which makes an exact question.

Every approximation errs towards a request, what is too hard is `Undecided`, and a request
counts only if the evaluator agrees about each of the boxes.
"""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import NamedTuple

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.policy.compiled import CompiledStatement, PolicySet
from broker.policy.context import KeyType, has_type
from broker.policy.decision import StatementRef
from broker.policy.evaluate import AccessRequest, matched_statements
from broker.policy.proofs.boxes import (
    ACTIONS,
    Box,
    KeyCondition,
    KeyRule,
    Reader,
    key_rule,
    variable_keys,
)
from broker.policy.proofs.points import Scale, list_points
from broker.policy.proofs.texts import Clause, Literal, Text, find_text, literal_set
from broker.policy.proofs.work import CASES_MAX, STEPS_MAX, ProofWork, Undecided

PINS_MAX = 64
"""Combinations of values that conditions name, of all keys that are variables."""

GUESSES_MAX = 24
"""Combinations of values that are guessed."""

SAMPLES = ("arn:aws:s3:::example", "arn:aws:iam::123456789012:role/example")
"""Resources that are tried before others."""

_GUESSES_OF_KEY_MAX = 8
_READERS_MAX = 8
_SCALES: Mapping[KeyType | None, Scale] = {
    KeyType.NUMERIC: Scale.NUMBER,
    KeyType.DATE: Scale.DATE,
    KeyType.IP: Scale.ADDRESS,
    KeyType.BINARY: Scale.BYTES,
}
"""How values of a type are compared, as a rule."""

_TYPICAL: Mapping[KeyType, str] = {
    KeyType.STRING: "example",
    KeyType.NUMERIC: "1",
    KeyType.BOOLEAN: "true",
    KeyType.DATE: "2026-01-31T12:00:00Z",
    KeyType.BINARY: "QUFB",
    KeyType.IP: "203.0.113.7",
    KeyType.ARN: SAMPLES[1],
}
"""The first guess of a value."""

_UNREAD: Mapping[KeyType, tuple[str, ...]] = {KeyType.IP: ("fe80::1%eth0",)}
"""Values of the type that operators cannot read."""

_WORD = re.compile(r"[0-9A-Za-z_.@-]+")

Facts = Mapping[str, tuple[str, ...]]
"""Values of condition keys, in lower case, that a request has; none: it has no such key."""

EXAMPLE_PRINCIPAL = Principal.user(
    AccountId("123456789012"), user_id="AIDAEXAMPLEEXAMPLE", path="/", name="example"
)
"""The caller of a request, where no policy names principals."""

_Constraint = tuple[str, Literal | KeyCondition]


class Side(NamedTuple):
    """A statement of a set of policies.

    With ``in_parts``, it is only about what it matches with no wildcard of its resources
    beyond a part of an ARN.
    """

    policies: PolicySet
    statement: CompiledStatement
    in_parts: bool = False


class Prover:
    """Answers questions within one amount of work, and remembers what it has read."""

    def __init__(self, steps: int = STEPS_MAX) -> None:
        self.work = ProofWork(steps)
        self._readers: dict[Hashable, Reader] = {}

    def find_request(
        self,
        inside: Sequence[Side],
        outside: Sequence[Side],
        facts: Facts,
        *,
        principal: Principal = EXAMPLE_PRINCIPAL,
        actions: Iterable[str] = (),
    ) -> AccessRequest | None:
        """A request that all statements inside match, and none outside; None for none.

        Principals are not compared: leave out statements that do not match
        ``principal``. ``actions``, in lower case, are tried before others.

        Raises:
            Undecided: it is not known.
        """
        question = _Question(
            tuple(inside), tuple(outside), self, principal, tuple(actions)
        )
        keys = variable_keys(side.statement for side in (*inside, *outside))
        return question.ask(facts, [key for key in keys if key not in facts])

    def reader(self, facts: Facts) -> Reader:
        """What reads statements if a request has these values."""
        key = frozenset(facts.items())
        reader = self._readers.get(key)
        if reader is None:
            if len(self._readers) >= _READERS_MAX:
                self._readers.pop(next(iter(self._readers)))
            reader = self._readers[key] = Reader(facts, self.work)
        return reader


class Case(Struct, frozen=True):
    """A part of a question: what must hold in each dimension."""

    actions: tuple[Clause, ...]
    resources: tuple[Clause, ...]
    keys: tuple[tuple[KeyCondition, bool], ...]


class Point(Struct, frozen=True):
    """A value in each dimension; keys that are not there are absent."""

    action: Text
    resource: Text
    keys: Mapping[str, tuple[Text, ...]]

    def is_in(self, box: Box) -> bool:
        """Whether a box contains the point."""
        texts, wanted = box.actions
        if self.action.is_in(texts) is not wanted:
            return False
        if box.resources is not None:
            texts, wanted = box.resources
            if self.resource.is_in(texts) is not wanted:
                return False
        return all(
            condition.holds(self.keys.get(condition.key, ()))
            for condition in box.conditions
        )


class _Question(Struct, frozen=True):
    """Statements inside and outside; what a request may be otherwise is asked of it."""

    inside: tuple[Side, ...]
    outside: tuple[Side, ...]
    prover: Prover
    principal: Principal
    actions: tuple[str, ...]

    def ask(self, facts: Facts, variables: Sequence[str]) -> AccessRequest | None:
        if not variables:
            return self._decide(facts)
        pins = self._pins(facts, variables)
        rest = [key for key in variables if key not in pins]
        undecided: Undecided | None = None
        for values in product(*pins.values()):
            pinned = {**facts, **{k: (v,) for k, v in zip(pins, values, strict=True)}}
            try:
                request = self._guess(pinned, rest) if rest else self._decide(pinned)
            except Undecided as error:
                undecided = error
            else:
                if request is not None:
                    return request
        if undecided is not None:
            raise undecided
        return None

    def _pins(self, facts: Facts, variables: Sequence[str]) -> dict[str, list[str]]:
        """The values that the statements inside leave to variables."""
        pins: dict[str, list[str]] = {}
        combinations = 1
        for box in self._boxes(self.inside, self.prover.reader(facts)):
            for condition in box.conditions:
                key, values = condition.key, condition.pinning
                if key not in variables or values is None:
                    continue
                if key_rule(key).several or combinations * len(values) > PINS_MAX:
                    continue
                if key not in pins:
                    combinations *= max(1, len(values))
                    pins[key] = sorted(values)
        return pins

    def _guess(self, facts: Facts, variables: Sequence[str]) -> AccessRequest | None:
        """A request by guesses, unless it is proved that there is none."""
        try:
            if self._search(facts) is None:
                return None
        except Undecided:
            pass  # a guess may be simpler
        guesses = [self._guesses(key) for key in variables]
        for values in islice(product(*guesses), GUESSES_MAX):
            try:
                request = self._decide(
                    {**facts, **dict(zip(variables, values, strict=True))}
                )
            except Undecided:
                continue
            if request is not None:
                return request
        raise Undecided("it depends on the values of policy variables")

    def _guesses(self, key: str) -> list[tuple[str, ...]]:
        """Values that the policies suggest for a key, and that it is absent."""
        words: dict[str, None] = {}
        for side in (*self.inside, *self.outside):
            source = side.statement.source
            for condition in source.conditions:
                if condition.key.lower() == key:
                    words.update(
                        dict.fromkeys(v for v in condition.values if "$" not in v)
                    )
            for text in source.resources or ():
                words.update(dict.fromkeys(_WORD.findall(text.rpartition(":")[2])))
        kind = key_rule(key).type or KeyType.STRING
        words.pop(_TYPICAL[kind], None)
        suitable = [(word,) for word in words if has_type(word, kind)]
        return [(_TYPICAL[kind],), (), *suitable[: _GUESSES_OF_KEY_MAX - 2]]

    def _decide(self, facts: Facts) -> AccessRequest | None:
        """An exact answer: the facts leave no variable open.

        Raises:
            Undecided: it is not known, or the evaluator sees it otherwise.
        """
        point = self._search(facts)
        if point is None:
            return None
        values = {
            key: tuple(value.text for value in texts)
            for key, texts in point.keys.items()
            if texts
        }
        request = AccessRequest(
            point.action.text,
            point.resource.text,
            self.principal,
            {**{k: v for k, v in facts.items() if v}, **values},
        )
        self._replay(request)
        return request

    def _replay(self, request: AccessRequest) -> None:
        matching: dict[PolicySet, frozenset[StatementRef]] = {}
        for sides, wanted in ((self.inside, True), (self.outside, False)):
            for policies, statement, _ in sides:
                if policies not in matching:
                    refs = matched_statements(request, policies, bounded=False)
                    matching[policies] = frozenset(refs)
                if (statement.ref in matching[policies]) is not wanted:
                    raise Undecided("the evaluator decides a request otherwise")

    @staticmethod
    def _boxes(sides: Iterable[Side], reader: Reader) -> Iterator[Box]:
        for side in sides:
            box = reader.read(side.policies, side.statement, in_parts=side.in_parts)
            if box is not None:
                yield box

    def _search(self, facts: Facts) -> Point | None:
        reader = self.prover.reader(facts)
        inside = list(self._boxes(self.inside, reader))
        if len(inside) < len(self.inside):
            return None
        outside = list(self._boxes(self.outside, reader))
        work = self.prover.work
        work.charge(len(inside) + len(outside))
        return _Search(facts, work, self.actions).run(inside, outside)


class _Search:
    """The case split; each dimension remembers what it has solved."""

    def __init__(self, facts: Facts, work: ProofWork, actions: tuple[str, ...]) -> None:
        self._facts = facts
        self._work = work
        self._actions = actions
        self._solved: dict[Hashable, Text | None] = {}
        self._solved_keys: dict[Hashable, tuple[Text, ...] | None] = {}

    def run(self, inside: list[Box], outside: list[Box]) -> Point | None:
        """A point inside all and outside all."""
        case = Case((((ACTIONS, True),),), (), ())
        for box in inside:
            case = _narrowed(case, _constraints(box))
        cases = [case]
        taken = 0
        while cases:
            taken += 1
            if taken > CASES_MAX:
                raise Undecided("there are too many cases")
            case = cases.pop()
            point = self._solve(case)
            if point is None:
                continue
            around = next((box for box in outside if self._contains(box, point)), None)
            if around is None:
                return point
            constraints = _constraints(around)
            for index in range(len(constraints) - 1, -1, -1):
                child = _without(
                    _narrowed(case, constraints[:index]), constraints[index]
                )
                cases.append(child)
        return None

    def _contains(self, box: Box, point: Point) -> bool:
        self._work.charge(box.steps)
        return point.is_in(box)

    def _solve(self, case: Case) -> Point | None:
        by_key: dict[str, list[tuple[KeyCondition, bool]]] = {}
        for condition, wanted in case.keys:
            by_key.setdefault(condition.key, []).append((condition, wanted))
        action = self._text("action", case.actions, self._actions)
        if action is None:
            return None
        resource = self._text("resource", case.resources, SAMPLES)
        if resource is None:
            return None
        keys: dict[str, tuple[Text, ...]] = {
            key: tuple(map(Text, values)) for key, values in self._facts.items()
        }
        for key, conditions in by_key.items():
            values = self._key(key, conditions)
            if values is None:
                return None
            keys[key] = values
        return Point(action, resource, keys)

    def _text(
        self, name: str, clauses: tuple[Clause, ...], samples: Iterable[str]
    ) -> Text | None:
        memo = (name, frozenset(clauses))
        if memo not in self._solved:
            self._solved[memo] = find_text(clauses, self._work, samples)
        return self._solved[memo]

    def _key(
        self, key: str, conditions: list[tuple[KeyCondition, bool]]
    ) -> tuple[Text, ...] | None:
        """Values of a key, none if it is to be absent; None if there are none."""
        memo = (key, frozenset(conditions))
        if memo not in self._solved_keys:
            self._solved_keys[memo] = self._find_values(key, conditions)
        return self._solved_keys[memo]

    def _find_values(
        self, key: str, conditions: list[tuple[KeyCondition, bool]]
    ) -> tuple[Text, ...] | None:
        fixed = self._facts.get(key)
        if not fixed and all(c.holds(()) is wanted for c, wanted in conditions):
            return ()
        if fixed == ():
            return None
        rule = key_rule(key)
        if fixed is not None:
            if len(fixed) > 1:
                return _find_fixed(fixed, conditions)
            universe = (*rule.universe, ((literal_set(fixed), True),))
            rule = KeyRule(universe, several=False, type=rule.type)
        valued: list[tuple[KeyCondition, bool]] = []
        for condition, wanted in conditions:
            if condition.presence is None:
                valued.append((condition, wanted))
            elif condition.holds((Text(""),)) is not wanted:
                return None
        return self._values(rule, valued, fixed or ())

    def _values(
        self,
        rule: KeyRule,
        conditions: list[tuple[KeyCondition, bool]],
        samples: tuple[str, ...],
    ) -> tuple[Text, ...] | None:
        """Values that are there."""
        everywhere: list[tuple[KeyCondition, bool]] = []
        somewhere: list[tuple[KeyCondition, bool]] = []
        for condition, wanted in conditions:
            # "Some value is in the set" fails if every value is outside of it.
            (everywhere if condition.every is wanted else somewhere).append(
                (condition, wanted)
            )
        if not rule.several:
            value = self._value(rule, everywhere + somewhere, samples)
            return None if value is None else (value,)
        results: dict[Text, None] = {}
        sets = [[*everywhere, entry] for entry in somewhere] or [everywhere]
        for entries in sets:
            value = self._value(rule, entries, samples)
            if value is None:
                return None
            results[value] = None
        return tuple(results)

    def _value(
        self,
        rule: KeyRule,
        conditions: list[tuple[KeyCondition, bool]],
        samples: tuple[str, ...],
    ) -> Text | None:
        """A value inside some sets and outside others."""
        scales = {c.scale for c, _ in conditions if c.scale is not None}
        clauses = list(rule.universe)
        for condition, wanted in conditions:
            clauses += condition.inside if wanted else condition.outside
        if not scales:
            return self._text("key", tuple(clauses), samples)
        written = [text for c, _ in conditions for text in c.written]
        self._work.charge(len(written) * len(scales))
        tried = [
            text for scale in sorted(scales) for text in list_points(scale, written)
        ]
        if scales == {_SCALES.get(rule.type)} and rule.type is not None:
            typed = [text for text in tried if has_type(text, rule.type)]
            tried = [*typed, *_UNREAD.get(rule.type, ())]
        tried += [
            text
            for clause in clauses
            for texts, _ in clause
            for text in sorted(texts.literals)
        ]
        tried = list(samples or tried)
        self._work.charge(len(tried) * (len(conditions) + len(written) + 1))
        for text in tried:
            value = find_text([*clauses, ((literal_set([text]), True),)], self._work)
            if value is not None and all(
                c.takes(value) is wanted for c, wanted in conditions
            ):
                return value
        if not samples and (clauses or len(scales) > 1):
            raise Undecided("a key is compared both as a text and as another value")
        return None


def _find_fixed(
    fixed: tuple[str, ...], conditions: list[tuple[KeyCondition, bool]]
) -> tuple[Text, ...] | None:
    """Several values that a request is known to have."""
    sets = [t for c, _ in conditions for clause in c.inside for t, _ in clause]
    if any(texts.varying for texts in sets):
        raise Undecided("it depends on the values of policy variables")
    values = tuple(map(Text, fixed))
    return (
        values if all(c.holds(values) is wanted for c, wanted in conditions) else None
    )


def _constraints(box: Box) -> list[tuple[str, Literal | KeyCondition]]:
    """What a point in a box satisfies; the dimension stands first."""
    results: list[tuple[str, Literal | KeyCondition]] = [("action", box.actions)]
    if box.resources is not None:
        results.append(("resource", box.resources))
    results += [("key", condition) for condition in box.conditions]
    return results


def _narrowed(case: Case, constraints: Iterable[_Constraint]) -> Case:
    for constraint in constraints:
        case = _with(case, constraint, wanted=True)
    return case


def _without(case: Case, constraint: _Constraint) -> Case:
    return _with(case, constraint, wanted=False)


def _with(case: Case, constraint: _Constraint, *, wanted: bool) -> Case:
    dimension, content = constraint
    if isinstance(content, KeyCondition):
        entry = (content, wanted)
        if entry in case.keys:
            return case
        return Case(case.actions, case.resources, (*case.keys, entry))
    texts, value = content
    clause: Clause = ((texts, value is wanted),)
    if dimension == "action":
        if clause in case.actions:
            return case
        return Case((*case.actions, clause), case.resources, case.keys)
    if clause in case.resources:
        return case
    return Case(case.actions, (*case.resources, clause), case.keys)
