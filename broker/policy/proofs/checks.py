"""The checks of policies, as questions: what does a text grant, and does it grant more?

Each Allow is asked about by itself, so that the answer names the statements. An Allow
passes if no request is granted by it that should not be; it fails with a request that is,
or undecided. A check yields between its questions, so that others can have a turn.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence

from msgspec import Struct

from broker.policy.catalogue import ActionEntry, expand_action, find_action
from broker.policy.compiled import PolicySet, compile_policies
from broker.policy.document import (
    Condition,
    Effect,
    PolicyDocument,
    PolicyKind,
    Statement,
)
from broker.policy.evaluate import AccessRequest
from broker.policy.principal import PrincipalGrant
from broker.policy.proofs.principals import PrincipalClass, list_classes
from broker.policy.proofs.question import EXAMPLE_PRINCIPAL, Prover, Side
from broker.policy.proofs.work import STEPS_MAX, Undecided

_ACTIONS_TRIED_MAX = 40
"""Names of actions that are tried before others, so that a request reads well."""

_TYPICAL_ACTIONS = ("s3:getobject", "iam:createuser", "ec2:runinstances")

FIXING_KEYS = (
    *("aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalOrgID"),
    *("aws:SourceAccount", "aws:SourceArn", "aws:SourceOrgID", "aws:userid"),
    *("aws:SourceVpc", "aws:SourceVpce", "aws:FederatedProvider"),
)
"""Keys whose values, if written without wildcards, name who is meant.

Source: IAM Access Analyzer and S3 User Guides, "The meaning of public".
"""

_WIDEST_V4, _WIDEST_V6 = 8, 32
"""The shortest prefixes that narrow a policy down: shorter ones are open to the public."""

_ACCOUNT_PART = 4
_PARTS = 6
_UNNAMED = PrincipalClass(EXAMPLE_PRINCIPAL, {}, stranger=False)


class Reason(Struct, frozen=True):
    """An Allow that fails a check: with a request, or else ``undecided`` and why.

    ``index`` counts from 0 within its document.
    """

    index: int
    sid: str | None
    request: AccessRequest | None
    undecided: str = ""


Reasons = Generator[None, None, tuple[Reason, ...]]
"""The work of a check, and what it returns."""


def access_not_granted(
    policies: PolicySet,
    asked: Iterable[tuple[Sequence[str], Sequence[str]]],
    steps: int = STEPS_MAX,
) -> Reasons:
    """The Allows that grant one of some actions on one of some resources.

    In an entry of ``asked``, an empty list of actions or resources means all of them.
    """
    statements = tuple(
        Statement(
            index=index,
            effect=Effect.ALLOW,
            actions=tuple(actions) or ("*",),
            resources=tuple(resources) or ("*",),
        )
        for index, (actions, resources) in enumerate(asked)
    )
    access = _sides(_made("asked", statements, version=""))
    check = _Check((policies,), steps)
    return (
        yield from check.run(
            _allows(policies), [[side] for side in access], _denies(policies), ()
        )
    )


def no_new_access(
    new: PolicySet, existing: PolicySet, steps: int = STEPS_MAX
) -> Reasons:
    """The Allows of ``new`` that grant what ``existing`` does not."""
    check = _Check((new, existing), steps)
    allows, denies = _allows(new), _denies(new)
    fresh = yield from check.run(allows, [[]], denies, _allows(existing))
    failing = {reason.index for reason in fresh}
    rest = [side for side in allows if side.statement.ref.index not in failing]
    lost = [[side] for side in _denies(existing)]
    again = (yield from check.run(rest, lost, denies, ())) if lost else ()
    return tuple(sorted((*fresh, *again), key=lambda reason: reason.index))


def no_public_access(policies: PolicySet, steps: int = STEPS_MAX) -> Reasons:
    """The Allows that grant something to strangers whom nothing identifies."""
    check = _Check((policies,), steps, strangers=True)
    own = _sides(_own_values(policies))
    outside = [*_denies(policies), *own]
    return (yield from check.run(_allows(policies), [[]], outside, ()))


class _Check:
    """One check: its work, and the classes of principals that its policies tell apart."""

    def __init__(
        self, sets: tuple[PolicySet, ...], steps: int, *, strangers: bool = False
    ) -> None:
        self._prover = Prover(steps)
        self._sets = sets
        self._strangers = strangers

    def run(
        self,
        allows: Iterable[Side],
        inside: Sequence[Sequence[Side]],
        outside: Sequence[Side],
        covering: Sequence[Side],
    ) -> Reasons:
        """Look for a request of each Allow inside one of ``inside`` and outside others.

        Of ``covering`` only those count that grant as directly as the Allow.
        """
        results: list[Reason] = []
        undecided = ""
        classes: tuple[PrincipalClass, ...] = ()
        try:
            classes = self._classes()
        except Undecided as error:
            undecided = error.reason
        for side in allows:
            reason = None
            ref = side.statement.ref
            if undecided:
                reason = Reason(ref.index, ref.sid, None, undecided)
            for entry in classes:
                for more in inside:
                    yield
                    after = self._ask(side, more, outside, covering, entry)
                    reason = after if reason is None or reason.undecided else reason
                    if after is not None and after.request is not None:
                        reason = after
                        break
                if reason is not None and reason.request is not None:
                    break
            if reason is not None:
                results.append(reason)
        return tuple(results)

    def _classes(self) -> tuple[PrincipalClass, ...]:
        elements = [
            statement.source.principals
            for policies in self._sets
            for statement in policies.statements()
            if statement.source.principals is not None
        ]
        if not elements:
            return (_UNNAMED,)
        classes = list_classes(elements)
        if not self._strangers:
            return classes
        return tuple(entry for entry in classes if entry.stranger)

    def _ask(
        self,
        side: Side,
        more: Sequence[Side],
        outside: Sequence[Side],
        covering: Sequence[Side],
        entry: PrincipalClass,
    ) -> Reason | None:
        """A request of one class; a reason without one if it is undecided."""
        grant = _grant(side, entry)
        inside = [side, *more]
        if any(_grant(each, entry) is PrincipalGrant.NONE for each in inside):
            return None
        rest = [s for s in outside if _grant(s, entry) is not PrincipalGrant.NONE]
        rest += [s for s in covering if _grant(s, entry) >= grant]
        ref = side.statement.ref
        try:
            request = self._prover.find_request(
                inside,
                rest,
                entry.facts,
                principal=entry.principal,
                actions=list_action_names(inside),
            )
        except Undecided as error:
            return Reason(ref.index, ref.sid, None, error.reason)
        if request is None:
            return None
        return Reason(ref.index, ref.sid, with_written_action(request))


def _grant(side: Side, entry: PrincipalClass) -> PrincipalGrant:
    test = side.statement.principal
    return PrincipalGrant.DIRECT if test is None else test.grant(entry.principal)


def _sides(policies: PolicySet) -> list[Side]:
    return [Side(policies, statement) for statement in policies.statements()]


def _of_effect(policies: PolicySet, effect: Effect) -> list[Side]:
    return [s for s in _sides(policies) if s.statement.source.effect is effect]


def _allows(policies: PolicySet) -> list[Side]:
    return _of_effect(policies, Effect.ALLOW)


def _denies(policies: PolicySet) -> list[Side]:
    return _of_effect(policies, Effect.DENY)


def _made(label: str, statements: tuple[Statement, ...], version: str) -> PolicySet:
    document = PolicyDocument(
        kind=PolicyKind.IDENTITY, version=version, statements=statements
    )
    return compile_policies([(label, document)])


def list_action_names(sides: Iterable[Side]) -> Iterator[str]:
    """Names of actions that the catalogue has for the statements' patterns."""
    results: dict[str, None] = {}
    for side in sides:
        source = side.statement.source
        patterns = [] if source.not_action else source.actions
        for pattern in patterns:
            service = pattern.partition(":")[0]
            if len(results) >= _ACTIONS_TRIED_MAX:
                break
            if service != "*" and ("*" in pattern or "?" in pattern):
                entries = expand_action(pattern)[:_ACTIONS_TRIED_MAX]
                results.update((_written(entry).lower(), None) for entry in entries)
    results.update(dict.fromkeys(_TYPICAL_ACTIONS))
    return iter(results)


