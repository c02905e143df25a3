"""Apply a template: create, update and delete until the accounts match it.

    read      the text, and validate every document in it
    create    accounts that do not exist yet
    change    a transaction for each account: compare, create, update, delete, record
    trust     trust policies that name users and roles created in this run

Applying a template again changes nothing. If a run is interrupted between two accounts,
applying the template again completes it.
"""

from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import BrokerError, about
from broker.kinds.accounts import (
    create_account,
    remove_alias,
    require_account,
    set_alias,
)
from broker.kinds.control_policies import ControlPolicy, control_policies, option_value
from broker.kinds.yaml_text import TemplateError, at_place
from broker.model.account import Account, AccountId
from broker.model.audit import AuditRecord
from broker.runtime.entropy import new_request_id
from broker.stores.directory.accounts import update_account
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.port import Directory, DirectoryReader
from broker.template.account_settings import settings_of, with_settings
from broker.template.reader import (
    KINDS,
    AccountTemplate,
    parse_template,
    planned_arns,
)
from broker.template.roles import set_pending_trust
from broker.template.section import (
    AccountWork,
    Described,
    Members,
    Section,
    TemplateContext,
)

_SHOWN_CHARACTERS = 60


class ChangeKind(StrEnum):
    """What happens to an entity; the value is the mark it is printed with."""

    CREATE = "+"
    UPDATE = "~"
    DELETE = "-"
    KEEP = "!"
    """It is not in the template, and is kept because ``--prune`` was not given."""

    CALL = "*"
    """It is in the template but contains a secret, so an API call must create it."""

    @property
    def is_done(self) -> bool:
        """Whether the change is made, rather than only reported."""
        return self not in {ChangeKind.KEEP, ChangeKind.CALL}


