"""``ListAccounts`` and ``ListAccountRoles``: the roles that a person may take.

Of those that the sign-in named (an assertion's pairs, a token's claim, ``GroupRoles``),
or that an IAM user's policies may let in, the ones whose trust policy lets this person
in now. Each is decided as the request for its credentials will be.

Source: botocore's sso model.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.sts.assume_role_with_saml import RESERVED_ROLES
from broker.actions.sts.federated_mint import identity_tags
from broker.actions.sts.roles import find_role, role_needs
from broker.authn.federated import federated_caller
from broker.authz.context import call_context
from broker.authz.gather import PolicyLibrary
from broker.authz.guard import Guard
from broker.authz.named_roles import named_roles
from broker.authz.need import Need
from broker.errors import AccessDenied, ValidationError
from broker.model.account import AccountId, parse_account_id
from broker.model.caller import Caller
from broker.model.entities import Role
from broker.model.federated import FederatedIdentity
from broker.model.page import read_pages
from broker.model.principal import PrincipalType
from broker.model.session import SessionKind
from broker.sessions.portal import OpenPortal
from broker.sessions.tags import NO_TAGS
from broker.stores.directory.fresh import FreshDirectory

NO_ACCESS = "No access"

_PAGE = 100
_PLACE = re.compile(r"[0-9]{1,6}", re.ASCII)
_LOOKED_MAX = 2000
_SECONDS_MAX = 1.0
"""For deciding about the roles; after it the list is incomplete."""

_BATCH = 20
"""Roles decided before other calls get a turn."""

_CALLS = 10
"""What a list counts towards the rate limit: it decides about every role."""


class AssignmentsRequest(TypedDict):
    """A page of the accounts, or of one account's roles."""

    accountId: NotRequired[str]
    maxResults: NotRequired[int]
    nextToken: NotRequired[str]
    SignIn: OpenPortal


class RoleChoices:
    """Finds the roles of a sign-in, and those that it may take."""

    def __init__(
        self, fresh: FreshDirectory, library: PolicyLibrary, guard: Guard
    ) -> None:
        self._fresh = fresh
        self._library = library
        self._guard = guard

    async def find(self, portal: OpenPortal, account: str, name: str) -> Role | None:
        """A role that the sign-in named, or any that an IAM user asks for."""
        if not portal.roles:
            try:
                return await self._fresh.find_role(parse_account_id(account), name)
            except ValueError:
                return None
        found = portal.roles.find(account, name)
        if found is None or not await self._is_registered(found[1]):
            return None
        return await self._find_named(found[0])

    async def list_allowed(self, portal: OpenPortal, call: Call) -> list[Role]:
        """All that it may take, each once."""
        allowed: dict[str, Role] = {}
        ends = time.monotonic() + _SECONDS_MAX
        looked = 0
        async for role, caller in self._candidates(portal, call):
            if looked >= _LOOKED_MAX or time.monotonic() > ends:
                break
            looked += 1
            if looked % _BATCH == 0:
                await asyncio.sleep(0)
            if role.arn not in allowed and await self._lets_in(
                role, caller, portal, call
            ):
                allowed[role.arn] = role
        return list(allowed.values())

    async def _candidates(
        self, portal: OpenPortal, call: Call
    ) -> AsyncIterator[tuple[Role, Caller]]:
        for arn, identity in portal.roles:
            role = await self._find_named(arn)
            if role is not None and await self._is_registered(identity):
                yield role, federated_caller(identity)
        if portal.roles:
            return
        own = await self._library.identity(call.caller)
        for arn in () if own is None else named_roles(own):
            role = await self._find_named(arn)
            if role is not None:
                yield role, call.caller
        list_roles = partial(call.directory.list_roles, call.account, "/")
        async for roles in read_pages(list_roles, _PAGE):
            for role in roles:
                yield role, call.caller

    async def _find_named(self, arn: str) -> Role | None:
        """The role; None if the ARN is not a role's, or the role is reserved."""
        try:
            role = await find_role(self._fresh, arn)
        except ValidationError:
            return None
        reserved = role is not None and role.name.startswith(RESERVED_ROLES)
        return None if reserved else role

    async def _is_registered(self, identity: FederatedIdentity) -> bool:
        """Whether the provider that proved the person is still there."""
        account = identity.account
        _, _, saml_name = identity.provider_arn.partition(":saml-provider/")
        if saml_name:
            saml = await self._fresh.find_saml_provider(account, saml_name)
            return saml is not None and saml.uuid == identity.provider_id
        _, _, path = identity.provider_arn.partition(":oidc-provider/")
        oidc = await self._fresh.find_oidc_provider(account, path)
        return oidc is not None and oidc.unique_id == identity.provider_id

    async def _lets_in(
        self, role: Role, caller: Caller, portal: OpenPortal, call: Call
    ) -> bool:
        context = call_context(
            caller, call.request.raw, region=call.region, now=call.now
        )
        for need in role_permissions(portal, role):
            try:
                judged = await self._guard.judge(caller, need, context)
            except AccessDenied:
                return False
            if not judged.decision.allowed:
                return False
        return True


