"""The roles to offer for switching: recently used ones, and those policies name.

A suggestion only: the role's trust policy decides when the user switches. Recent roles
are stored by user, so that they are there in another browser and after another sign-in.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from broker.console.console_session import ConsoleSession
from broker.console.page_frame import PageFrame
from broker.console.recent_roles import RecentRoles, name_of_session
from broker.permit.named_roles import named_roles
from broker.policy import PolicyType

_NAMED_MAX = 200


@dataclass(frozen=True, slots=True)
class OfferedRoles:
    """Role ARNs: ``recent`` newest first, and the others ``named`` by policies, sorted.

    ``cut`` says that the policies name more than are listed.
    """

    recent: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    cut: bool = False


class SwitchableRoles:
    """Finds the roles that the original session can switch to."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame
        self._recent = RecentRoles(frame.context.deps, "switched-roles")

    async def find_original(self, who: ConsoleSession) -> ConsoleSession | None:
        """Find the original session; None when it has ended."""
        if not who.origin.back:
            return who
        context = self._frame.context
        found = await context.sessions.find(who.origin.back, context.deps.clock.now())
        return found if isinstance(found, ConsoleSession) else None

    async def offer(self, request: Request, who: ConsoleSession) -> OfferedRoles:
        """Find the roles to offer, except the current one.

        Raises:
            BrokerError: The user's own policies cannot be read; this is audited.
        """
        original = await self.find_original(who)
        if original is None:
            return OfferedRoles()
        here = who.principal.principal_arn
        found = await self._frame.perform(
            request, original, ("signin", "GetOwnPermissions"), {}
        )
        recent = dict.fromkeys(await self.find_recent(original))
        named = sorted(set(_named_roles(found["Layers"])) - {here} - recent.keys())
        return OfferedRoles(
            tuple(arn for arn in recent if arn != here),
            tuple(named[:_NAMED_MAX]),
            len(named) > _NAMED_MAX,
        )

    async def find_recent(self, original: ConsoleSession) -> tuple[str, ...]:
        """The ARNs of the roles that the original session's user used, newest first."""
        return await self._recent.find([name_of_session(original.session)])

    async def remember(self, original: ConsoleSession, role_arn: str) -> None:
        """Record that the original session switched to this role."""
        await self._recent.remember(name_of_session(original.session), role_arn)


def _named_roles(layers: Iterable[tuple[PolicyType, Any]]) -> Iterable[str]:
    """Roles that the session's own policies allow it to assume, listed by ARN."""
    identity = dict(layers).get(PolicyType.IDENTITY)
    return () if identity is None else named_roles(identity)
