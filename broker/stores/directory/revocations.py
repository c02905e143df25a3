"""What is revoked in an account."""

from typing import Protocol

from sqlalchemy import delete, or_, select

from broker.model.account import AccountId
from broker.model.revocation import REVOCATION_LIFE, Revocation, Revocations
from broker.runtime.clock import Clock
from broker.stores.directory.statements import Reads, Writes
from broker.stores.schema import INSTANCES, REVOCATIONS
from broker.stores.times import to_micros

_MICROSECONDS = 1000
"""In a millisecond."""


class RevocationReads(Reads, Protocol):
    """What is revoked."""

    _clock: Clock

    async def revocations(self, account: AccountId) -> Revocations:
        """Everything of the account that is revoked and not yet past its expiry."""
        rows = await self.rows(
            select(REVOCATIONS.c.target, REVOCATIONS.c.not_before_ms).where(
                REVOCATIONS.c.account == account,
                REVOCATIONS.c.expires_at > to_micros(self._clock.now()),
            )
        )
        return Revocations.read((row.target, row.not_before_ms) for row in rows)


class RevocationWrites(RevocationReads, Writes, Protocol):
    """Revoking."""

    async def revoke(self, revocation: Revocation) -> None:
        """Durable; never undone by a cache's loss."""
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

        if not_before is not None:
            await self._delete_instances(
                revocation.account, revocation.target, not_before
            )

    async def _delete_instances(
        self, account: AccountId, target: str, not_before_ms: int
    ) -> None:
        """End the machines that a provider or a subject admitted before a time.

        Their keys would outlive the mark.
        """
        await self.run(
            delete(INSTANCES).where(
                INSTANCES.c.account == account,
                INSTANCES.c.registered_at < not_before_ms * _MICROSECONDS,
                INSTANCES.c.provider_id != "",
                or_(
                    INSTANCES.c.registered_by == target,
                    INSTANCES.c.provider_id == target,
                    INSTANCES.c.subject == target,
                ),
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
