"""Compares what users and roles may do with an account's invariants.

Texts are compared once with each statement, and remembered by digest. It runs on another
thread, in steps; what it reads was read before.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from broker.kinds.control_policies import ControlPolicy
from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.permit.holders import SESSION, HeldPolicy, PolicyHolder
from broker.policy import (
    PolicyKind,
    PolicyRejected,
    PolicySet,
    compile_policies,
    parse_policy,
)
from broker.policy.principal import PrincipalGrant
from broker.policy.proofs import Prover, Side, Undecided
from broker.policy.proofs.invariants import (
    Asker,
    Breach,
    Meeting,
    PrincipalRules,
    compare_policy,
    find_breach,
    on_resources,
    sides_of,
    stated_sides,
    with_value,
)
from broker.runtime.bounded import BoundedCache
from broker.runtime.offload import Steps

_SETS_MAX = 256
_ENTRY_BYTES = 256
_BYTES_A_CHARACTER = 30
"""Of a compiled invariant."""

_SELF_EVIDENT = frozenset(
    {
        "aws:principalarn",
        "aws:principalaccount",
        "aws:principaltype",
        "aws:principalisawsservice",
        "aws:userid",
        "aws:username",
    }
)

_MEETINGS = BoundedCache[bytes, Meeting]()
"""How texts compare with statements of invariants, by digests of both."""

_STATED = BoundedCache[bytes, tuple[Side, ...]]()
"""Statements of invariants, by digest of the text."""


class HolderSnapshot(Struct, frozen=True):
    """Some holders, by unique id, and what limits all of them."""

    holders: Mapping[str, PolicyHolder]
    controls: tuple[HeldPolicy, ...]


class BrokenInvariant(Struct, frozen=True):
    """An invariant that a principal breaks."""

    invariant: str
    principal: str
    breach: Breach

    def __str__(self) -> str:
        return self._sentence("would be")

    @property
    def as_it_is(self) -> str:
        """The same about what is already so."""
        return self._sentence("is")

    def _sentence(self, verb: str) -> str:
        allow, request = self.breach.allow, self.breach.request
        if request is None:
            return (
                f"It cannot be decided if the invariant {self.invariant} holds for"
                f" {self.principal}, by {allow}: {self.breach.undecided}"
            )
        context = "".join(
            f", {key} = {' and '.join(values)}"
            for key, values in sorted(request.context.items())
            if key not in _SELF_EVIDENT
        )
        return (
            f"The invariant {self.invariant} {verb} broken: {self.principal} could"
            f" {request.action} on {request.resource}{context}, by {allow}"
        )


class Stated(Struct, frozen=True):
    """A statement of an invariant."""

    invariant: ControlPolicy
    side: Side
    key: bytes
    is_new: bool


def read_invariants(
    account: AccountId,
    invariants: Iterable[ControlPolicy],
    kept: Sequence[ControlPolicy],
) -> list[Stated]:
    """The statements of invariants, of which these were there before."""
    results = []
    for invariant in invariants:
        digest = _digest(invariant.name, invariant.text)
        sides = _STATED.get(account, digest)
        if sides is None:
            held = HeldPolicy(invariant.name, PolicyKind.IDENTITY, invariant.text)
            sides = stated_sides(_compile(held))
            size = _BYTES_A_CHARACTER * len(invariant.text)
            _STATED.put(account, digest, sides, size)
        for number, side in enumerate(sides):
            key = _digest(str(number), invariant.text)
            results.append(Stated(invariant, side, key, invariant not in kept))
    return results


class Comparison:
    """Compares the policies of some holders; runs on another thread, in steps."""

    def __init__(
        self, account: AccountId, steps: int, findings_max: int, *, is_first: bool
    ) -> None:
        self._findings_max = findings_max
        self.prover = Prover(steps)
        self.findings: list[BrokenInvariant] = []
        self._account = account
        self._is_first = is_first
        self._sets: dict[HeldPolicy, PolicySet] = {}
        self._digests: dict[HeldPolicy, bytes] = {}

    def relevant(
        self, texts: Sequence[HeldPolicy], stated: Sequence[Stated]
    ) -> Steps[tuple[HeldPolicy, ...]]:
        """The texts that may grant what an invariant is about."""
        results = []
        for text in texts:
            yield
            try:
                if any(self._meeting(text, entry).allows for entry in stated):
                    results.append(text)
            except Undecided:
                results.append(text)  # judging it will say so
        return tuple(results)

    def identities(
        self, stated: Sequence[Stated], now: HolderSnapshot, there: HolderSnapshot
    ) -> Steps[list[tuple[str, Stated]]]:
        """Judge what holders' own policies grant; of whom all is to be judged."""
        whole: list[tuple[str, Stated]] = []
        for holder_id, holder in now.holders.items():
            earlier = there.holders.get(holder_id)
            if (
                holder == earlier
                and self._is_first
                and now.controls == there.controls
                and not any(entry.is_new for entry in stated)
            ):
                continue
            for entry in stated:
                if len(self.findings) >= self._findings_max:
                    return []
                yield
                try:
                    texts = self._suspects(entry, holder, earlier, now, there)
                    if texts is None:
                        whole.append((holder_id, entry))
                        texts = holder.identity
                    suspects = tuple(self._of(texts, entry, denies=False))
                    if not suspects:
                        continue
                    rules = self._rules(holder, now.controls, entry)
                    excuses = self._excuses(entry, holder, earlier, there)
                except Undecided as error:
                    self._give_up(entry, holder, error)
                    return []
                self._look(entry, holder, suspects, rules, excuses)
        return whole

    def resources(
        self,
        stated: Sequence[Stated],
        now: HolderSnapshot,
        there: HolderSnapshot,
        whole: Sequence[tuple[str, Stated]],
        *,
        every: Sequence[HeldPolicy],
        changed: Sequence[HeldPolicy],
    ) -> Steps[None]:
        """Judge what policies of resources grant to holders."""
        pairs = [
            *((holder_id, entry, every) for holder_id, entry in whole),
            *(
                (holder_id, entry, changed)
                for holder_id in now.holders
                for entry in stated
                if changed
            ),
        ]
        for holder_id, entry, texts in pairs:
            holder = now.holders[holder_id]
            for text in texts:
                if len(self.findings) >= self._findings_max:
                    return
                yield
                try:
                    if not self._meeting(text, entry).allows:
                        continue
                    was_there = self._is_first and text not in changed
                    for principal in _principals(holder, self._set(text)):
                        self._look_at_resource(
                            *(entry, holder_id, principal, text),
                            now=now,
                            there=there,
                            was_there=was_there,
                        )
                except Undecided as error:
                    self._give_up(entry, holder, error)
                    return

    def _look_at_resource(
        self,
        entry: Stated,
        holder_id: str,
        principal: Principal,
        text: HeldPolicy,
        *,
        now: HolderSnapshot,
        there: HolderSnapshot,
        was_there: bool,
    ) -> None:
        holder, earlier = now.holders[holder_id], there.holders.get(holder_id)
        policies = self._set(text)
        bounded = holder.boundary is not None
        meeting = self._meeting(text, entry)
        own = tuple(
            side
            for side in sides_of(policies, meeting.denies)
            if _grant(side, principal, bounded=bounded) is not PrincipalGrant.NONE
        )
        for side in sides_of(policies, meeting.allows):
            grant = _grant(side, principal, bounded=bounded)
            if grant < PrincipalGrant.ROLE:
                continue  # it needs what the principal has itself
            is_bounded = grant is PrincipalGrant.ROLE
            limits = self._rules(holder, now.controls, entry, is_bounded=is_bounded)
            rules = _granting(side, own, limits)
            excuses = self._excuses(entry, holder, earlier, there)
            if was_there and excuses and earlier is not None:
                limits = self._rules(
                    earlier, there.controls, entry, is_bounded=is_bounded
                )
                excuses = (*excuses, _granting(side, own, limits))
            self._look(
                *(entry, holder, (side,), rules, excuses),
                principal=principal,
                within=(_of_resource(text),),
            )

    def _suspects(
        self,
        entry: Stated,
        holder: PolicyHolder,
        earlier: PolicyHolder | None,
        now: HolderSnapshot,
        there: HolderSnapshot,
    ) -> tuple[HeldPolicy, ...] | None:
        """The texts that can grant more than before; None if all can."""
        if entry.is_new or earlier is None or not self._is_first:
            return None
        if (holder.principal, holder.tags, holder.boundary, now.controls) != (
            earlier.principal,
            earlier.tags,
            earlier.boundary,
            there.controls,
        ):
            return None
        lost = [text for text in earlier.identity if text not in holder.identity]
        if any(self._meeting(text, entry).denies for text in lost):
            return None
        return tuple(text for text in holder.identity if text not in earlier.identity)

    def _rules(
        self,
        holder: PolicyHolder,
        controls: tuple[HeldPolicy, ...],
        entry: Stated,
        *,
        is_bounded: bool = True,
    ) -> PrincipalRules:
        boundary: tuple[HeldPolicy, ...] = ()
        if holder.boundary is not None:
            boundary = (holder.boundary,)
        layers = [layer for layer in (boundary * is_bounded, controls) if layer]
        everything = (*holder.identity, *boundary, *controls)
        return PrincipalRules(
            allows=tuple(self._of(holder.identity, entry, denies=False)),
            denies=tuple(self._of(everything, entry, denies=True)),
            layers=tuple(
                tuple(self._of(layer, entry, denies=False)) for layer in layers
            ),
        )

    def _excuses(
        self,
        entry: Stated,
        holder: PolicyHolder,
        earlier: PolicyHolder | None,
        there: HolderSnapshot,
    ) -> tuple[PrincipalRules, ...]:
        """What is excused: what the holder could do until now, if it was the same."""
        if entry.is_new or earlier is None:
            return ()
        rules = self._rules(earlier, there.controls, entry)
        if (holder.principal, holder.tags) == (earlier.principal, earlier.tags):
            return (rules,)
        # With another name or other tags, the same request can be an allowed one.
        asker = _asker(earlier, earlier.principal, ())
        older = find_breach(
            *(entry.side, rules.allows, rules, ()), asker=asker, prover=self.prover
        )
        return () if older is None else (rules,)

    def _of(
        self, texts: Iterable[HeldPolicy], entry: Stated, *, denies: bool
    ) -> Iterator[Side]:
        for text in texts:
            meeting = self._meeting(text, entry)
            numbers = meeting.denies if denies else meeting.allows
            if numbers:
                yield from sides_of(self._set(text), numbers)

    def _look(
        self,
        entry: Stated,
        holder: PolicyHolder,
        suspects: Iterable[Side],
        rules: PrincipalRules,
        excuses: tuple[PrincipalRules, ...],
        *,
        principal: Principal | None = None,
        within: tuple[Side, ...] = (),
    ) -> None:
        asker = _asker(holder, principal or holder.principal, within)
        breach = find_breach(
            entry.side,
            suspects,
            rules,
            excuses,
            asker=asker,
            prover=self.prover,
        )
        if breach is not None:
            arn = holder.principal.principal_arn
            self.findings.append(BrokenInvariant(entry.invariant.name, arn, breach))

    def _give_up(self, entry: Stated, holder: PolicyHolder, error: Undecided) -> None:
        breach = Breach(entry.side.statement.ref, None, error.reason)
        arn = holder.principal.principal_arn
        self.findings.append(BrokenInvariant(entry.invariant.name, arn, breach))

    def _meeting(self, text: HeldPolicy, entry: Stated) -> Meeting:
        digest = self._digests.get(text)
        if digest is None:
            digest = self._digests[text] = _digest(text.kind, text.arn, text.text)
        key = digest + entry.key
        meeting = _MEETINGS.get(self._account, key)
        if meeting is None:
            within = (_of_resource(text),) if text.arn else ()
            meeting = compare_policy(self._set(text), entry.side, within, self.prover)
            _MEETINGS.put(self._account, key, meeting, _ENTRY_BYTES)
        return meeting

    def _set(self, text: HeldPolicy) -> PolicySet:
        policies = self._sets.get(text)
        if policies is None:
            if len(self._sets) >= _SETS_MAX:
                self._sets.clear()
            policies = self._sets[text] = _compile(text)
        return policies


