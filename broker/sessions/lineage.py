"""What a session inherits from those it was made from, and what ends them together.

Every session has a mint id of 128 random bits; it carries those of all sessions that
it was made from, so that a revocation of any of them is seen at each use, in memory.

A role can assume itself every hour without end, but a token cannot grow without end. Of
a long chain the first session and the last ``KEPT`` are named; those between are folded
into their principals and the time span in which they were issued. A revocation of a
folded session ends every session that goes back to the same first session and folded
something issued at that very time: all that came from it, and at most some that came
from the same beginning.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from msgspec.structs import replace

from broker.model.account import (
    TEMPORARY_KEY_PREFIX,
    AccountId,
    find_account_of_key_id,
)
from broker.model.federated import FederatedIdentity
from broker.model.lineage import (
    Ancestor,
    FoldedAncestors,
    Lineage,
    Origin,
    Trace,
    admitted_target,
    as_text,
    read_lineage,
    subject_digest,
)
from broker.model.machines import Instance
from broker.model.principal import PrincipalType
from broker.model.revocation import Revocations
from broker.model.session import Caller, Session, SessionKind
from broker.runtime.entropy import random_bytes
from broker.stores.cache.port import SessionRecord
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.stored import WHOLE, Entity, Remembered

KEPT = 7
"""Ancestors named besides the first."""

_END_MARKS = ("console-end/", "oidc-login-end/", "login-end/")
"""How the marks of `broker.sessions.ends` begin for console sessions, for the sign-ins at a
provider behind them, and for terminals' logins of older versions. What carries one ends
with it, as by a key id."""

_MINT_BYTES = 16
_OF_PEOPLE = ("subject/", "person/", "provider-session/", "source-identity/")
_ARN_FIELDS = 5
_OWNERS = frozenset({PrincipalType.USER, PrincipalType.ACCOUNT})


class LineageDirectory(Protocol):
    """Look-ups that are at most a second old and cost no query while fresh."""

    async def find(
        self, kind: Remembered[Entity], account: AccountId, key: str = WHOLE
    ) -> Entity | None:
        """One by its id; the only one of its kind without."""
        ...

    async def revocations(self, account: AccountId) -> Revocations:
        """What is revoked in the account."""
        ...


def new_mint_id() -> str:
    """128 random bits as text."""
    return as_text(random_bytes(_MINT_BYTES))


def source_identity_target(source_identity: str) -> str:
    """What a not-before mark of a source identity is kept under."""
    return f"source-identity/{source_identity}"


def subject_target(subject: str) -> str:
    """What a not-before mark of a subject (its digest) is kept under."""
    return f"subject/{subject}"


def person_target(person: str) -> str:
    """What a not-before mark of a person in a SCIM directory is kept under."""
    return f"person/{person}"


def provider_session_target(issuer: str, session: str) -> str:
    """What a not-before mark of an identity provider's own session is kept under."""
    return f"provider-session/{subject_digest(issuer, session)}"


def lineage_from(caller: Caller) -> Lineage:
    """The lineage of a session that the caller makes."""
    if caller.session is not None:
        return descend(caller.session)
    principal = caller.principal
    return Lineage(
        origin=Origin(
            account=principal.account,
            access_key_id=caller.access_key_id,
            principal_id=principal.unique_id if principal.type in _OWNERS else "",
        )
    )


def lineage_of_token(caller: Caller) -> Lineage:
    """The lineage of a token that the caller is given.

    A session carries its provider and source identity beside its lineage, a token can
    carry them only as targets of it.
    """
    lineage, session = lineage_from(caller), caller.session
    if session is None:
        return lineage
    named = session.source_identity
    targets = (
        *lineage.origin.targets,
        session.provider_arn or "",
        session.provider_id,
        source_identity_target(named) if named else "",
    )
    known = tuple(dict.fromkeys(filter(None, targets)))
    return replace(lineage, origin=replace(lineage.origin, targets=known))


