"""Which roles somebody opened last, so that the role page shows them first.

Kept under who the identity provider says they are and not in a cookie: the response
comes by a cross-site post, which carries none. A convenience and nothing more: when
the cache is away the page is in the order of names.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable
from datetime import timedelta

from broker.clock import Clock
from broker.console.deps import ConsoleDeps
from broker.errors import ServiceUnavailable
from broker.model.federated import FederatedIdentity
from broker.sessions.handles import Handles

LIFE = timedelta(days=180)
_KEPT_MAX = 8
_IDENTITIES_MAX = 20


class RecentRoles:
    """Remembers them by identity, newest first."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._handles = Handles(deps.cache, deps.vault, "recent-roles")
        self._clock: Clock = deps.clock

    async def find(self, identities: Iterable[FederatedIdentity]) -> tuple[str, ...]:
        """ARNs of roles that these opened, the newest of each first."""
        names = dict.fromkeys(map(name_of, identities))
        found: list[str] = []
        for name in list(names)[:_IDENTITIES_MAX]:
            found += await self._of(name)
        return tuple(dict.fromkeys(found))

    async def remember(self, name: str, role_arn: str) -> None:
        """Whoever has this name (`name_of`) opens this role now."""
        older = [arn for arn in await self._of(name) if arn != role_arn]
        kept = {"roles": [role_arn, *older][:_KEPT_MAX]}
        with contextlib.suppress(ServiceUnavailable):
            await self._handles.replace(name, kept, self._clock.now() + LIFE)

    async def _of(self, name: str) -> list[str]:
        try:
            kept = await self._handles.find(name)
        except ServiceUnavailable:
            return []
        return list(kept["roles"]) if kept else []


def name_of(identity: FederatedIdentity) -> str:
    """One person at one provider: the session's name, for subjects may be fleeting."""
    parts = [identity.provider_id, identity.session_name or identity.subject]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
