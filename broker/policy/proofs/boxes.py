"""A statement as a box: the actions, resources and values of keys that it is about.

It is made of the same forms that the evaluator compiles (`read_resource_patterns`,
`read_arn_patterns`, `parse_operator` and the operator's two properties), and its sets
decide by the evaluator's own tests. `Reader` has the values of keys that are known; a
pattern with another variable stands for what it may match.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from msgspec import Struct

from broker.policy.arn_pattern import (
    ArnPattern,
    ContextTest,
    compile_arn_patterns,
    compile_resource_patterns,
    is_everything,
    read_arn_patterns,
    read_resource_patterns,
)
from broker.policy.compiled import CompiledStatement, PolicySet, action_test
from broker.policy.conditions import Operator, accepted_presence, parse_operator
from broker.policy.conditions.string import (
    ARN_LIKE,
    STRING_EQUALS_IGNORE_CASE,
    STRING_LIKE,
)
from broker.policy.conditions.values import BOOL, BOOLEANS, ValueTest
from broker.policy.context import KeySource, KeyType
from broker.policy.document import Condition
from broker.policy.issuer_claims import find_context_key
from broker.policy.proofs.points import Scale
from broker.policy.proofs.texts import (
    ANY_CHARACTER,
    PART_CHARACTER,
    Clause,
    Glob,
    Literal,
    Loop,
    Text,
    TextSet,
    make_glob,
    make_part_glob,
)
from broker.policy.proofs.work import ProofWork, Undecided
from broker.policy.variables import (
    Context,
    Template,
    Variable,
    find_variables,
    parse_template,
    resolve_template,
)
from broker.policy.wildcard import Token, Wild, tokenize

_ABSENT, _PRESENT = "true", "false"
"""What ``Null`` calls them."""

_SCALES: Mapping[str, Scale] = {
    "Numeric": Scale.NUMBER,
    "Date": Scale.DATE,
    "IpAddress": Scale.ADDRESS,
    "NotIpAddress": Scale.ADDRESS,
    "Binary": Scale.BYTES,
}
"""By how the names of the operators begin."""

_COLONS = 5
_CHARACTERS_A_STEP = 8

_ARN_TOKENS: tuple[Token, ...] = ("arn:", *((Wild.STAR, ":") * 4), Wild.STAR)
ARNS = TextSet(
    [make_glob(_ARN_TOKENS)],
    lambda text: text.startswith("arn:") and text.count(":") >= _COLONS,
)
"""What the ARN operators take for an ARN."""

BOOLEAN_TEXTS = TextSet(
    [make_glob([text], fold=True) for text in BOOLEANS],
    lambda text: text.lower() in BOOLEANS,
)

ACTIONS = TextSet(
    [
        Glob.of(
            (PART_CHARACTER, ":", ANY_CHARACTER),
            (Loop.NONE, Loop.PART, Loop.NONE, Loop.ANY),
        )
    ],
    lambda text: all(text.partition(":")),
)
"""A service, a colon and a name."""


class KeyRule(NamedTuple):
    """What values a key can have: ``universe`` holds for each of them."""

    universe: tuple[Clause, ...]
    several: bool
    type: KeyType | None


def key_rule(key: str) -> KeyRule:
    """The rule of a key, in lower case; an unknown one can have any values."""
    known = find_context_key(key)
    if known is None:
        return KeyRule((), several=True, type=None)
    sets = {KeyType.ARN: ARNS, KeyType.BOOLEAN: BOOLEAN_TEXTS}
    texts = sets.get(known.type)
    universe = () if texts is None else (((texts, True),),)
    # A claim of a token can be a list.
    several = known.multivalued or known.source is KeySource.PROOF
    return KeyRule(universe, several, known.type)


class KeyCondition(Struct, frozen=True, eq=False):
    """A condition as a set of values, of which one or every value of a key must be.

    Of texts, ``inside`` are the clauses that hold for a value in the set and ``outside``
    those for any other. ``test`` decides for values of a ``scale``. A condition that
    looks for presence alone has ``presence``.
    """

    key: str
    every: bool = False
    absent: bool = False
    presence: frozenset[str] | None = None
    inside: tuple[Clause, ...] = ()
    outside: tuple[Clause, ...] = ()
    scale: Scale | None = None
    written: tuple[str, ...] = ()
    test: ValueTest | None = None
    pinning: frozenset[str] | None = None
    """The only values that a key with one value can have."""

    @property
    def steps(self) -> int:
        """What it takes to find out if values satisfy it."""
        sets = (texts for clause in self.inside for texts, _ in clause)
        return 1 + len(self.written) + sum(texts.test_steps for texts in sets)

    def takes(self, value: Text) -> bool:
        """Whether a value is in the set."""
        if self.test is not None:
            return self.test(value.text, {})
        return all(
            any(value.is_in(texts) is wanted for texts, wanted in clause)
            for clause in self.inside
        )

    def holds(self, values: tuple[Text, ...]) -> bool:
        """Whether the condition holds for the values of a key; none if it is absent."""
        if self.presence is not None:
            return (_PRESENT if values else _ABSENT) in self.presence
        if not values:
            return self.absent
        return (all if self.every else any)(map(self.takes, values))


class Box(Struct, frozen=True, eq=False):
    """A statement of a set of policies; no ``resources`` are every resource.

    ``steps`` is what it takes to find out if a request is in it.
    """

    policies: PolicySet
    statement: CompiledStatement
    actions: Literal
    resources: Literal | None
    conditions: tuple[KeyCondition, ...]
    steps: int


class Reader:
    """Makes boxes; ``pinned`` has the values of keys that are known (none: absent)."""

    def __init__(self, pinned: Mapping[str, tuple[str, ...]], work: ProofWork) -> None:
        self._work = work
        self._pinned = pinned
        self._boxes: dict[tuple[int, bool], tuple[CompiledStatement, Box | None]] = {}
        self._context: Context = {k: v for k, v in pinned.items() if v}
        self._sets: dict[Hashable, TextSet] = {}
        self._conditions: dict[Hashable, KeyCondition] = {}

    def read(
        self,
        policies: PolicySet,
        statement: CompiledStatement,
        *,
        in_parts: bool = False,
    ) -> Box | None:
        """The box of a statement; None if it is about no request.

        With ``in_parts``, no wildcard of its resources goes beyond a part of an ARN.

        Raises:
            Undecided: its texts cannot be compared.
        """
        # The statement is kept with its box, so that its number stays its own.
        key = (id(statement), in_parts)
        entry = self._boxes.get(key)
        if entry is None:
            box = self._read(policies, statement, in_parts=in_parts)
            entry = self._boxes[key] = (statement, box)
        return entry[1]

    def _read(
        self, policies: PolicySet, statement: CompiledStatement, *, in_parts: bool
    ) -> Box | None:
        source, resources = statement.source, None
        if source.resources is not None:
            everything = any(map(is_everything, source.resources))
            if everything and source.not_resource:
                return None
            if not everything:
                texts = self._of_resources(
                    source.resources, variables=statement.variables, in_parts=in_parts
                )
                resources = (texts, not source.not_resource)
        actions = self._of_actions(source.actions)
        conditions = tuple(
            self._condition(condition, variables=statement.variables)
            for condition in source.conditions
        )
        sets = [actions, *([] if resources is None else resources[:1])]
        steps = sum(texts.test_steps for texts in sets)
        return Box(
            policies,
            statement,
            (actions, not source.not_action),
            resources,
            conditions,
            steps + sum(condition.steps for condition in conditions),
        )

    def _of_actions(self, written: tuple[str, ...]) -> TextSet:
        key = ("action", written)
        texts = self._sets.get(key)
        if texts is None:
            patterns = [action.lower() for action in written]
            exact = frozenset(p for p in patterns if "*" not in p and "?" not in p)
            tests = [action_test(p) for p in patterns if p not in exact]
            self._charge(patterns)
            texts = self._sets[key] = TextSet(
                [make_glob(tokenize(pattern)) for pattern in dict.fromkeys(patterns)],
                lambda text: text in exact or any(test(text) for test in tests),
            )
        return texts

    def _of_resources(
        self, written: tuple[str, ...], *, variables: bool, in_parts: bool
    ) -> TextSet:
        read = partial(read_resource_patterns, in_parts=in_parts)
        return self._set(
            f"resource{in_parts}",
            written,
            lambda text: self._by_arn(read, text, variables=variables),
            lambda texts: compile_resource_patterns(
                texts, variables=variables, in_parts=in_parts
            ),
            variables=variables,
        )

    def _set(
        self,
        name: str,
        written: tuple[str, ...],
        globs: Callable[[str], Iterable[Glob]],
        compile_test: Callable[[tuple[str, ...]], ContextTest],
        *,
        variables: bool,
    ) -> TextSet:
        key = (name, written, variables)
        texts = self._sets.get(key)
        if texts is None:
            self._charge(written)
            settled = tuple(
                text for text in written if not (variables and self._is_open(text))
            )
            test, context = compile_test(settled), self._context
            texts = self._sets[key] = TextSet(
                [glob for text in dict.fromkeys(written) for glob in globs(text)],
                lambda text: test(text, context),
            )
        return texts

    def _charge(self, written: Iterable[str]) -> None:
        """Count what it takes to read texts."""
        self._work.charge(sum(1 + len(text) // _CHARACTERS_A_STEP for text in written))

    def _is_open(self, text: str) -> bool:
        return any(v.key not in self._pinned for v in find_variables((text,)))

    def _by_arn(
        self,
        read: Callable[..., tuple[ArnPattern, ...]],
        text: str,
        *,
        variables: bool,
    ) -> Iterator[Glob]:
        for pattern in read((text,), variables=variables):
            name = None
            if variables and self._is_open(text):
                name = (pattern.by_part, pattern.joined)
            if not pattern.by_part:
                tokens = self._resolve(pattern.joined)
                if tokens is not None:
                    yield make_glob(tokens, variable=name)
                continue
            parts = [self._resolve(part) for part in pattern.parts]
            complete = [part for part in parts if part is not None]
            glob = make_part_glob(complete, name)
            if len(complete) == len(parts) and glob is not None:
                yield glob

    def _resolve(self, template: Template) -> tuple[Token, ...] | None:
        """The template with known values, and stars for others; None matches nothing."""
        open_ = tuple(
            Wild.STAR
            if isinstance(token, Variable) and token.key not in self._pinned
            else token
            for token in template
        )
        return resolve_template(open_, self._context)

    def _condition(self, written: Condition, *, variables: bool) -> KeyCondition:
        key = (written, variables)
        condition = self._conditions.get(key)
        if condition is None:
            condition = self._conditions[key] = self._read_condition(
                written, variables=variables
            )
        return condition

    def _read_condition(self, written: Condition, *, variables: bool) -> KeyCondition:
        operator, name = parse_operator(written.operator), written.key.lower()
        family = operator.family
        if family is None:
            return KeyCondition(name, presence=accepted_presence(written.values))
        every, absent = operator.wants_every_value, operator.accepts_absence
        scale = next(
            (s for n, s in _SCALES.items() if operator.name.startswith(n)), None
        )
        if scale is not None:
            test = family.compile(written.values, operator.negated, variables)
            return KeyCondition(
                name, every, absent, scale=scale, written=written.values, test=test
            )
        texts = self._of_values(operator, written.values, variables=variables)
        wanted = not operator.negated
        if family is not ARN_LIKE:
            pinning = None
            if wanted and not absent and not texts.varying and not texts.others:
                pinning = texts.literals
            return KeyCondition(
                name,
                every,
                absent,
                inside=(((texts, wanted),),),
                outside=(((texts, not wanted),),),
                pinning=pinning,
            )
        return KeyCondition(
            name,
            every,
            absent,
            inside=(((ARNS, True),), ((texts, wanted),)),
            outside=(((ARNS, False), (texts, not wanted)),),
        )

    def _of_values(
        self,
        operator: Operator,
        written: tuple[str, ...],
        *,
        variables: bool,
    ) -> TextSet:
        family = operator.family
        if family is ARN_LIKE:
            return self._set(
                "arn",
                written,
                lambda text: self._by_arn(read_arn_patterns, text, variables=variables),
                lambda texts: compile_arn_patterns(texts, variables=variables),
                variables=variables,
            )
        if family is None or family is BOOL:
            accepted = BOOLEANS.intersection(value.lower() for value in written)
            return TextSet(
                [make_glob([text], fold=True) for text in sorted(accepted)],
                lambda text: text.lower() in accepted,
            )
        fold, like = family is STRING_EQUALS_IGNORE_CASE, family is STRING_LIKE
        compile_values = family.compile
        return self._set(
            f"{fold}{like}",
            written,
            lambda text: self._by_text(
                text, variables=variables, fold=fold, wildcards=like
            ),
            lambda texts: compile_values(texts, False, variables),  # noqa: FBT003  # the shape of every family
            variables=variables,
        )

    def _by_text(
        self,
        text: str,
        *,
        variables: bool,
        fold: bool,
        wildcards: bool,
    ) -> Iterator[Glob]:
        template = parse_template(text, variables=variables, wildcards=wildcards)
        name = None
        if variables and self._is_open(text):
            name = (fold, wildcards, template)
        tokens = self._resolve(template)
        if tokens is None:
            return
        if fold:
            literal = "".join(token for token in tokens if isinstance(token, str))
            if not literal.isascii():
                raise Undecided(
                    "a text is compared without its case that is not plain ASCII"
                )
            tokens = tuple(t.lower() if isinstance(t, str) else t for t in tokens)
        yield make_glob(tokens, fold=fold, variable=name)


def variable_keys(statements: Iterable[CompiledStatement]) -> tuple[str, ...]:
    """The keys whose values are variables in the statements, in lower case."""
    results: dict[str, None] = {}
    for statement in statements:
        if not statement.variables:
            continue
        source = statement.source
        texts = list(source.resources or ())
        for condition in source.conditions:
            family = parse_operator(condition.operator).family
            if family is not None and family.takes_variables:
                texts += condition.values
        results.update((v.key, None) for v in find_variables(texts))
    return tuple(results)


def set_of(texts: Iterable[str]) -> TextSet:
    """The texts themselves."""
    literals = frozenset(texts)
    return TextSet([make_glob([t]) for t in sorted(literals)], literals.__contains__)