def lineage_of_proof(identity: FederatedIdentity, now: datetime) -> Lineage:
    """The lineage of a session that an assertion or a token opens.

    It begins when the proof was issued, so that what revokes its subject afterwards ends
    the session, too, though the worker that opened it had not heard of that. A provider's
    clock may be ahead; nothing was issued later than now.
    """
    issuer, issued_at = identity.issuer, identity.issued_at
    targets: tuple[str, ...] = ()
    if identity.person:
        targets = (person_target(identity.person),)
    if identity.provider_session:
        target = provider_session_target(issuer, identity.provider_session)
        targets = (*targets, target)
    if identity.certificate:
        targets = (*targets, identity.certificate)
    began_ms = 0 if issued_at is None else _milliseconds(min(issued_at, now))
    return Lineage(
        origin=Origin(
            account=identity.account,
            subject=subject_digest(issuer, identity.subject),
            began_ms=began_ms,
            named_ms=began_ms if identity.source_identity is not None else 0,
            targets=targets,
        )
    )


async def find_proof_end(
    identity: FederatedIdentity, now: datetime, directory: LineageDirectory
) -> tuple[str, int] | None:
    """What ended a verified proof, and the not-before mark of that; None if nothing did.

    It opens nothing if its subject, person or source identity, or the provider's own
    session, was revoked after it was issued. Providers state whole seconds as a rule, and
    then all of the second of the revocation counts as before it.

    Raises:
        StoreUnavailableError: the directory is away.
    """
    marks = (await directory.revocations(identity.account)).not_before_ms
    if not marks:
        return None
    origin = lineage_of_proof(identity, now).origin
    targets = (subject_target(origin.subject), *origin.targets)
    if identity.source_identity is not None:
        targets += (source_identity_target(identity.source_identity),)
    began_ms = origin.began_ms or _milliseconds(now)
    for target in targets:
        if began_ms < (mark := marks.get(target, 0)):
            return target, mark
    return None


def lineage_of_admission(made_from: Lineage, account: AccountId, at_ms: int) -> Lineage:
    """What a machine comes from: what its join token, or the proof that admitted it, did.

    ``at_ms`` is when that was made. The machine ends with the users and roles it came
    from, too: it does not expire.
    """
    origin = made_from.origin
    principals = (
        origin.principal_id,
        *(ancestor.principal_id for ancestor in made_from.ancestors),
        *(ancestors.principal_id for ancestors in made_from.folded),
    )
    admitted = (admitted_target(each) for each in principals if each)
    return replace(
        made_from,
        origin=replace(
            origin,
            account=origin.account or account,
            began_ms=origin.began_ms or at_ms,
            mfa_shown=False,
            targets=tuple(dict.fromkeys((*origin.targets, *admitted))),
        ),
    )


def trace_machine(instance: Instance) -> tuple[Trace, ...]:
    """What revocations may name of a machine."""
    registered_ms = _milliseconds(instance.registered_at)
    return trace_token(read_lineage(instance.lineage), instance.account, registered_ms)


def list_origins(instance: Instance) -> list[tuple[AccountId, str, int, int]]:
    """What a machine is found by that comes from others: `Trace.labels`, by account."""
    if not instance.lineage:
        return []
    traces = trace_machine(instance)
    return [(entry.account, *label) for entry in traces for label in entry.labels()]


def lineage_of_machine(instance: Instance) -> Lineage:
    """The lineage of a session that a machine gets for its key.

    The key is what its sessions begin with, as a user's access key is, if an operator
    admitted it; else the machine is an ancestor of them, known by its id.
    """
    made_from = read_lineage(instance.lineage)
    origin = made_from.origin
    if not made_from.ancestors and not origin.access_key_id and not origin.principal_id:
        account = origin.account or instance.account
        key = instance.instance_id
        return replace(
            made_from, origin=replace(origin, account=account, access_key_id=key)
        )
    machine = Ancestor(
        account=instance.account,
        mint_id="",
        access_key_id=instance.instance_id,
        principal_id=instance.instance_id,
        issued_at_ms=_milliseconds(instance.registered_at),
    )
    return _with_ancestor(made_from, machine)


