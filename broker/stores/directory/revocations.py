"""What is revoked, and the machines that a revocation ends: rows, read and written."""

from collections.abc import Iterable
from typing import Protocol

from sqlalchemy import delete, or_, select, tuple_
from sqlalchemy.sql import ColumnElement

from broker.model.account import AccountId
from broker.model.lineage import admitted_target, chain_label
from broker.model.revocation import (
    BARS,
    REVOCATION_LIFE,
    Bar,
    Revocation,
    Revocations,
    read_bar,
)
from broker.runtime.clock import Clock
from broker.stores.directory.statements import Reads, Writes
from broker.stores.schema import INSTANCE_ORIGINS, INSTANCES, REVOCATIONS
from broker.stores.times import to_micros


class SqlRevocationReads(Reads, Protocol):
    """See ``DirectoryReader``."""

    _clock: Clock

    async def revocations(self, account: AccountId) -> Revocations:
        rows = await self.rows(
            select(REVOCATIONS.c.target, REVOCATIONS.c.not_before_ms).where(
                REVOCATIONS.c.account == account,
                REVOCATIONS.c.expires_at > to_micros(self._clock.now()),
            )
        )
        return Revocations.read((row.target, row.not_before_ms) for row in rows)

    async def list_bars(self, account: AccountId) -> tuple[Bar, ...]:
        rows = await self.rows(
            select(REVOCATIONS.c.target, REVOCATIONS.c.reason).where(
                REVOCATIONS.c.account == account, REVOCATIONS.c.target.like(BARS)
            )
        )
        bars = (read_bar(row.target, row.reason) for row in rows)
        return tuple(sorted(bars, key=lambda bar: (bar.issuer, bar.subject)))


class SqlRevocationWrites(SqlRevocationReads, Writes, Protocol):
    """See ``DirectoryChange``."""

    async def revoke(self, revocation: Revocation) -> int:
        where = (
            REVOCATIONS.c.account == revocation.account,
            REVOCATIONS.c.target == revocation.target,
        )
        not_before = revocation.not_before_ms
        expires_at = to_micros(revocation.expires_at)
        known = await self.find_row(select(REVOCATIONS).where(*where))
        if known is not None:
            # A later revocation may widen an earlier one, never narrow it.
            if not_before is not None and known.not_before_ms is not None:
                not_before = max(not_before, known.not_before_ms)
            expires_at = max(expires_at, known.expires_at)
            await self.run(delete(REVOCATIONS).where(*where))
        await self.run(
            REVOCATIONS.insert().values(
                account=revocation.account,
                target=revocation.target,
                not_before_ms=not_before,
                expires_at=expires_at,
                reason=revocation.reason,
            )
        )
        await self.run(
            delete(REVOCATIONS).where(
                REVOCATIONS.c.account == revocation.account,
                REVOCATIONS.c.expires_at < to_micros(self._clock.now()),
            )
        )

        return await self._delete_instances(
            revocation.account,
            Revocations.read([(revocation.target, not_before)]),
        )

    async def narrow(self, revocation: Revocation) -> None:
        await self.forget_revocation(revocation.account, revocation.target)
        await self.revoke(revocation)

    async def forget_revocation(self, account: AccountId, target: str) -> int:
        return await self.delete_by(REVOCATIONS, account=account, target=target)

    async def write_origins(
        self,
        account: AccountId,
        instance_id: str,
        origins: Iterable[tuple[AccountId, str, int, int]],
    ) -> None:
        row_key = {"account": account, "instance_id": instance_id}
        await self.delete_by(INSTANCE_ORIGINS, **row_key)
        known = {(of, label): times for of, label, *times in origins}
        for (of, label), (since_ms, until_ms) in known.items():
            times = {"since_ms": since_ms, "until_ms": until_ms}
            await self.run(
                INSTANCE_ORIGINS.insert(),
                {**row_key, "of_account": of, "label": label, **times},
            )

    async def _delete_instances(self, account: AccountId, revoked: Revocations) -> int:
        """End the machines, of any account, that come from what is revoked in this one.

        Their keys would outlive the revocation.
        """
        columns = INSTANCE_ORIGINS.c

        def issued_before(label: str, until_ms: int) -> ColumnElement[bool]:
            return (columns.label == label) & (columns.since_ms < until_ms)

        names = {*revoked.access_key_ids, *revoked.mint_ids}
        named: list[ColumnElement[bool]] = [columns.label.in_(names)]
        named += [issued_before(*mark) for mark in revoked.not_before_ms.items()]
        for first, times in revoked.chains.items():
            named += [
                (columns.label == chain_label(first))
                & (columns.since_ms <= at_ms)
                & (columns.until_ms >= at_ms)
                for at_ms in times
            ]
        other = INSTANCE_ORIGINS.alias("other").c
        for subject, roles in revoked.roles.items():
            of_subject = select(other.account, other.instance_id).where(
                other.of_account == account, other.label == subject
            )
            instance = tuple_(columns.account, columns.instance_id)
            named += [
                issued_before(*role) & instance.in_(of_subject)
                for role in roles.items()
            ]
        ended = select(columns.account, columns.instance_id).where(
            columns.of_account == account, or_(*named)
        )
        rows = await self.rows(ended.distinct())
        for row in rows:
            row_key = {"account": row.account, "instance_id": row.instance_id}
            await self.delete_by(INSTANCES, **row_key)
            await self.delete_by(INSTANCE_ORIGINS, **row_key)
        return len(rows)

    async def _end_admitted(self, account: AccountId, principal_id: str) -> None:
        """End the machines that a deleted user or role admitted, if there are any."""
        target = admitted_target(principal_id)
        columns = INSTANCE_ORIGINS.c
        admitted = select(columns.instance_id).where(
            columns.of_account == account, columns.label == target
        )
        if await self.find_row(admitted.limit(1)) is None:
            return
        expires_at = self._clock.now() + REVOCATION_LIFE
        await self.revoke(
            Revocation(
                account=account,
                target=target,
                not_before_ms=int(expires_at.timestamp() * 1000),
                expires_at=expires_at,
                reason="the user or role that admitted them was deleted",
            )
        )

    async def _end_vouched_for(
        self, account: AccountId, provider_arn: str, provider_id: str
    ) -> None:
        """Leave marks that end the sessions of a deleted provider.

        Another provider may get its ARN, but never its id: that is the target for what
        is issued right now, or by a worker that does not know of the end yet.
        """
        now = self._clock.now()
        expires_at = now + REVOCATION_LIFE
        for target, not_before_ms in (
            # The millisecond of the deletion itself counts as before it.
            (provider_arn, int(now.timestamp() * 1000) + 1),
            (provider_id, int(expires_at.timestamp() * 1000)),
        ):
            await self.revoke(
                Revocation(
                    account=account,
                    target=target,
                    not_before_ms=not_before_ms,
                    expires_at=expires_at,
                    reason="the provider was deleted",
                )
            )
