"""The roles that a user opened last, so that pages can list them first.

Stored on the server by user, not in a cookie: a SAML response comes by a cross-site
POST, which carries no cookies. A convenience only: without the cache the list is
empty.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable
from datetime import timedelta

from broker.console.deps import ConsoleDeps
from broker.errors import ServiceUnavailable
from broker.model.federated import FederatedIdentity
from broker.model.session import Session
from broker.runtime.clock import Clock
from broker.sessions.handles import Handles

LIFE = timedelta(days=180)
_KEPT_MAX = 8
_NAMES_MAX = 20


class RecentRoles:
    """Stores recent roles by user, newest first; ``space`` is the cache namespace."""

    def __init__(self, deps: ConsoleDeps, space: str = "recent-roles") -> None:
        self._handles = Handles(deps.cache, deps.vault, space)
        self._clock: Clock = deps.clock

    async def find(self, names: Iterable[str]) -> tuple[str, ...]:
        """The ARNs of these users' recent roles, each user's newest first."""
        found: list[str] = []
        for name in list(dict.fromkeys(names))[:_NAMES_MAX]:
            found += await self._of(name)
        return tuple(dict.fromkeys(found))

    async def remember(self, name: str, role_arn: str) -> None:
        """Record that a user opens a role now."""
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
    """The key of a user at a provider, by session name: a subject can be transient."""
    return _name(identity.provider_id, identity.session_name or identity.subject)


def name_of_session(session: Session) -> str:
    """The key of a console user: one person in one role, user or account."""
    return _name(
        session.account, session.principal_id, session.provider_id, session.name
    )


def name_of_person(session: Session) -> str:
    """The key of who is signed in to the portal; at a provider, that of `name_of`."""
    return _name(session.provider_id or session.principal_id, session.name)


def _name(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