class Assignments:
    """The handlers, with what they need."""

    def __init__(self, choices: RoleChoices, fresh: FreshDirectory) -> None:
        self._choices = choices
        self._fresh = fresh

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        return tuple(
            Action(
                service="sso",
                name=name,
                needs=needs_nothing,
                handle=handle,
                audited=("accountId",),
                calls=_CALLS,
            )
            for name, handle in (
                ("ListAccounts", self._accounts),
                ("ListAccountRoles", self._roles),
                ("ListAssignments", self._assignments),
            )
        )

    async def _accounts(
        self, given: AssignmentsRequest, call: Call
    ) -> Mapping[str, Any]:
        roles = await self._choices.list_allowed(given["SignIn"], call)
        accounts = [
            {"accountId": number, "accountName": await self._name(number)}
            for number in sorted({role.account for role in roles})
        ]
        return _page("accountList", accounts, given)

    async def _assignments(
        self, given: AssignmentsRequest, call: Call
    ) -> Mapping[str, Any]:
        """All at once, for a page: the name and the roles' names by account."""
        roles = await self._choices.list_allowed(given["SignIn"], call)
        return {
            "Accounts": [
                (
                    number,
                    await self._name(number),
                    sorted(role.name for role in roles if role.account == number),
                )
                for number in sorted({role.account for role in roles})
            ]
        }

    async def _name(self, number: AccountId) -> str:
        account = await self._fresh.find_account(number)
        return (account.alias if account else None) or number

    async def _roles(self, given: AssignmentsRequest, call: Call) -> Mapping[str, Any]:
        wanted = given.get("accountId", "")
        roles = await self._choices.list_allowed(given["SignIn"], call)
        names = sorted(role.name for role in roles if role.account == wanted)
        listed = [{"roleName": name, "accountId": wanted} for name in names]
        return _page("roleList", listed, given)


def role_permissions(portal: OpenPortal, role: Role) -> tuple[Need, ...]:
    """What a role's trust policy, and an IAM user's own policies, must allow.

    The action is the one for how the person signed in.
    """
    found = portal.roles.find(role.account, role.name)
    if found is None:
        given = {"RoleArn": role.arn, "RoleSessionName": portal.session.name}
        return role_needs(
            f"sts:{SessionKind.ASSUME_ROLE.value}",
            given,
            role,
            tags=NO_TAGS,
            source_identity=None,
            context={},
            calling=portal.session,
        )
    identity = found[1]
    return role_needs(
        f"sts:{session_kind_of(identity).value}",
        {"RoleArn": role.arn, "RoleSessionName": session_name_of(identity)},
        role,
        tags=identity_tags(identity),
        source_identity=identity.source_identity,
        context={},
    )


def session_kind_of(identity: FederatedIdentity) -> SessionKind:
    """The kind of session that such a proof opens."""
    if identity.principal.type is PrincipalType.SAML:
        return SessionKind.SAML
    return SessionKind.WEB_IDENTITY


def session_name_of(identity: FederatedIdentity) -> str:
    """The role session name: the person's."""
    return identity.session_name or identity.subject


def _page(
    member: str, whole: list[dict[str, str]], given: AssignmentsRequest
) -> Mapping[str, Any]:
    token = given.get("nextToken", "") or "0"
    if not _PLACE.fullmatch(token) or int(token) > len(whole):
        raise ValidationError("There is no such place in this list.")
    start = int(token)
    end = start + given.get("maxResults", _PAGE)
    more = str(end) if end < len(whole) else None
    return {member: whole[start:end], "nextToken": more}