def _principals(holder: PolicyHolder, policies: PolicySet) -> Iterator[Principal]:
    """The holder, and the sessions of the role that a policy names."""
    principal = holder.principal
    yield principal
    if principal.session_name is None:
        return
    begin = principal.arn.removesuffix(SESSION)
    names: dict[str, None] = {}
    for statement in policies.statements():
        if statement.source.principals is not None:
            names.update(
                (arn.removeprefix(begin), None)
                for arn in statement.source.principals.aws
                if arn.startswith(begin) and arn != principal.arn
            )
    for name in names:
        yield Principal.role_session(
            principal.account,
            role_id=principal.unique_id,
            path=principal.principal_arn.partition(":role")[2].rpartition("/")[0] + "/",
            role_name=principal.principal_arn.rpartition("/")[2],
            session_name=name,
        )


def _asker(
    holder: PolicyHolder, principal: Principal, within: tuple[Side, ...]
) -> Asker:
    """What is known of a holder's requests; a session can have tags of its own."""
    facts: dict[str, tuple[str, ...]] = {
        "aws:principalarn": (principal.principal_arn,),
        "aws:principalaccount": (principal.account,),
        "aws:principaltype": (principal.type.value,),
        "aws:principalisawsservice": ("false",),
    }
    if holder.tags is None:
        facts["aws:username"] = ()
        session = with_value("StringLike", "aws:userid", f"{principal.unique_id}:*")
        return Asker(principal, facts, None, (session, *within))
    facts["aws:userid"] = (principal.userid,)
    facts["aws:username"] = (principal.username or "",)
    tags: dict[str, tuple[str, ...]] = {}
    for key, value in holder.tags:
        tags[key.lower()] = (*tags.get(key.lower(), ()), value)
    return Asker(principal, facts, tags, within)


def _of_resource(text: HeldPolicy) -> Side:
    """What requests about the resource of a policy match."""
    if text.kind is PolicyKind.TRUST:
        return on_resources((text.arn,))
    return on_resources((text.arn, f"{text.arn}/*"))


def _granting(
    allow: Side, denies: Iterable[Side], limits: PrincipalRules
) -> PrincipalRules:
    """The rules of a request that one Allow grants by itself, under these limits."""
    return PrincipalRules((allow,), (*limits.denies, *denies), limits.layers)


def _grant(side: Side, principal: Principal, *, bounded: bool) -> PrincipalGrant:
    test = side.statement.principal
    if test is None:
        return PrincipalGrant.DIRECT
    return test.grant(principal, bounded=bounded)


def _compile(text: HeldPolicy) -> PolicySet:
    """The policy of a text; one that cannot be read allows nothing, as in a decision."""
    try:
        return compile_policies([(text.label, parse_policy(text.text, text.kind))])
    except PolicyRejected:
        return compile_policies(())


def _digest(*texts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()
