"""Invariants: requests that no principal of an account may be allowed.

A statement of an invariant has the form of a Deny and denies nothing: what it matches,
no Allow may grant. Resources are compared part by part: a wildcard of the invariant or
of an Allow stays within its part of an ARN, since names with colons in them would let
nearly everything reach everything. Who holds which policies, and which of them changed,
is the caller's to know.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, product
from math import prod

from msgspec import Struct

from broker.model.principal import Principal
from broker.policy.compiled import CompiledStatement, PolicySet, compile_policies
from broker.policy.decision import StatementRef
from broker.policy.document import (
    Condition,
    Effect,
    PolicyDocument,
    PolicyKind,
    Statement,
)
from broker.policy.evaluate import AccessRequest
from broker.policy.proofs.boxes import variable_keys
from broker.policy.proofs.checks import list_action_names, with_written_action
from broker.policy.proofs.question import Facts, Prover, Side
from broker.policy.proofs.work import Undecided

COMBINATIONS_MAX = 256
"""Of an Allow with one of each layer above it."""

_TAGS = "aws:principaltag/"


class Meeting(Struct, frozen=True):
    """Which statements of a policy meet an invariant's, by their position.

    The Allows grant something that it is about; the Denies refuse something of it.
    """

    allows: tuple[int, ...] = ()
    denies: tuple[int, ...] = ()


class PrincipalRules(Struct, frozen=True):
    """What decides about a principal's requests, as far as it meets an invariant.

    Of each layer, one of the Allows must match as well.
    """

    allows: tuple[Side, ...]
    denies: tuple[Side, ...]
    layers: tuple[tuple[Side, ...], ...]

    def sides(self) -> Iterator[Side]:
        """All of them."""
        yield from self.allows
        yield from self.denies
        for layer in self.layers:
            yield from layer


class Breach(Struct, frozen=True):
    """An Allow that grants what an invariant is about: a request, or why it is unknown."""

    allow: StatementRef
    request: AccessRequest | None
    undecided: str = ""


class Asker(Struct, frozen=True):
    """Whose requests are asked about; ``within`` is what holds for each of them.

    ``tags`` are all that they have, by lower-case key; None if they can be any.
    """

    principal: Principal
    facts: Facts
    tags: Mapping[str, tuple[str, ...]] | None
    within: tuple[Side, ...] = ()


def compare_policy(
    policies: PolicySet, stated: Side, within: Sequence[Side], prover: Prover
) -> Meeting:
    """Compare a policy alone with an invariant's statement, for any possible holder.

    What is undecided counts as meeting it.

    Raises:
        Undecided: there is no more work to spend.
    """
    statements = tuple(policies.statements())
    denies = [
        number
        for number, statement in enumerate(statements)
        if statement.source.effect is Effect.DENY
        and _meets([Side(policies, statement), stated, *within], (), prover)
    ]
    taken = [Side(policies, statements[number]) for number in denies]
    allows = [
        number
        for number, statement in enumerate(statements)
        if statement.source.effect is Effect.ALLOW
        and _meets(
            [Side(policies, statement, in_parts=True), stated, *within], taken, prover
        )
    ]
    return Meeting(tuple(allows), tuple(denies))


def _meets(inside: Sequence[Side], outside: Sequence[Side], prover: Prover) -> bool:
    by_name = [s for s in outside if s.statement.principal is None]
    try:
        return prover.find_request(inside, by_name, {}) is not None
    except Undecided:
        if prover.work.left < 0:
            raise
        return True


def find_breach(
    stated: Side,
    suspects: Iterable[Side],
    rules: PrincipalRules,
    excuses: Sequence[PrincipalRules],
    *,
    asker: Asker,
    prover: Prover,
) -> Breach | None:
    """The first suspect that grants what the statement is about, and did not before.

    ``excuses`` are rules of until now: what one of them allowed is left as it was.
    """
    for allow in suspects:
        try:
            request = _find_request(
                *(stated, allow, rules, excuses), asker=asker, prover=prover
            )
        except Undecided as error:
            return Breach(allow.statement.ref, None, error.reason)
        if request is not None:
            return Breach(allow.statement.ref, with_written_action(request))
    return None


def _find_request(
    stated: Side,
    allow: Side,
    rules: PrincipalRules,
    excuses: Sequence[PrincipalRules],
    *,
    asker: Asker,
    prover: Prover,
) -> AccessRequest | None:
    if prod(map(len, rules.layers)) > COMBINATIONS_MAX:
        raise Undecided("too many statements of its boundary and controls apply")
    facts = _facts(asker, (stated, allow, *rules.sides(), *_sides_of(excuses)))
    for others in product(*rules.layers):
        inside = (allow, stated, *others, *asker.within)
        names = list_action_names(inside)
        tried = tuple(names)
        for more, outside in _differences(rules, excuses):
            request = prover.find_request(
                (*inside, *more),
                outside,
                facts,
                principal=asker.principal,
                actions=tried,
            )
            if request is not None:
                return request
    return None


def _differences(
    rules: PrincipalRules, excuses: Sequence[PrincipalRules]
) -> Iterator[tuple[tuple[Side, ...], tuple[Side, ...]]]:
    """The ways in which none of the excuses allowed a request: inside, and outside."""
    ways = [list(_refusals(excuse, rules)) for excuse in excuses]
    if prod(map(len, ways)) > COMBINATIONS_MAX:
        raise Undecided("too many statements applied before")
    for picked in product(*ways):
        inside = chain.from_iterable(more for more, _ in picked)
        outside = chain.from_iterable(others for _, others in picked)
        yield tuple(inside), (*rules.denies, *outside)


def _refusals(
    excuse: PrincipalRules, rules: PrincipalRules
) -> Iterator[tuple[tuple[Side, ...], tuple[Side, ...]]]:
    """The ways in which an excuse did not allow what other rules do not deny."""
    yield (), excuse.allows
    for deny in excuse.denies:
        if deny not in rules.denies:
            yield (deny,), ()
    for layer in excuse.layers:
        yield (), layer


def _sides_of(excuses: Sequence[PrincipalRules]) -> Iterable[Side]:
    return chain.from_iterable(excuse.sides() for excuse in excuses)


def _facts(asker: Asker, sides: Iterable[Side]) -> Facts:
    """What is known of the principal's requests; tags that it lacks are absent."""
    if asker.tags is None:
        return asker.facts
    statements = [side.statement for side in sides]
    keys = {key for key in variable_keys(statements) if key.startswith(_TAGS)}
    for statement in statements:
        for condition in statement.source.conditions:
            key = condition.key.lower()
            if key.startswith(_TAGS):
                keys.add(key)
    return {
        **asker.facts,
        **{key: asker.tags.get(key.removeprefix(_TAGS), ()) for key in keys},
    }


