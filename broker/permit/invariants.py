"""Judges a change by the account's invariants, before it is committed.

Every transaction of the directory ends here (`SqlDirectory.change`), whatever opened it.
Looked at are the users and roles whose policies the change touched: of each, what the
new texts grant, or everything if a Deny, a boundary or a control policy went; and what
policies of resources grant to them. An invariant that is new is judged by all users and
roles. What was allowed before is left as it was.

The root, sessions of a federation token (which have at most what their user has) and
callers of other accounts are not looked at, and of role chains only the first step is.
What one account's change may take is bounded; what is not decided is refused.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from msgspec import Struct

from broker.errors import AccessDenied
from broker.kinds.control_policies import ControlKind, ControlPolicy, control_policies
from broker.kinds.managed_policies import find_aws_managed
from broker.model.account import Account, AccountId
from broker.model.audit import AuditRecord
from broker.model.entities import Group, Role, User
from broker.model.principal import Principal
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
from broker.runtime.entropy import new_request_id
from broker.runtime.offload import Steps, offload_steps
from broker.stores.directory.changed_rows import ChangedRows
from broker.stores.directory.identities import list_memberships
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.policies import (
    documents_in_force,
    find_owners,
    list_attachments_of,
    list_holders,
    list_inline_policies_of,
    list_owner_ids,
    list_resource_documents,
    list_trust_documents,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.statements import arn_key
from broker.stores.schema import (
    ACCOUNTS,
    ATTACHMENTS,
    GROUP_MEMBERS,
    INLINE_POLICIES,
    MANAGED_POLICIES,
    RESOURCE_POLICIES,
    ROLES,
    USERS,
)

STEPS_MAX = 60_000
"""Of proofs, for one change; a step takes about three microseconds."""

STEPS_OF_ALL_MAX = 4_000_000
"""The same where every user and role of the account is judged."""

HOLDERS_MAX = 10_000
"""Users and roles that one change can concern."""

RESOURCES_MAX = 5_000
"""Policies of resources, and trust policies, that one change can concern."""

BREACHES_MAX = 10
"""That are told of; the search ends there."""

_HOLDERS_AT_ONCE = 100
_SETS_MAX = 256
_SESSION = "example"
_ASSUME_ROLE = "sts:AssumeRole"

_OF_OWNERS = ((INLINE_POLICIES.name, "owner_id"), (ATTACHMENTS.name, "owner_id"))
_OF_HOLDERS = (
    (GROUP_MEMBERS.name, "user_id"),
    (USERS.name, "user_id"),
    (ROLES.name, "role_id"),
)

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

_NO_POLICY = '{"Version":"2012-10-17","Statement":[]}'


class HeldPolicy(NamedTuple):
    """A policy: what answers call it, how it is read, and of which resource it is."""

    label: str
    kind: PolicyKind
    text: str
    arn: str = ""


class PolicyHolder(Struct, frozen=True):
    """A user or role with the policies that are its own, and its boundary."""

    principal: Principal
    tags: tuple[tuple[str, str], ...] | None
    identity: tuple[HeldPolicy, ...]
    boundary: HeldPolicy | None


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
            f"The invariant {self.invariant} would be broken: {self.principal} could"
            f" {request.action} on {request.resource}{context}, by {allow}"
        )


class _Stated(Struct, frozen=True):
    """A statement of an invariant."""

    invariant: ControlPolicy
    side: Side
    key: bytes
    is_new: bool


async def judge_change(
    change: DirectoryChange,
    before: DirectoryReader,
    account: Account,
    changed: ChangedRows,
    *,
    is_first: bool,
    overridden_at: datetime | None,
) -> None:
    """Refuse a change of an account that breaks an invariant; see `Judge`.

    ``overridden_at`` is the time of a change that is above the invariants: it is recorded
    what it breaks.

    Raises:
        AccessDenied: it breaks one, or that is not decided.
    """
    work = _Judgement(change, before, account, is_first=is_first)
    findings = await work.run(changed)
    if findings and overridden_at is None:
        raise AccessDenied(refusal(findings))
    for finding in findings:
        await change.record(
            AuditRecord(
                event_id=new_request_id(),
                at=overridden_at or account.created_at,
                account=account.account_id,
                door="operator",
                action="broker:OverrideInvariant",
                caller_arn="operator",
                parameters={"Invariant": finding.invariant, "Breach": str(finding)},
                resources=(finding.principal,),
                decision="allowed",
                reason="the operator's command line is above the account's invariants",
            )
        )


async def find_broken(
    directory: DirectoryReader,
    account: Account,
    invariants: Sequence[ControlPolicy] | None = None,
) -> list[BrokenInvariant]:
    """Who breaks an account's invariants, or others; at most `BREACHES_MAX`.

    Raises:
        AccessDenied: the account is too large to find out.
    """
    if invariants is None:
        invariants = control_policies(account, ControlKind.INVARIANT)
    if not invariants:
        return []
    return await _Judgement(directory, None, account, is_first=False).run_all(
        invariants
    )


def refusal(findings: Sequence[BrokenInvariant]) -> str:
    """The text of a refusal."""
    first, *others = findings
    texts = [f"{first}.", *(f"{finding}." for finding in others)]
    if len(findings) >= BREACHES_MAX:
        texts.append("There may be more.")
    return " ".join(texts)


class _Judgement:
    """One change, or one look at everything; see the module."""

    def __init__(
        self,
        directory: DirectoryReader,
        before: DirectoryReader | None,
        account: Account,
        *,
        is_first: bool,
    ) -> None:
        self._directory = directory
        self._before = before
        self._account = account
        self._number = account.account_id
        self._is_first = is_first
        self._left = STEPS_MAX
        self._findings: list[BrokenInvariant] = []

    async def run(self, changed: ChangedRows) -> list[BrokenInvariant]:
        """What the change breaks."""
        earlier = self._account
        may_differ = ACCOUNTS.name in changed.tables or not self._is_first
        if may_differ and self._before is not None:
            earlier = await self._before.find(ACCOUNT, self._number) or earlier
        kept = control_policies(earlier, ControlKind.INVARIANT)
        stated = self._stated(
            control_policies(self._account, ControlKind.INVARIANT), kept
        )
        controls, old_controls = _controls(self._account), _controls(earlier)
        is_about_all = controls != old_controls or any(s.is_new for s in stated)
        ids = None if is_about_all else await self._touched(changed)
        resources = await self._changed_resources(changed, stated)
        if is_about_all:
            self._left = STEPS_OF_ALL_MAX
        everyone = ids is None or resources
        await self._judge(
            await self._all_ids() if everyone else sorted(ids or ()),
            stated,
            (controls, old_controls),
            resources,
        )
        return self._findings

    async def run_all(
        self, invariants: Sequence[ControlPolicy]
    ) -> list[BrokenInvariant]:
        """What breaks invariants as it is."""
        stated = self._stated(invariants, ())
        self._left = STEPS_OF_ALL_MAX
        controls = _controls(self._account)
        await self._judge(await self._all_ids(), stated, (controls, controls), ())
        return self._findings

    def _stated(
        self, invariants: Sequence[ControlPolicy], kept: Sequence[ControlPolicy]
    ) -> list[_Stated]:
        results = []
        for invariant in invariants:
            policies = _compile(
                HeldPolicy(invariant.name, PolicyKind.IDENTITY, invariant.text)
            )
            for number, side in enumerate(stated_sides(policies)):
                key = _digest(str(number), invariant.text)
                results.append(_Stated(invariant, side, key, invariant not in kept))
        return results

    async def _all_ids(self) -> list[str]:
        listed = await list_owner_ids(self._directory, self._number, HOLDERS_MAX + 1)
        return list(listed)

    async def _touched(self, changed: ChangedRows) -> frozenset[str] | None:
        """The users and roles that a change concerns; None for all."""
        owners: set[str] = set()
        holders: set[str] = set()
        for tables, ids in ((_OF_OWNERS, owners), (_OF_HOLDERS, holders)):
            for table, column in tables:
                values = changed.values(table, column)
                if values is None:
                    return None
                ids.update(values)
        names = changed.values(MANAGED_POLICIES.name, "name_key")
        if names is None:
            return None
        if not owners and not names:
            return frozenset(holders)
        listed = await list_holders(self._directory, self._number, owners, names)
        return listed | holders

    async def _changed_resources(
        self, changed: ChangedRows, stated: Sequence[_Stated]
    ) -> tuple[HeldPolicy, ...]:
        """The policies of resources that a change wrote."""
        tables = {RESOURCE_POLICIES.name, ROLES.name} & changed.tables.keys()
        if self._before is None or not tables:
            return ()
        now = await self._resources(self._directory, stated, tables)
        there = await self._resources(self._before, stated, tables)
        known = frozenset(there)
        work = self._comparison()
        results = await offload_steps(
            work.relevant([text for text in now if text not in known], stated)
        )
        self._left = work.prover.work.left
        return results

    async def _resources(
        self,
        directory: DirectoryReader,
        stated: Sequence[_Stated],
        tables: Iterable[str] = (RESOURCE_POLICIES.name, ROLES.name),
    ) -> tuple[HeldPolicy, ...]:
        """Policies of resources; trust policies only if an invariant is about them."""
        results: list[HeldPolicy] = []
        limit = RESOURCES_MAX + 1
        if RESOURCE_POLICIES.name in tables:
            results += (
                HeldPolicy(f"the policy of {arn}", PolicyKind.RESOURCE, text, arn)
                for arn, text in await list_resource_documents(
                    directory, self._number, limit
                )
            )
        if ROLES.name in tables and any(map(_is_about_roles, stated)):
            results += (
                HeldPolicy(f"the trust policy of {arn}", PolicyKind.TRUST, text, arn)
                for arn, text in await list_trust_documents(
                    directory, self._number, limit
                )
            )
        if len(results) > RESOURCES_MAX:
            raise AccessDenied(
                "It cannot be decided if the account's invariants hold: it has more"
                f" than {RESOURCES_MAX} policies of resources and roles to compare."
            )
        return tuple(results)

    def _comparison(self) -> "_Comparison":
        return _Comparison(self._number, self._left, is_first=self._is_first)

    async def _judge(
        self,
        ids: Sequence[str],
        stated: Sequence[_Stated],
        controls: tuple[tuple[HeldPolicy, ...], tuple[HeldPolicy, ...]],
        resources: tuple[HeldPolicy, ...],
    ) -> None:
        if len(ids) > HOLDERS_MAX:
            raise AccessDenied(
                "It cannot be decided if the account's invariants hold: the change"
                f" concerns more than {HOLDERS_MAX} users and roles."
            )
        every: tuple[HeldPolicy, ...] | None = None
        for start in range(0, len(ids), _HOLDERS_AT_ONCE):
            some = ids[start : start + _HOLDERS_AT_ONCE]
            now = await self._state(self._directory, some, controls[0])
            there = HolderSnapshot({}, controls[1])
            if self._before is not None:
                there = await self._state(self._before, some, controls[1])
            work = self._comparison()
            whole = await offload_steps(work.identities(stated, now, there))
            if whole and every is None:
                every = await self._resources(self._directory, stated)
            await offload_steps(
                work.resources(
                    *(stated, now, there, whole),
                    every=every or (),
                    changed=resources,
                )
            )
            self._left = work.prover.work.left
            self._findings += work.findings
            if len(self._findings) >= BREACHES_MAX or self._left < 0:
                break
        del self._findings[BREACHES_MAX:]

    async def _state(
        self,
        directory: DirectoryReader,
        ids: Sequence[str],
        controls: tuple[HeldPolicy, ...],
    ) -> HolderSnapshot:
        return HolderSnapshot(
            await read_holders(directory, self._number, ids), controls
        )


class _Comparison:
    """Compares the policies of some holders; runs on another thread, in steps."""

    def __init__(self, account: AccountId, steps: int, *, is_first: bool) -> None:
        self.prover = Prover(steps)
        self.findings: list[BrokenInvariant] = []
        self._account = account
        self._is_first = is_first
        self._sets: dict[HeldPolicy, PolicySet] = {}
        self._digests: dict[HeldPolicy, bytes] = {}

    def relevant(
        self, texts: Sequence[HeldPolicy], stated: Sequence[_Stated]
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
        self, stated: Sequence[_Stated], now: HolderSnapshot, there: HolderSnapshot
    ) -> Steps[list[tuple[str, _Stated]]]:
        """Judge what holders' own policies grant; of whom all is to be judged."""
        whole: list[tuple[str, _Stated]] = []
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
                if len(self.findings) >= BREACHES_MAX:
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
                    before = self._before(entry, holder, earlier, there)
                except Undecided as error:
                    self._give_up(entry, holder, error)
                    return []
                self._look(entry, holder, suspects, rules, before)
        return whole

    def resources(
        self,
        stated: Sequence[_Stated],
        now: HolderSnapshot,
        there: HolderSnapshot,
        whole: Sequence[tuple[str, _Stated]],
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
                if len(self.findings) >= BREACHES_MAX:
                    return
                yield
                try:
                    if not self._meeting(text, entry).allows:
                        continue
                    earlier = there.holders.get(holder_id)
                    for principal in _principals(holder, self._set(text)):
                        self._look_at_resource(
                            *(entry, holder, principal, text),
                            controls=now.controls,
                            before=self._before(entry, holder, earlier, there),
                        )
                except Undecided as error:
                    self._give_up(entry, holder, error)
                    return

    def _look_at_resource(
        self,
        entry: _Stated,
        holder: PolicyHolder,
        principal: Principal,
        text: HeldPolicy,
        *,
        controls: tuple[HeldPolicy, ...],
        before: PrincipalRules | None,
    ) -> None:
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
            rules = self._rules(
                holder, controls, entry, is_bounded=grant is PrincipalGrant.ROLE
            )
            rules = PrincipalRules((), (*rules.denies, *own), rules.layers)
            self._look(
                *(entry, holder, (side,), rules, before),
                principal=principal,
                within=(_of_resource(text),),
            )

    def _suspects(
        self,
        entry: _Stated,
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
        entry: _Stated,
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

    def _before(
        self,
        entry: _Stated,
        holder: PolicyHolder,
        earlier: PolicyHolder | None,
        there: HolderSnapshot,
    ) -> PrincipalRules | None:
        """What is excused: what the holder could do until now, if it was the same."""
        if entry.is_new or earlier is None:
            return None
        rules = self._rules(earlier, there.controls, entry)
        if (holder.principal, holder.tags) == (earlier.principal, earlier.tags):
            return rules
        # With another name or other tags, the same request can be an allowed one.
        asker = _asker(earlier, earlier.principal, ())
        older = find_breach(
            *(entry.side, rules.allows, rules, None), asker=asker, prover=self.prover
        )
        return None if older is None else rules

    def _of(
        self, texts: Iterable[HeldPolicy], entry: _Stated, *, denies: bool
    ) -> Iterator[Side]:
        for text in texts:
            meeting = self._meeting(text, entry)
            numbers = meeting.denies if denies else meeting.allows
            if numbers:
                yield from sides_of(self._set(text), numbers)

    def _look(
        self,
        entry: _Stated,
        holder: PolicyHolder,
        suspects: Iterable[Side],
        rules: PrincipalRules,
        before: PrincipalRules | None,
        *,
        principal: Principal | None = None,
        within: tuple[Side, ...] = (),
    ) -> None:
        asker = _asker(holder, principal or holder.principal, within)
        breach = find_breach(
            entry.side,
            suspects,
            rules,
            before,
            asker=asker,
            prover=self.prover,
        )
        if breach is not None:
            arn = holder.principal.principal_arn
            self.findings.append(BrokenInvariant(entry.invariant.name, arn, breach))

    def _give_up(self, entry: _Stated, holder: PolicyHolder, error: Undecided) -> None:
        breach = Breach(entry.side.statement.ref, None, error.reason)
        arn = holder.principal.principal_arn
        self.findings.append(BrokenInvariant(entry.invariant.name, arn, breach))

    def _meeting(self, text: HeldPolicy, entry: _Stated) -> Meeting:
        digest = self._digests.get(text)
        if digest is None:
            digest = self._digests[text] = _digest(text.kind, text.arn, text.text)
        key = digest + entry.key
        meeting = _MEETINGS.get(self._account, key)
        if meeting is None:
            within = (_of_resource(text),) if text.arn else ()
            meeting = compare_policy(self._set(text), entry.side, within, self.prover)
            _MEETINGS.put(self._account, key, meeting)
        return meeting

    def _set(self, text: HeldPolicy) -> PolicySet:
        policies = self._sets.get(text)
        if policies is None:
            if len(self._sets) >= _SETS_MAX:
                self._sets.clear()
            policies = self._sets[text] = _compile(text)
        return policies


async def read_holders(
    directory: DirectoryReader, account: AccountId, ids: Sequence[str]
) -> dict[str, PolicyHolder]:
    """Users and roles with the texts of their policies, by unique id."""
    owners_of = await find_owners(directory, account, ids)
    entities = [owner for owner in owners_of if not isinstance(owner, Group)]
    groups = await list_memberships(directory, account, ids)
    owners = {
        _unique_id(entity): (
            _unique_id(entity),
            *(group.group_id for group in groups.get(_unique_id(entity), ())),
        )
        for entity in entities
    }
    every = sorted({owner for listed in owners.values() for owner in listed})
    inline = await list_inline_policies_of(directory, account, every)
    attached = await list_attachments_of(directory, account, every)
    bounds = [e.boundary_arn for e in entities if e.boundary_arn is not None]
    used = {*chain.from_iterable(attached.values()), *bounds}
    find = await _documents(directory, account, used)
    results = {}
    for entity in entities:
        of = owners[_unique_id(entity)]
        texts = [
            HeldPolicy(f"inline:{policy.name}", PolicyKind.IDENTITY, policy.document)
            for owner in of
            for policy in inline.get(owner, ())
        ]
        for arn in dict.fromkeys(a for owner in of for a in attached.get(owner, ())):
            document = find(arn)
            if document is not None:
                texts.append(HeldPolicy(arn, PolicyKind.IDENTITY, document))
        boundary = None
        if entity.boundary_arn is not None:
            bound = find(entity.boundary_arn) or _NO_POLICY
            boundary = HeldPolicy(entity.boundary_arn, PolicyKind.BOUNDARY, bound)
        results[_unique_id(entity)] = PolicyHolder(
            _principal(entity),
            tuple(sorted(entity.tags.items())) if isinstance(entity, User) else None,
            tuple(dict.fromkeys(texts)),
            boundary,
        )
    return results


async def _documents(
    directory: DirectoryReader, account: AccountId, arns: Iterable[str]
) -> Callable[[str], str | None]:
    """Finds the text in force of a managed policy; None if it is not there."""
    aws = {arn: policy for arn in arns if (policy := find_aws_managed(arn)) is not None}
    names = {arn_key(arn) for arn in arns if arn not in aws}
    own = await documents_in_force(directory, account, names) if names else {}

    def find(arn: str) -> str | None:
        policy = aws.get(arn)
        if policy is not None:
            return policy.default_version.document
        return own.get(arn_key(arn)) if f":{account}:" in arn else None

    return find


def _unique_id(entity: User | Role) -> str:
    return entity.user_id if isinstance(entity, User) else entity.role_id


def _principal(entity: User | Role) -> Principal:
    if isinstance(entity, User):
        return Principal.user(
            entity.account,
            user_id=entity.user_id,
            path=entity.path,
            name=entity.name,
        )
    return Principal.role_session(
        entity.account,
        role_id=entity.role_id,
        path=entity.path,
        role_name=entity.name,
        session_name=_SESSION,
    )


def _principals(holder: PolicyHolder, policies: PolicySet) -> Iterator[Principal]:
    """The holder, and the sessions of the role that a policy names."""
    principal = holder.principal
    yield principal
    if principal.session_name is None:
        return
    begin = principal.arn.removesuffix(_SESSION)
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


def _grant(side: Side, principal: Principal, *, bounded: bool) -> PrincipalGrant:
    test = side.statement.principal
    if test is None:
        return PrincipalGrant.DIRECT
    return test.grant(principal, bounded=bounded)


def _is_about_roles(entry: _Stated) -> bool:
    """Whether a statement is about who assumes a role."""
    candidates = entry.side.policies.candidates(_ASSUME_ROLE)
    return entry.side.statement in (*candidates.denies, *candidates.allows)


def _controls(account: Account) -> tuple[HeldPolicy, ...]:
    return tuple(
        HeldPolicy(policy.name, PolicyKind.CONTROL, policy.text)
        for policy in control_policies(account, ControlKind.SERVICE)
    )


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