class Change(Struct, frozen=True):
    """One difference between the template and what is there."""

    account: AccountId
    kind: ChangeKind
    entity: str
    details: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The change, then each detail."""
        line = f"{self.kind} {self.account} {self.entity}"
        if self.kind is ChangeKind.KEEP:
            line += " is not in the template; --prune would delete it"
        return (line, *(f"    {detail}" for detail in self.details))

    def __str__(self) -> str:
        return "\n".join(self.lines)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """A description of how two descriptions of one kind differ."""
    return tuple(_differences("", before, after, list(after)))


def _differences(
    within: str, old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]
) -> Iterator[str]:
    for name in names:
        before, after = old.get(name), new.get(name)
        place = f"{within}{name}"
        if isinstance(before, dict) and isinstance(after, dict):
            among = sorted(before.keys() | after.keys())
            yield from _differences(f"{place}.", before, after, among)
        elif before != after:
            yield f"{place}: {shown(before)} -> {shown(after)}"


def shown(value: object) -> str:
    """A value on one line, truncated if it is long."""
    if value is None:
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if len(text) > _SHOWN_CHARACTERS:
        return f"{text[:_SHOWN_CHARACTERS]}… ({len(text)} characters)"
    return text or "nothing"


class _Run(Struct, kw_only=True):
    directory: Directory
    context: TemplateContext
    operator: str
    now: datetime
    prune: bool
    planned: frozenset[str]
    tell: Callable[[int, int], None]
    wanted: int
    seen: int = 0
    changes: list[Change] = []
    pending: list[tuple[AccountTemplate, dict[str, tuple[str, str]]]] = []

    def saw(self, step: "_Step") -> "_Step":
        """Count a step, and tell of it."""
        self.seen += 1
        self.tell(self.seen, self.wanted)
        return step


async def apply_template(
    text: str,
    *,
    directory: Directory,
    context: TemplateContext,
    operator: str,
    now: datetime,
    dry_run: bool = False,
    prune: bool = False,
    tell: Callable[[int, int], None] = lambda _done, _of: None,
) -> list[Change]:
    """Apply a template and return the changes, in order.

    ``operator`` is the system user's name, for the audit record. With ``dry_run``
    nothing is written. ``prune`` deletes entities that a section does not name, and
    removes inline policies and attachments; without it they are kept. Absent sections
    are left alone. ``tell`` learns how many entities have been looked at, of how many.

    Raises:
        TemplateError: the template or a change is invalid; the account concerned is
            unchanged.
        StoreUnavailableError, ConflictError: the database is unavailable or busy.
    """
    accounts = parse_template(text, context, now)
    run = _Run(
        directory=directory,
        context=context,
        operator=operator,
        now=now.replace(microsecond=0),
        prune=prune,
        planned=planned_arns(accounts),
        tell=tell,
        wanted=sum(
            len(template.specs(kind) or ()) for template in accounts for kind in KINDS
        ),
    )
    for template in accounts:
        if await directory.find(ACCOUNT, template.account) is None:
            await _make_account(run, template, dry_run=dry_run)
    for template in accounts:
        if dry_run:
            await _compare_account(run, template)
        else:
            await _change_account(run, template)
    for template, waiting in run.pending:
        async with _working(run, template) as work:
            for name, (place, trust_policy) in waiting.items():
                with at_place(place):
                    await set_pending_trust(work, name, trust_policy)
    return run.changes


async def _make_account(run: _Run, template: AccountTemplate, *, dry_run: bool) -> None:
    made = Change(template.account, ChangeKind.CREATE, "account")
    if not dry_run:
        async with run.directory.change(template.account) as change:
            if await change.find(ACCOUNT, template.account) is not None:
                return  # another command was faster
            await create_account(change, template.account, alias=None, now=run.now)
            await change.record(_record(run, made))
    run.changes.append(made)


async def _compare_account(run: _Run, template: AccountTemplate) -> None:
    account = await run.directory.find(ACCOUNT, template.account)
    run.changes.extend(_account_changes(template, account))
    for kind in KINDS:
        for step in await _steps(run, template, kind, run.directory):
            run.changes.extend(run.saw(step).changes)


async def _change_account(run: _Run, template: AccountTemplate) -> None:
    async with _working(run, template) as work:
        changes = _account_changes(template, work.account)
        if changes:
            await _write_account(work, template)
            work.account = await require_account(work.change, template.account)
        removals: list[_Step] = []
        for kind in KINDS:
            for step in await _steps(run, template, kind, work.change):
                if step.after is None and step.before is not None:
                    removals.append(step)
                    continue
                changes.extend(run.saw(step).changes)
                await step.execute(work)
        # In reverse order: a policy can be deleted only once it is detached.
        for step in reversed(removals):
            changes.extend(step.changes)
            await step.execute(work)
        for change in changes:
            if change.kind.is_done:
                await work.change.record(_record(run, change))
        if work.pending_trust:
            run.pending.append((template, work.pending_trust))
    run.changes.extend(changes)


@asynccontextmanager
async def _working(run: _Run, template: AccountTemplate) -> AsyncIterator[AccountWork]:
    """The account's transaction; errors name the place in the template."""
    try:
        async with run.directory.change(template.account) as change:
            yield AccountWork(
                change=change,
                account=await require_account(change, template.account),
                now=run.now,
                context=run.context,
                planned=run.planned,
            )
    except BrokerError as error:
        place = ".".join(filter(None, (template.place, error.member)))
        raise TemplateError(place, str(error)) from error


class _Step(Struct, frozen=True, kw_only=True):
    """What is there of one entity and what is wanted, its place, what to print."""

    kind: Section
    place: str
    before: Described | None
    after: Members | None
    changes: tuple[Change, ...]

    async def execute(self, work: AccountWork) -> None:
        """Create, update or delete the entity.

        Raises:
            TemplateError: a rule for the entity forbids it.
        """
        work.place = self.place
        with at_place(self.place):
            try:
                if self.before is None:
                    if self.after is not None:
                        await self.kind.create(work, self.after)
                elif self.after is None:
                    await self.kind.delete(work, self.before)
                elif self.before.properties != self.after:
                    await self.kind.update(work, self.before, self.after)
            except BrokerError as error:
                raise self.kind.refusal(error) from error


