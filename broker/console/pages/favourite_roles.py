"""The roles that a user marked as favourites, which the home page lists first.

Stored on the server by user, as recent roles are (`recent_roles`), so that they are
there in another browser. A convenience only: without the cache there are none. They
end a year after the last change.
"""

import contextlib
from datetime import timedelta

from broker.console.deps import ConsoleDeps
from broker.errors import ServiceUnavailable, ValidationError
from broker.sessions.handles import Handles

KEPT_MAX = 24
_LIFE = timedelta(days=365)


class FavouriteRoles:
    """Stores favourites by user (`recent_roles.name_of_session`), sorted."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._handles = Handles(deps.cache, deps.vault, "favourite-roles")
        self._clock = deps.clock

    async def find(self, name: str) -> tuple[str, ...]:
        """The ARNs."""
        with contextlib.suppress(ServiceUnavailable):
            kept = await self._handles.find(name)
            return tuple(kept["roles"]) if kept else ()
        return ()

    async def mark(self, name: str, role_arn: str, do: str) -> str:
        """Do what a form's field says, ``remove`` or add; a sentence on what was done.

        Raises:
            ValidationError: There are too many favourites to add another.
            ServiceUnavailable: The cache is unavailable.
        """
        kept = await self._handles.find(name)
        roles = set(kept["roles"]) if kept else set()
        removes = do == "remove"
        roles.discard(role_arn) if removes else roles.add(role_arn)
        if len(roles) > KEPT_MAX:
            raise ValidationError(
                f"You have {KEPT_MAX} favourites, the maximum. Remove one first."
            )
        value = {"roles": sorted(roles)}
        await self._handles.replace(name, value, self._clock.now() + _LIFE)
        state = "is no longer a favourite" if removes else "is now a favourite"
        return f"{role_arn.rpartition('/')[2]} {state}."
