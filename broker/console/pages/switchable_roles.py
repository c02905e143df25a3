"""The roles that somebody may want to switch to: used last, and named by policies.

An offer and no promise: the role's trust policy has the last word when it is taken.
What is used is remembered under who signed in, so that it is there in another browser
and after another sign-in.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from broker.console.console_session import SignedIn
from broker.console.page_frame import PageFrame
from broker.console.pages.recent_roles import RecentRoles, name_of_session
from broker.policy import PolicyType

_ASSUME = "sts:assumerole"
_NAMED_MAX = 200
_ROLE = re.compile(r"arn:aws:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SwitchableRole:
    """ARNs of roles: ``recent`` newest first, the others that are ``named`` sorted.

    ``cut`` says that more are named than are here.
    """

    recent: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    cut: bool = False


class SwitchableRoles:
    """Finds them for the session that was signed in with, which does the switching."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame
        self._recent = RecentRoles(frame.context.deps, "switched-roles")

    async def find_origin(self, who: SignedIn) -> SignedIn | None:
        """The session that was signed in with; None when it ended."""
        if not who.arrived.back:
            return who
        context = self._frame.context
        found = await context.sessions.find(who.arrived.back, context.deps.clock.now())
        return found if isinstance(found, SignedIn) else None

    async def offer(self, request: Request, who: SignedIn) -> SwitchableRole:
        """What there is, but for the role that one is in already.

        Raises:
            BrokerError: one's own policies cannot be read, and the audit says so.
        """
        origin = await self.find_origin(who)
        if origin is None:
            return SwitchableRole()
        here = who.principal.principal_arn
        found = await self._frame.perform(
            request, origin, ("signin", "GetOwnPermissions"), {}
        )
        recent = dict.fromkeys(
            await self._recent.find([name_of_session(origin.session)])
        )
        named = sorted(set(_named_roles(found["Layers"])) - {here} - recent.keys())
        return SwitchableRole(
            tuple(arn for arn in recent if arn != here),
            tuple(named[:_NAMED_MAX]),
            len(named) > _NAMED_MAX,
        )

    async def remember(self, origin: SignedIn, role_arn: str) -> None:
        """Whoever signed in with this session goes on as this role."""
        await self._recent.remember(name_of_session(origin.session), role_arn)


def _named_roles(layers: Iterable[tuple[PolicyType, Any]]) -> Iterator[str]:
    """Roles that the session's own policies let it assume by name."""
    policies: Mapping[PolicyType, Any] = dict(layers)
    identity = policies.get(PolicyType.IDENTITY)
    if identity is None:
        return
    candidates = identity.candidates(_ASSUME)
    denied = {
        arn
        for statement in candidates.denies
        if not statement.source.conditions and not statement.source.not_resource
        for arn in statement.source.resources or ()
    }
    if "*" in denied:
        return
    for statement in candidates.allows:
        if statement.source.not_resource:
            continue
        for arn in statement.source.resources or ():
            if arn not in denied and _ROLE.fullmatch(arn):
                yield arn
