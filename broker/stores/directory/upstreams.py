"""Upstreams: other STS endpoints that mint for roles of an account."""

from sqlalchemy import select

from broker.model.account import AccountId
from broker.model.upstream import Upstream
from broker.stores.directory.kinds import UPSTREAM
from broker.stores.directory.statements import Reads, Writes
from broker.stores.schema import UPSTREAMS


class UpstreamReads(Reads):
    """See ``DirectoryReader``."""

    async def find_upstream(self, account: AccountId, name: str) -> Upstream | None:
        return await self.find_entity(UPSTREAM.stored, account=account, name=name)

    async def list_upstreams(self, account: AccountId) -> tuple[Upstream, ...]:
        return await self.list_entities(
            UPSTREAM.stored,
            select(UPSTREAMS)
            .where(UPSTREAMS.c.account == account)
            .order_by(UPSTREAMS.c.name),
        )


class UpstreamWrites(UpstreamReads, Writes):
    """See ``DirectoryChange``."""

    async def put_upstream(self, upstream: Upstream) -> None:
        values = UPSTREAM.stored.values(upstream)
        if not await self.insert_if_free(UPSTREAMS, values):
            del values["created_at"]
            await self.update_by(
                UPSTREAMS, values, account=upstream.account, name=upstream.name
            )

    async def delete_upstream(self, upstream: Upstream) -> None:
        await self.delete_by(UPSTREAMS, account=upstream.account, name=upstream.name)