def sides_of(policies: PolicySet, numbers: Iterable[int]) -> Iterator[Side]:
    """Statements of a policy by their position; Allows are compared part by part."""
    statements: tuple[CompiledStatement, ...] = tuple(policies.statements())
    for number in numbers:
        statement = statements[number]
        allows = statement.source.effect is Effect.ALLOW
        yield Side(policies, statement, in_parts=allows)


def stated_sides(policies: PolicySet) -> tuple[Side, ...]:
    """The statements of an invariant."""
    return tuple(Side(policies, s, in_parts=True) for s in policies.statements())


def on_resources(resources: Sequence[str]) -> Side:
    """What all requests on some resources match."""
    return _made(
        Statement(
            index=0, effect=Effect.ALLOW, actions=("*",), resources=tuple(resources)
        )
    )


def with_value(operator: str, key: str, value: str) -> Side:
    """What all requests with such a value match."""
    return _made(
        Statement(
            index=0,
            effect=Effect.ALLOW,
            actions=("*",),
            resources=("*",),
            conditions=(Condition(operator, key, (value,)),),
        )
    )


def _made(statement: Statement) -> Side:
    document = PolicyDocument(
        kind=PolicyKind.IDENTITY, version="", statements=(statement,)
    )
    policies = compile_policies([("request", document)])
    return Side(policies, next(policies.statements()))
