"""Revokes sessions, with everything made from them.

Revocations are durable changes in the directory, which lists and every use look up.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from broker.model.account import AccountId
from broker.model.lineage import Ancestor, subject_digest
from broker.model.revocation import (
    BARRED_MS,
    PROOFS_LIFE,
    REVOCATION_LIFE,
    Revocation,
    bar_target,
    lost_role_target,
    session_target,
)
from broker.sessions.lineage import person_target, subject_target
from broker.stores.cache.port import SessionRecord
from broker.stores.directory.port import DirectoryChange

_FOR_GOOD = timedelta(days=36_500)

SETTLING = timedelta(seconds=2)
"""How long after a person's end another worker may still admit them.

Workers learn of a change within a second; the rest is for clocks that differ.
"""


async def revoke_session(
    change: DirectoryChange, record: SessionRecord, *, now: datetime, reason: str = ""
) -> None:
    """End a session, which may have expired, and all that was made from it."""
    session = Ancestor(
        account=record.account,
        mint_id=record.mint_id,
        access_key_id=record.access_key_id,
        principal_id=record.principal_id,
        issued_at_ms=record.issued_at_ms,
    )
    await _revoke(
        change,
        account=record.account,
        target=session_target(session, record.lineage),
        now=now,
        reason=reason,
    )


async def revoke_key_id(
    change: DirectoryChange,
    *,
    account: AccountId,
    access_key_id: str,
    now: datetime,
    reason: str = "",
) -> None:
    """End a session known by its key id only, and all that was made from it."""
    await _revoke(change, account=account, target=access_key_id, now=now, reason=reason)


async def revoke_issued_before(
    change: DirectoryChange,
    *,
    account: AccountId,
    target: str,
    now: datetime,
    settling: timedelta = timedelta(0),
    life: timedelta = REVOCATION_LIFE,
    reason: str = "",
) -> int:
    """End every session of a target that was issued up to now; kept for ``life``.

    Sessions that are issued while the end is ``settling`` are ended, too.

    ``target`` is the unique id of a user or role, the id of a long-term key, a
    provider's ARN, the account's number, or what ``broker.sessions.lineage`` has for a subject or source identity.
    What came from those sessions ends with them; returns how many machines did.
    """
    # The millisecond of the revocation itself counts as before it.
    now_ms = int((now + settling).timestamp() * 1000) + 1
    return await _revoke(
        change,
        account=account,
        target=target,
        not_before_ms=now_ms,
        now=now,
        life=life,
        reason=reason,
    )


async def revoke_for_good(
    change: DirectoryChange,
    *,
    account: AccountId,
    target: str,
    now: datetime,
    reason: str = "",
) -> None:
    """End every session of a target that is gone for good, such as a machine.

    That includes those which are being issued right now, by this worker or by one that
    does not know of the end yet, and those of a worker whose clock is ahead. ``target``
    is what `revoke_issued_before` takes.
    """
    await _revoke(
        change,
        account=account,
        target=target,
        not_before_ms=int((now + REVOCATION_LIFE).timestamp() * 1000),
        now=now,
        reason=reason,
    )


async def revoke_person(
    change: DirectoryChange,
    *,
    account: AccountId,
    issuers: Iterable[str],
    subject: str,
    now: datetime,
    person: str = "",
    settling: timedelta = timedelta(0),
    reason: str = "",
) -> int:
    """End everything of a person whom a provider of the account authenticated.

    That is every session of the ``subject`` (NameID, ``sub`` or directory id) from one
    of the provider's ``issuers``, all those that a SCIM directory's ``person`` opened
    under whatever subject, and what came from them: console sessions, sign-ins to the
    portal, refresh tokens, credentials of roles, in every account. What the provider
    issued before opens nothing more. Sessions that are issued while the end is
    ``settling`` are ended, too. Returns how many machines ended.
    """
    targets = []
    if subject:
        targets += [
            subject_target(subject_digest(issuer, subject)) for issuer in issuers
        ]
    if person:
        targets.append(person_target(person))
    # The millisecond of the revocation itself counts as before it.
    not_before_ms = int((now + settling).timestamp() * 1000) + 1
    machines = 0
    for target in targets:
        machines += await _revoke(
            change,
            account=account,
            target=target,
            not_before_ms=not_before_ms,
            now=now,
            life=PROOFS_LIFE if subject else REVOCATION_LIFE,
            reason=reason,
        )
    return machines


async def bar_person(
    change: DirectoryChange,
    *,
    account: AccountId,
    issuer: str,
    subject: str,
    now: datetime,
    reason: str = "",
) -> int:
    """End everything of a person, as `revoke_person` does, and refuse them from now on."""
    machines = 0
    for target, not_before_ms in (
        (bar_target(issuer, subject), None),
        (subject_target(subject_digest(issuer, subject)), BARRED_MS),
    ):
        machines += await _revoke(
            change,
            account=account,
            target=target,
            not_before_ms=not_before_ms,
            now=now,
            life=_FOR_GOOD,
            reason=reason,
        )
    return machines


async def lift_bar(
    change: DirectoryChange,
    *,
    account: AccountId,
    issuer: str,
    subject: str,
    now: datetime,
) -> bool:
    """Admit a person again who was barred; whether they were.

    What was issued to them until now opens nothing: only a new sign-in does.
    """
    if not await change.forget_revocation(account, bar_target(issuer, subject)):
        return False
    await change.narrow(
        Revocation(
            account=account,
            target=subject_target(subject_digest(issuer, subject)),
            not_before_ms=int(now.timestamp() * 1000) + 1,
            expires_at=now + PROOFS_LIFE,
        )
    )
    return True


async def revoke_lost_role(
    change: DirectoryChange,
    *,
    account: AccountId,
    issuer: str,
    subject: str,
    role_id: str,
    now: datetime,
    reason: str = "",
) -> None:
    """End a subject's sessions of a role that they no longer have, and what came from them."""
    person = subject_target(subject_digest(issuer, subject))
    await revoke_issued_before(
        change,
        account=account,
        target=lost_role_target(person, role_id),
        now=now,
        settling=SETTLING,
        reason=reason,
    )


async def _revoke(
    change: DirectoryChange,
    *,
    account: AccountId,
    target: str,
    now: datetime,
    not_before_ms: int | None = None,
    life: timedelta = REVOCATION_LIFE,
    reason: str,
) -> int:
    return await change.revoke(
        Revocation(
            account=account,
            target=target,
            not_before_ms=not_before_ms,
            expires_at=now + life,
            reason=reason,
        )
    )
