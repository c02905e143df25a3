"""Upstreams: other STS endpoints that mint for roles of an account."""

from typing import Protocol

from broker.model.account import AccountId
from broker.model.upstream import Upstream
from broker.stores.directory.port.entities import EntityReader


class UpstreamReader(Protocol):
    """Upstreams by name."""

    async def find_upstream(self, account: AccountId, name: str) -> Upstream | None: ...

    async def list_upstreams(self, account: AccountId) -> tuple[Upstream, ...]:
        """All of the account, by name."""
        ...


class UpstreamChange(UpstreamReader, EntityReader, Protocol):
    """Writes to upstreams."""

    async def put_upstream(self, upstream: Upstream) -> None:
        """Insert it, or replace the one of the same name."""
        ...

    async def delete_upstream(self, upstream: Upstream) -> None: ...
