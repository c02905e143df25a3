"""``ListOwnRoles``: the roles that the caller could assume now.

It needs no permission, since callers could find out the same by trying each role: the
decision is that of an attempt, and roles that would refuse are not listed. The number
of roles and the time are bounded.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, TypedDict

from msgspec import Struct

from broker.actions.action import Action, Call, console_action, needs_nothing
from broker.actions.sts.roles import find_role, role_needs
from broker.errors import AccessDenied, ValidationError
from broker.model.arn import iam_arn
from broker.model.entities import Role
from broker.model.page import PageRequest
from broker.model.principal import PrincipalType
from broker.permit.context import call_context
from broker.permit.gather import PolicyLibrary
from broker.permit.guard import Guard
from broker.permit.named_roles import named_roles
from broker.policy import PolicySet
from broker.runtime.shares import give_way, spent
from broker.sessions.tags import require_session_tags
from broker.stores.directory.identities import list_roles_with
from broker.stores.directory.readings import FreshDirectory

ROLES_MAX = 40
"""In one answer."""

NAMED_MAX = 2000
_LOOKED_MAX = 200
_SECONDS_MAX = 0.25
_ASSUME = "sts:AssumeRole"
_WILD = frozenset("*?$")


class ListOwnRolesRequest(TypedDict):
    """``First`` are ARNs to look at first, then those that the caller's policies name.

    The account's own roles follow, if such a policy has wildcards. ``Text`` is a part
    of the ARN, or of an own role's description; ``Start`` is the ``Next`` of the answer
    before.
    """

    First: tuple[str, ...]
    Text: str
    Start: int
    SessionName: str


class _SearchProgress(Struct):
    looked: int = 0
    next: int | None = None


class OwnRoles:
    """The handler, with what it needs."""

    def __init__(
        self, fresh: FreshDirectory, library: PolicyLibrary, guard: Guard
    ) -> None:
        self._fresh = fresh
        self._library = library
        self._guard = guard

    def action(self) -> Action:
        """The declaration."""
        return console_action("ListOwnRoles", needs_nothing, self._handle, "Text")

    async def _handle(
        self, params: ListOwnRolesRequest, call: Call
    ) -> Mapping[str, Any]:
        """``Roles``, and ``Next``: where to continue, or None.

        ``Whole`` is False if some roles were not checked.
        """
        kind = call.caller.principal.type
        if kind in {PrincipalType.ACCOUNT, PrincipalType.FEDERATED_USER}:
            return {"Roles": [], "Next": None, "Whole": True}
        ends = spent() + _SECONDS_MAX
        state = _SearchProgress()
        roles: list[Role] = []
        async for role in self._candidates(params, call, state):
            full = len(roles) >= ROLES_MAX or state.looked >= _LOOKED_MAX
            if full or spent() > ends:
                return {"Roles": roles, "Next": state.next, "Whole": False}
            state.looked += 1
            await give_way()
            if role is not None and await self._may_assume(role, params, call):
                roles.append(role)
        return {"Roles": roles, "Next": None, "Whole": True}

    async def _candidates(
        self, params: ListOwnRolesRequest, call: Call, state: _SearchProgress
    ) -> AsyncIterator[Role | None]:
        text = params["Text"].lower()
        policies = await self._library.identity(call.caller)
        own = call.caller.principal.principal_arn
        named = sorted(set(named_roles(policies)) if policies else ())
        arns = [arn for arn in dict.fromkeys((*params["First"], *named)) if arn != own][
            :NAMED_MAX
        ]
        for place in range(params["Start"], len(arns)):
            state.next = place
            if text in arns[place].lower():
                yield await self._find(arns[place])
        state.next = None
        if policies is None or not _has_wildcard(policies, call):
            return
        page = await list_roles_with(
            call.directory, call.account, text, PageRequest(None, _LOOKED_MAX)
        )
        listed = {*arns, own}
        for role in page.items:
            if role.arn not in listed:
                yield role

    async def _find(self, arn: str) -> Role | None:
        try:
            return await find_role(self._fresh, arn)
        except ValidationError:
            return None

    async def _may_assume(
        self, role: Role, params: ListOwnRolesRequest, call: Call
    ) -> bool:
        calling = call.caller.session
        needs = role_needs(
            _ASSUME,
            {"RoleArn": role.arn, "RoleSessionName": params["SessionName"]},
            role,
            tags=require_session_tags([], (), calling=calling),
            source_identity=None,
            context={},
            calling=calling,
        )
        context = call_context(
            call.caller, call.request.raw, region=call.region, now=call.now
        )
        try:
            for need in needs:
                judged = await self._guard.judge(call.caller, need, context)
                if not judged.decision.allowed:
                    return False
        except AccessDenied:
            return False
        return True


def _has_wildcard(policies: PolicySet, call: Call) -> bool:
    """Whether an Allow could cover roles of the account that it does not name."""
    own = iam_arn(call.account, "role/")
    return any(
        statement.source.not_resource
        or _could_be_below(own, statement.source.resources)
        for statement in policies.candidates(_ASSUME.lower()).allows
    )


def _could_be_below(own: str, resources: Iterable[str] | None) -> bool:
    for resource in resources or ():
        wild = next((n for n, c in enumerate(resource) if c in _WILD), None)
        if wild is None:
            continue
        fixed = resource[:wild]
        if own.startswith(fixed) or fixed.startswith(own):
            return True
    return False