def descend(session: Session) -> Lineage:
    """The lineage of what is made from a session."""
    ancestor = Ancestor(
        account=session.account,
        mint_id=session.mint_id,
        access_key_id=session.access_key_id,
        principal_id=session.principal_id,
        issued_at_ms=session.issued_at_ms,
    )
    lineage = _with_ancestor(session.lineage, ancestor)
    origin = lineage.origin
    named_ms = origin.named_ms
    if session.source_identity is not None and not named_ms:
        named_ms = session.issued_at_ms
    return replace(
        lineage,
        origin=replace(
            origin,
            account=origin.account or session.account,
            began_ms=origin.began_ms or session.issued_at_ms,
            mfa_shown=origin.mfa_shown or session.mfa_at is not None,
            named_ms=named_ms,
        ),
    )


def _with_ancestor(lineage: Lineage, ancestor: Ancestor) -> Lineage:
    """The same, one generation later."""
    ancestors = (*lineage.ancestors, ancestor)
    folded, until = lineage.folded, lineage.folded_until_ms
    if len(ancestors) > KEPT + 1:
        first, gone, *rest = ancestors
        ancestors = (first, *rest)
        folded = _fold(folded, gone)
        until = max(until, gone.issued_at_ms)
    return Lineage(
        origin=lineage.origin,
        ancestors=ancestors,
        folded=folded,
        folded_until_ms=until,
    )


def ending_with(lineage: Lineage, end_marks: tuple[str, ...]) -> Lineage:
    """The same of something that ends with marks of `broker.sessions.ends`, too.

    They are those of sign-ins, and looked up in each account that it came from.
    """
    if not end_marks:
        return lineage
    origin = lineage.origin
    targets = tuple(dict.fromkeys((*origin.targets, *end_marks)))
    return replace(lineage, origin=replace(origin, targets=targets))


def descend_as(session: Session, identity: FederatedIdentity) -> Lineage:
    """The same for what is made of a sign-in that several providers vouched for.

    The subject may be revoked in the account of each of them, and so may the person
    that a directory knows.
    """
    lineage = descend(session)
    origin = lineage.origin
    targets = dict.fromkeys(origin.targets)
    if identity.account != origin.account:
        subject = subject_digest(identity.issuer, identity.subject)
        targets[subject_target(subject)] = None
    if identity.person:
        targets[person_target(identity.person)] = None
    return replace(lineage, origin=replace(origin, targets=tuple(targets)))


def has_shown_mfa(session: Session, principal_id: str) -> bool | None:
    """Whether the session's lineage showed this principal's second factor.

    None when it does not go back to that principal.
    """
    origin = session.lineage.origin
    if principal_id not in {origin.principal_id, _own_principal(session)}:
        return None
    return origin.mfa_shown or session.mfa_at is not None


def trace(session: Session | SessionRecord) -> tuple[Trace, ...]:
    """What revocations may name of a session, by account; its own comes first."""
    origin = session.lineage.origin
    if not session.lineage.ancestors and origin.account in {None, session.account}:
        return (_trace_of_first(session, origin),)
    return _trace_of_any(session, origin)


def _trace_of_any(
    session: Session | SessionRecord, origin: Origin
) -> tuple[Trace, ...]:
    own = Ancestor(
        account=session.account,
        mint_id=session.mint_id,
        access_key_id=session.access_key_id,
        principal_id=session.principal_id,
        issued_at_ms=session.issued_at_ms,
    )
    named = session.source_identity
    return _traces(
        session.lineage,
        session.account,
        (own, *session.lineage.ancestors),
        issued_at_ms=session.issued_at_ms,
        providers=(session.provider_id, session.provider_arn or ""),
        everywhere={
            source_identity_target(named): origin.named_ms or session.issued_at_ms
        }
        if named
        else {},
    )


