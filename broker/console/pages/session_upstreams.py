"""Which sessions' credentials an upstream gave: ending them does not reach it."""

from collections.abc import Iterable

from broker.console.visit import Visit
from broker.stores.cache.port import SessionRecord


async def find_upstreams(
    visit: Visit, records: Iterable[SessionRecord]
) -> dict[str, str]:
    """The upstreams' names, by the key ids of the sessions of their roles.

    Raises:
        StoreUnavailableError: the database is away.
    """
    found = {}
    for record in records:
        role = await visit.deps.fresh.find_role_by_id(
            record.account, record.principal_id
        )
        engine = None if role is None else await visit.deps.upstreams.find(role)
        if engine is not None:
            found[record.access_key_id] = engine.upstream.name
    return found