async def _steps(
    run: _Run, template: AccountTemplate, kind: Section, directory: DirectoryReader
) -> Sequence[_Step]:
    specs = template.specs(kind)
    if specs is None:
        return ()
    present = {
        kind.key(spec): spec
        async for page in kind.distinct(directory, template.account)
        for spec in page
    }
    within = f"{template.place}.{kind.section}"
    steps = []
    for number, described in enumerate(specs):
        there, place = present.pop(kind.key(described), None), f"{within}[{number}]"
        steps.append(_step(run, template, kind, there, described, place=place))
    for described in present.values():
        name = kind.name_of(described)
        done = ChangeKind.DELETE if run.prune else ChangeKind.KEEP
        steps.append(
            _Step(
                kind=kind,
                place=f"{within}.{name}",
                before=described,
                after=None if run.prune else described.properties,
                changes=(Change(template.account, done, f"{kind.label} {name}"),),
            )
        )
    return steps


def _step(
    run: _Run,
    template: AccountTemplate,
    kind: Section,
    before: Described | None,
    wanted: Described,
    *,
    place: str,
) -> _Step:
    account = template.account
    entity = f"{kind.label} {kind.name_of(wanted)}"
    there = None if before is None else before.properties
    after, calls = kind.require_calls(there, wanted.properties)
    changes = [Change(account, ChangeKind.CALL, call) for call in calls]
    if there is None and after is not None:
        changes.insert(0, Change(account, ChangeKind.CREATE, entity))
    elif there is not None and after is not None:
        after = kind.adopt(there, after)
        if not run.prune:
            after, kept = kind.keep(there, after)
            changes += [
                Change(account, ChangeKind.KEEP, f"{part} of {entity}") for part in kept
            ]
        details = differences(there, after)
        if details:
            changes.insert(0, Change(account, ChangeKind.UPDATE, entity, details))
    return _Step(
        kind=kind, place=place, before=before, after=after, changes=tuple(changes)
    )


def _account_changes(
    template: AccountTemplate, account: Account | None
) -> list[Change]:
    details = []
    alias = None if account is None else account.alias
    quotas = {} if account is None else account.quotas
    if template.alias is not None and template.alias != (alias or ""):
        details.append(f"Alias: {alias or 'nothing'} -> {template.alias or 'nothing'}")
    for name, value in template.quotas.items():
        if quotas.get(name) != value:
            details.append(f"Quotas.{name}: {quotas.get(name, 'default')} -> {value}")
    policy = None if account is None else account.password_policy
    if template.password_policy not in (None, policy):
        details.append("PasswordPolicy: changed")
    present = settings_of(account)
    details += [
        f"{name}: {shown(present[name])} -> {shown(new)}"
        for name, new in template.settings.items()
        if present[name] != new
    ]
    for kind, policies in template.controls.items():
        there = () if account is None else control_policies(account, kind)
        if there != policies:
            details.append(f"{kind}: {_named(there)} -> {_named(policies)}")
    if not details:
        return []
    return [Change(template.account, ChangeKind.UPDATE, "account", tuple(details))]


def _named(policies: tuple[ControlPolicy, ...]) -> str:
    return ", ".join(policy.name for policy in policies) or "nothing"


async def _write_account(work: AccountWork, template: AccountTemplate) -> None:
    options = dict(work.account.options)
    for kind, policies in template.controls.items():
        options.pop(kind, None)
        if policies:
            options[str(kind)] = option_value(policies)
    account = replace(
        work.account,
        quotas={**work.account.quotas, **template.quotas},
        options=options,
        password_policy=template.password_policy or work.account.password_policy,
    )
    account = await with_settings(work, account, template.settings)
    await update_account(work.change, account)
    if template.alias:
        with about("Alias"):
            await set_alias(work.change, account, template.alias)
    elif template.alias == "" and account.alias is not None:
        await remove_alias(work.change, account, account.alias)


def _record(run: _Run, change: Change) -> AuditRecord:
    return AuditRecord(
        event_id=new_request_id(),
        at=run.now,
        account=change.account,
        door="operator",
        action=f"broker:Apply{change.kind.name.capitalize()}",
        caller_arn=f"operator:{run.operator}",
        parameters={"entity": change.entity, "differences": list(change.details)},
        decision="allowed",
        reason="the operator's template",
    )