def _trace_of_first(session: Session | SessionRecord, origin: Origin) -> Trace:
    """What `_trace_of_any` gives for a first session, faster; most are first."""
    issued_at_ms = session.issued_at_ms
    began_ms = origin.began_ms or issued_at_ms
    first_ms = issued_at_ms if origin.subject else began_ms
    targets = (
        session.account,
        origin.access_key_id,
        origin.principal_id,
        session.provider_id,
        session.provider_arn,
    )
    marks = [(target, first_ms) for target in targets if target]
    marks += _further(origin, began_ms, first_ms)
    marks.append((session.principal_id, issued_at_ms))
    if origin.subject:
        marks.append((subject_target(origin.subject), began_ms))
    if session.source_identity:
        target = source_identity_target(session.source_identity)
        marks.append((target, origin.named_ms or issued_at_ms))
    keys = frozenset((session.access_key_id,))
    return Trace(
        account=session.account,
        since_ms=first_ms,
        mint_ids=frozenset((session.mint_id,)) if session.mint_id else frozenset(),
        key_ids=keys,
        old_key_ids=frozenset() if session.mint_id else keys,
        marks=tuple(marks),
    )


def trace_token(
    lineage: Lineage,
    account: AccountId,
    issued_at_ms: int,
    *,
    providers: tuple[str, ...] = (),
) -> tuple[Trace, ...]:
    """The same of a token of the broker's own, made in that account.

    ``providers`` are the id and the ARN of the one that vouches for it anew.
    """
    return _traces(
        lineage,
        account,
        lineage.ancestors,
        issued_at_ms=issued_at_ms,
        providers=providers,
    )


def _traces(
    lineage: Lineage,
    account: AccountId,
    sessions: tuple[Ancestor, ...],
    *,
    issued_at_ms: int,
    providers: tuple[str, ...] = (),
    everywhere: Mapping[str, int] = MappingProxyType({}),
) -> tuple[Trace, ...]:
    origin = lineage.origin
    began_ms = first_ms = origin.began_ms or issued_at_ms
    if origin.subject:
        # What began with a proof began before there was a session, or an account.
        first = lineage.ancestors[:1]
        first_ms = first[0].issued_at_ms if first else issued_at_ms
    parts: dict[AccountId, _Part] = {account: _Part()}

    def part(of: AccountId | None) -> _Part:
        return parts.setdefault(of or account, _Part())

    for ancestor in sessions:
        part(ancestor.account).add(ancestor)
    for group in lineage.folded:
        part(group.account).mark(group.principal_id, group.first_ms)
    root = part(origin.account)
    root.mark(origin.access_key_id, first_ms)
    root.mark(origin.principal_id, first_ms)
    for target in providers:
        # A token presented here may have been issued by another account than the one
        # its lineage began in.
        part(_account_of_arn(target) or origin.account).mark(target, first_ms)
    if origin.subject:
        root.marks[subject_target(origin.subject)] = began_ms
    chain = None
    if lineage.folded:
        first_ms = min(group.first_ms for group in lineage.folded)
        chain = (lineage.ancestors[0].label, first_ms, lineage.folded_until_ms)
    extra = dict(_further(origin, began_ms, first_ms))
    for target, at_ms in everywhere.items():
        extra[target] = min(extra.get(target, at_ms), at_ms)
    end_marks = [target for target in origin.targets if target.startswith(_END_MARKS)]
    for each in parts.values():
        each.key_ids += end_marks
    return tuple(
        part.finish(each, extra=tuple(extra.items()), chain=chain)
        for each, part in parts.items()
    )


def _further(origin: Origin, began_ms: int, first_ms: int) -> Iterator[tuple[str, int]]:
    """The origin's further targets: people's begin with the proof, others with the session."""
    for target in origin.targets:
        yield target, began_ms if target.startswith(_OF_PEOPLE) else first_ms


async def find_end(traces: tuple[Trace, ...], directory: LineageDirectory) -> str:
    """Why a session is over that has not expired; empty when it is not.

    ``traces`` are the session's; its own account is known to be there.

    Raises:
        StoreUnavailableError: the directory is away.
    """
    own = traces[0]
    for entry in traces:
        if entry is not own:
            account = await directory.find(ACCOUNT, entry.account)
            if account is None or entry.since_ms < _milliseconds(account.created_at):
                return f"account {entry.account}, which it came from, no longer exists"
        revocations = await directory.revocations(entry.account)
        if revocations and revocations.cover(entry):
            return "the session was revoked, or one that it came from"
    return ""