def with_written_action(request: AccessRequest) -> AccessRequest:
    """The request, its action written as the catalogue writes it."""
    entry = find_action(request.action)
    if entry is None:
        return request
    return AccessRequest(
        _written(entry), request.resource, request.principal, request.context
    )


def _written(entry: ActionEntry) -> str:
    return f"{entry.service}:{entry.name}"


def _own_values(policies: PolicySet) -> PolicySet:
    """Statements that match requests with the fixed values that the policies name."""
    written: dict[str, list[str]] = {}
    ranges: list[str] = []
    known = {key.lower(): key for key in FIXING_KEYS}
    for statement in policies.statements():
        if statement.source.effect is Effect.DENY:
            continue
        for condition in statement.source.conditions:
            key = condition.key.lower()
            if key == "aws:sourceip":
                ranges += filter(_is_narrow, condition.values)
            elif key in known:
                for value in condition.values:
                    written.setdefault(known[key], []).extend(_fixed(value))
    conditions = [
        Condition("ForAllValues:StringLike", key, tuple(dict.fromkeys(values)))
        for key, values in written.items()
        if values
    ]
    if ranges:
        conditions.append(Condition("IpAddress", "aws:SourceIp", tuple(ranges)))
    return _made(
        "own",
        tuple(
            Statement(
                index=index,
                effect=Effect.ALLOW,
                actions=("*",),
                resources=("*",),
                conditions=(
                    condition,
                    *(
                        [Condition("Null", condition.key, ("false",))]
                        if condition.key != "aws:SourceIp"
                        else []
                    ),
                ),
            )
            for index, condition in enumerate(conditions)
        ),
        version="",
    )


def _fixed(value: str) -> Iterator[str]:
    """What values with the same owner look like; nothing if a value names no owner."""
    if "${" in value:
        return
    if "*" not in value and "?" not in value:
        yield value
        return
    parts = value.split(":", _PARTS - 1)
    account = parts[_ACCOUNT_PART] if len(parts) == _PARTS else ""
    if account.isdigit():
        yield f"arn:*:*:*:{account}:*"


def _is_narrow(value: str) -> bool:
    address, slash, length = value.partition("/")
    if not slash:
        return True
    widest = _WIDEST_V6 if ":" in address else _WIDEST_V4
    return length.isdigit() and int(length) >= widest
