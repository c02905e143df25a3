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

from collections.abc import Iterable, Sequence
from datetime import datetime

from broker.errors import AccessDenied
from broker.kinds.control_policies import ControlKind, ControlPolicy, control_policies
from broker.model.account import Account
from broker.model.audit import AuditRecord
from broker.permit.comparison import (
    BrokenInvariant,
    Comparison,
    HolderSnapshot,
    Stated,
    read_invariants,
)
from broker.permit.holders import HeldPolicy, read_earlier, read_holders
from broker.policy import PolicyKind
from broker.runtime.entropy import new_request_id
from broker.runtime.offload import offload_steps
from broker.stores.directory.changed_rows import ChangedRows
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.policies import (
    list_holders,
    list_owner_ids,
    list_resource_documents,
    list_trust_documents,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader
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
"""That are told of where every user and role is judged; else the first is enough."""

_HOLDERS_AT_ONCE = 100
_ASSUME_ROLE = "sts:AssumeRole"

_OF_OWNERS = ((INLINE_POLICIES.name, "owner_id"), (ATTACHMENTS.name, "owner_id"))
_OF_HOLDERS = (
    (GROUP_MEMBERS.name, "user_id"),
    (USERS.name, "user_id"),
    (ROLES.name, "role_id"),
)


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
    is_above = overridden_at is not None
    work = _Judgement(
        *(change, before, account),
        is_first=is_first,
        findings_max=BREACHES_MAX if is_above else 1,
    )
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
        findings_max: int = 1,
    ) -> None:
        self._directory = directory
        self._before = before
        self._account = account
        self._number = account.account_id
        self._is_first = is_first
        self._left = STEPS_MAX
        self._findings_max = findings_max
        self._written = frozenset[str]()
        self._findings: list[BrokenInvariant] = []

    async def run(self, changed: ChangedRows) -> list[BrokenInvariant]:
        """What the change breaks."""
        earlier = self._account
        self._written = frozenset(changed.tables)
        may_differ = ACCOUNTS.name in changed.tables or not self._is_first
        if may_differ and self._before is not None:
            earlier = await self._before.find(ACCOUNT, self._number) or earlier
        kept = control_policies(earlier, ControlKind.INVARIANT)
        invariants = control_policies(self._account, ControlKind.INVARIANT)
        stated = read_invariants(self._number, invariants, kept)
        controls, old_controls = _controls(self._account), _controls(earlier)
        is_about_all = controls != old_controls or any(s.is_new for s in stated)
        ids = None if is_about_all else await self._touched(changed)
        resources = await self._changed_resources(changed, stated)
        if is_about_all:
            self._left, self._findings_max = STEPS_OF_ALL_MAX, BREACHES_MAX
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
        stated = read_invariants(self._number, invariants, ())
        self._left, self._findings_max = STEPS_OF_ALL_MAX, BREACHES_MAX
        controls = _controls(self._account)
        await self._judge(await self._all_ids(), stated, (controls, controls), ())
        return self._findings

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
        self, changed: ChangedRows, stated: Sequence[Stated]
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
        stated: Sequence[Stated],
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

    def _comparison(self) -> Comparison:
        return Comparison(
            *(self._number, self._left, self._findings_max), is_first=self._is_first
        )

    async def _judge(
        self,
        ids: Sequence[str],
        stated: Sequence[Stated],
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
            reading = await read_holders(self._directory, self._number, some)
            now = HolderSnapshot(reading.holders(), controls[0])
            there = HolderSnapshot({}, controls[1])
            if self._before is not None:
                earlier = await (
                    read_earlier(
                        *(self._before, self._number, some), reading, self._written
                    )
                    if self._is_first
                    else read_holders(self._before, self._number, some)
                )
                there = HolderSnapshot(earlier.holders(), controls[1])
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
            if len(self._findings) >= self._findings_max or self._left < 0:
                break
        del self._findings[self._findings_max :]


def _is_about_roles(entry: Stated) -> bool:
    """Whether a statement is about who assumes a role."""
    candidates = entry.side.policies.candidates(_ASSUME_ROLE)
    return entry.side.statement in (*candidates.denies, *candidates.allows)


def _controls(account: Account) -> tuple[HeldPolicy, ...]:
    return tuple(
        HeldPolicy(policy.name, PolicyKind.CONTROL, policy.text)
        for policy in control_policies(account, ControlKind.SERVICE)
    )