class LineageSnapshot:
    """Reads each account once: for a list of sessions, at one moment."""

    def __init__(self, directory: LineageDirectory) -> None:
        self._directory = directory
        self._found: dict[tuple[object, AccountId, str], Any] = {}
        self._revocations: dict[AccountId, Revocations] = {}

    async def find(
        self, kind: Remembered[Entity], account: AccountId, key: str = WHOLE
    ) -> Entity | None:
        """One by its id; the only one of its kind without."""
        place = (kind, account, key)
        if place not in self._found:
            self._found[place] = await self._directory.find(kind, account, key)
        return self._found[place]  # type: ignore[no-any-return]

    async def revocations(self, account: AccountId) -> Revocations:
        """What is revoked in the account."""
        if account not in self._revocations:
            revoked = await self._directory.revocations(account)
            self._revocations[account] = revoked
        return self._revocations[account]


class _Part:
    def __init__(self) -> None:
        self.mint_ids: list[str] = []
        self.key_ids: list[str] = []
        self.old_key_ids: list[str] = []
        self.marks: dict[str, int] = {}
        self.since_ms = 0

    def add(self, ancestor: Ancestor) -> None:
        self.key_ids.append(ancestor.access_key_id)
        if ancestor.mint_id:
            self.mint_ids.append(ancestor.mint_id)
        else:
            self.old_key_ids.append(ancestor.access_key_id)
        self.mark(ancestor.principal_id, ancestor.issued_at_ms)

    def mark(self, target: str, at_ms: int) -> None:
        """Something of this was issued then; the oldest counts."""
        self.since_ms = min(self.since_ms or at_ms, at_ms)
        if target:
            self.marks[target] = min(self.marks.get(target, at_ms), at_ms)

    def finish(
        self,
        account: AccountId,
        *,
        extra: tuple[tuple[str, int], ...],
        chain: tuple[str, int, int] | None,
    ) -> Trace:
        return Trace(
            account=account,
            since_ms=self.since_ms,
            mint_ids=frozenset(self.mint_ids),
            key_ids=frozenset(self.key_ids),
            old_key_ids=frozenset(self.old_key_ids),
            marks=(*self.marks.items(), (account, self.since_ms), *extra),
            chain=chain,
        )


def _fold(
    folded: tuple[FoldedAncestors, ...], gone: Ancestor
) -> tuple[FoldedAncestors, ...]:
    for number, ancestors in enumerate(folded):
        if (
            ancestors.account == gone.account
            and ancestors.principal_id == gone.principal_id
        ):
            earlier = replace(
                ancestors, first_ms=min(ancestors.first_ms, gone.issued_at_ms)
            )
            return (*folded[:number], earlier, *folded[number + 1 :])
    new = FoldedAncestors(
        account=gone.account, principal_id=gone.principal_id, first_ms=gone.issued_at_ms
    )
    return (*folded, new)


def lineage_of_old_token(
    account: AccountId,
    parent_key_id: str,
    narrowed_from: tuple[str, ...],
    issued_at_ms: int,
) -> Lineage:
    """What a token of version 1 knew: the key it was made with, and what it narrowed."""
    keys = dict.fromkeys((*narrowed_from, parent_key_id))
    is_long_term = bool(parent_key_id) and not parent_key_id.startswith(
        TEMPORARY_KEY_PREFIX
    )
    return Lineage(
        origin=Origin(
            account=find_account_of_key_id(parent_key_id) if is_long_term else None,
            access_key_id=parent_key_id if is_long_term else "",
        ),
        ancestors=tuple(
            Ancestor(
                account=find_account_of_key_id(key) or account,
                mint_id="",
                access_key_id=key,
                principal_id="",
                issued_at_ms=issued_at_ms,
            )
            for key in keys
            if key.startswith(TEMPORARY_KEY_PREFIX)
        ),
    )


def _account_of_arn(text: str) -> AccountId | None:
    fields = text.split(":", _ARN_FIELDS)
    return AccountId(fields[4]) if len(fields) == _ARN_FIELDS + 1 else None


def _own_principal(session: Session) -> str:
    if session.kind.is_role or session.kind is SessionKind.ROOT_TASK:
        return ""
    return session.principal_id


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
