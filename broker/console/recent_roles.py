"""The roles that a user opened last or marked, so that pages can list them first.

Stored on the server by user, not in a cookie: they are there in another browser, and a
SAML response comes by a cross-site POST, which carries no cookies. A convenience only:
without the cache the lists are empty.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable
from datetime import timedelta

from broker.console.deps import ConsoleDeps
from broker.errors import ServiceUnavailable, ValidationError
from broker.model.federated import FederatedIdentity
from broker.model.session import Session
from broker.sessions.handles import Handles

LIFE = timedelta(days=180)
FAVOURITES_MAX = 24
_FAVOURITES_LIFE = timedelta(days=365)
_KEPT_MAX = 8
_NAMES_MAX = 20


class ListOfUser:
    """Stores a list of texts by user; ``space`` is the cache namespace."""

    def __init__(self, deps: ConsoleDeps, space: str, life: timedelta) -> None:
        self._handles = Handles(deps.cache, deps.vault, space)
        self._clock = deps.clock
        self._life = life

    async def find(self, name: str) -> tuple[str, ...]:
        """The user's list; empty without the cache."""
        with contextlib.suppress(ServiceUnavailable):
            return await self.read(name)
        return ()

    async def read(self, name: str) -> tuple[str, ...]:
        """The user's list, to change it.

        Raises:
            ServiceUnavailable: The cache is unavailable.
        """
        kept = await self._handles.find(name)
        return tuple(kept["roles"]) if kept else ()

    async def put(self, name: str, texts: Iterable[str]) -> None:
        """Replace the user's list, and keep it for its life from now on.

        Raises:
            ServiceUnavailable: The cache is unavailable.
        """
        value = {"roles": list(texts)}
        await self._handles.replace(name, value, self._clock.now() + self._life)


class RecentRoles:
    """Stores recent roles by user, newest first; ``space`` is the cache namespace."""

    def __init__(self, deps: ConsoleDeps, space: str = "recent-roles") -> None:
        self._lists = ListOfUser(deps, space, LIFE)

    async def find(self, names: Iterable[str]) -> tuple[str, ...]:
        """The ARNs of these users' recent roles, each user's newest first."""
        results: list[str] = []
        for name in list(dict.fromkeys(names))[:_NAMES_MAX]:
            results += await self._lists.find(name)
        return tuple(dict.fromkeys(results))

    async def remember(self, name: str, role_arn: str) -> None:
        """Record that a user opens a role now."""
        older = [arn for arn in await self._lists.find(name) if arn != role_arn]
        with contextlib.suppress(ServiceUnavailable):
            await self._lists.put(name, [role_arn, *older][:_KEPT_MAX])


class FavouriteRoles:
    """Stores favourites by user (`name_of_session`), sorted, for a year."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._lists = ListOfUser(deps, "favourite-roles", _FAVOURITES_LIFE)
        self.find = self._lists.find

    async def mark(self, name: str, role_arn: str, do: str) -> str:
        """Do what a form's field says, ``remove`` or add; a sentence on what was done.

        Raises:
            ValidationError: There are too many favourites to add another.
            ServiceUnavailable: The cache is unavailable.
        """
        removes = do == "remove"
        roles = {*await self._lists.read(name)} - {role_arn}
        roles |= set() if removes else {role_arn}
        if len(roles) > FAVOURITES_MAX:
            raise ValidationError(
                f"You have {FAVOURITES_MAX} favorites, the maximum. Remove one first."
            )
        await self._lists.put(name, sorted(roles))
        state = "is no longer a favorite" if removes else "is now a favorite"
        return f"{role_arn.rpartition('/')[2]} {state}."


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
