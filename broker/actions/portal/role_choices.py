"""The roles of a sign-in to the portal, and which of them it may take now.

The candidates are those that the sign-in named (an assertion's pairs, a token's claim,
``GroupRoles``), or that an IAM user's policies may let in. Each is decided as the
request for its credentials will be.
What must be allowed is the action for how the person signed in.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import partial

from msgspec import Struct

from broker.actions.action import Call
from broker.actions.sts.federated_roles import RESERVED_ROLES, identity_tags
from broker.actions.sts.roles import find_role, role_needs
from broker.errors import AccessDenied, ValidationError
from broker.kinds.organisations import Organisations
from broker.model.account import AccountId, parse_account_id
from broker.model.entities import Role
from broker.model.federated import FederatedIdentity
from broker.model.page import Page, PageRequest, read_pages
from broker.model.principal import PrincipalType
from broker.model.session import Caller, SessionKind
from broker.permit.context import Context, call_context
from broker.permit.gather import PolicyLibrary
from broker.permit.guard import Guard
from broker.permit.named_roles import named_roles
from broker.permit.need import Need
from broker.proofs.federated import federated_caller
from broker.proofs.provider_options import find_provider
from broker.runtime.shares import spent
from broker.sessions.portal import OpenPortal
from broker.sessions.tags import NO_TAGS
from broker.stores.directory.identities import list_roles_with
from broker.stores.directory.kinds import (
    ACCOUNT,
    ROLE,
)
from broker.stores.directory.readings import FreshDirectory

_KINDS = {
    PrincipalType.SAML: SessionKind.SAML,
    PrincipalType.WEB_IDENTITY: SessionKind.WEB_IDENTITY,
    PrincipalType.LDAP: SessionKind.LDAP,
}
_PAGE = 100
_LOOKED_MAX = 2000

_SECONDS_MAX = 1.0
"""For deciding about all roles; after it the list is incomplete."""

_BATCH = 20
"""Roles decided before other calls get a turn."""


class AccountNames:
    """Finds an account's name: its organisation's, its alias, or else its number."""

    def __init__(self, fresh: FreshDirectory, organisations: Organisations) -> None:
        self._fresh = fresh
        self._organisations = organisations

    async def get(self, portal: OpenPortal, number: AccountId) -> str:
        """The name that the sign-in's person sees; the account need not exist."""
        organisation = self._organisations.find(portal.organisation)
        member = organisation and organisation.members.get(number)
        if member and member.display_name:
            return member.display_name
        account = await self._fresh.find(ACCOUNT, number)
        return (account.alias if account else None) or number


def role_permissions(portal: OpenPortal, role: Role) -> tuple[Need, ...]:
    """What a role's trust policy, and an IAM user's own policies, must allow."""
    assigned = portal.roles.find(role.account, role.name)
    if assigned is None:
        params = {"RoleArn": role.arn, "RoleSessionName": portal.session.name}
        return role_needs(
            f"sts:{SessionKind.ASSUME_ROLE.value}",
            params,
            role,
            tags=NO_TAGS,
            source_identity=None,
            context={},
            calling=portal.session,
        )
    identity = assigned[1]
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
    return _KINDS[identity.principal.type]


def session_name_of(identity: FederatedIdentity) -> str:
    """The role session name: the person's."""
    return identity.session_name or identity.subject


class Choosing(Struct):
    """One call that decides about roles; what is the same for all is read once.

    It ends after ``most`` of them, or at ``ends`` of the monotonic clock. ``looked`` is
    how many it decided about; ``contexts`` and ``registered`` are by the provider's ARN,
    which is empty for an IAM user.
    """

    portal: OpenPortal
    call: Call
    ends: float
    most: int
    looked: int = 0
    contexts: dict[str, Context] = {}
    registered: dict[str, bool] = {}

    @property
    def is_over(self) -> bool:
        """Whether it decided about enough."""
        return self.looked >= self.most or spent() > self.ends


def begin_choosing(
    portal: OpenPortal, call: Call, most: int, seconds: float
) -> Choosing:
    """Begin to decide about roles, at most so many and so long."""
    return Choosing(portal, call, ends=spent() + seconds, most=most)


class RoleChoices:
    """Finds the roles of a sign-in, and those that it may take."""

    def __init__(
        self,
        fresh: FreshDirectory,
        library: PolicyLibrary,
        guard: Guard,
        organisations: Organisations,
    ) -> None:
        self._organisations = organisations
        self._fresh = fresh
        self._library = library
        self._guard = guard

    async def find(self, portal: OpenPortal, account: str, name: str) -> Role | None:
        """A role that the sign-in named, or any that an IAM user asks for."""
        if not portal.roles:
            try:
                number = parse_account_id(account)
            except ValueError:
                return None
            if not self._admits(portal, number):
                return None
            return await self._fresh.named(ROLE, number, name)
        assigned = portal.roles.find(account, name)
        if assigned is None or not await self._is_registered(assigned[1]):
            return None
        if not self._admits(portal, assigned[1].account, assigned[1].provider_arn):
            return None
        return await self.find_named(assigned[0])

    async def list_allowed(
        self, portal: OpenPortal, call: Call, account: AccountId | None = None
    ) -> list[Role]:
        """All that it may take, or those in one account, each once, by name."""
        allowed: dict[str, Role] = {}
        choosing = begin_choosing(portal, call, _LOOKED_MAX, _SECONDS_MAX)
        async for role in self._candidates(choosing, account):
            if choosing.is_over:
                break
            if role.arn not in allowed and await self.lets_in(role, choosing):
                allowed[role.arn] = role
        return sorted(allowed.values(), key=lambda role: role.name)

    async def list_accounts(self, portal: OpenPortal, call: Call) -> list[AccountId]:
        """The accounts in which it may take any role, by number."""
        choosing = begin_choosing(portal, call, _LOOKED_MAX, _SECONDS_MAX)
        if not portal.roles:
            return sorted(
                {role.account for role in await self.list_allowed(portal, call)}
            )
        return sorted(
            [
                account
                for account in portal.roles.accounts
                if await self._opens_any(account, choosing)
            ]
        )

    async def _opens_any(self, account: AccountId, choosing: Choosing) -> bool:
        async for role in self._candidates(choosing, account):
            if choosing.is_over:
                return False
            if await self.lets_in(role, choosing):
                return True
        return False

    async def lets_in(self, role: Role, choosing: Choosing) -> bool:
        """Whether it may take the role now."""
        choosing.looked += 1
        if choosing.looked % _BATCH == 0:
            await asyncio.sleep(0)
        portal = choosing.portal
        named = portal.roles.find(role.account, role.name)
        if named is None:
            if portal.roles or not self._admits(portal, role.account):
                return False
            caller, provider_arn = choosing.call.caller, ""
        elif (
            named[0] != role.arn
            or not self._admits(portal, role.account, named[1].provider_arn)
            or not await self._is_known(named[1], choosing)
        ):
            return False
        else:
            caller, provider_arn = federated_caller(named[1]), named[1].provider_arn
        context = _context(caller, provider_arn, choosing)
        for need in role_permissions(portal, role):
            try:
                judged = await self._guard.judge(caller, need, context)
            except AccessDenied:
                return False
            if not judged.decision.allowed:
                return False
        return True

    async def find_named(self, arn: str) -> Role | None:
        """The role; None if the ARN is not a role's, or the role is reserved."""
        try:
            role = await find_role(self._fresh, arn)
        except ValidationError:
            return None
        reserved = role is not None and role.name.startswith(RESERVED_ROLES)
        return None if reserved else role

    async def list_own_arns(self, call: Call) -> list[str]:
        """The roles that an IAM user's policies name."""
        own = await self._library.identity(call.caller)
        return [] if own is None else sorted(set(named_roles(own)))

    async def read_own(self, call: Call, text: str, page: PageRequest) -> Page[Role]:
        """Roles of an IAM user's account: a trust policy may name the user.

        Raises:
            ValidationError: the page's marker is none of this list's.
        """
        try:
            return await list_roles_with(call.directory, call.account, text, page)
        except ValidationError as error:
            raise ValidationError("There is no such place in this list.") from error

    def _admits(
        self, portal: OpenPortal, account: AccountId, provider_arn: str = ""
    ) -> bool:
        """Whether the sign-in's organisation, if it is to one, has the account."""
        if not portal.organisation:
            return True
        organisation = self._organisations.find(portal.organisation)
        if organisation is None or not organisation.admits(account, provider_arn):
            return False
        return bool(portal.roles) or organisation.admits_users(portal.session.account)

    async def _candidates(
        self, choosing: Choosing, account: AccountId | None
    ) -> AsyncIterator[Role]:
        portal, call = choosing.portal, choosing.call
        if portal.roles:
            accounts = portal.roles.accounts if account is None else (account,)
            named = (
                arn
                for account_id in accounts
                for arn, _ in portal.roles.list_of(account_id)
            )
            async for role in self._find_all(named):
                yield role
            return
        async for role in self._find_all(await self.list_own_arns(call)):
            if account in {None, role.account}:
                yield role
        if account in {None, call.account}:
            list_roles = partial(call.directory.page_of, ROLE, call.account)
            async for roles in read_pages(list_roles, _PAGE):
                for role in roles:
                    yield role

    async def _find_all(self, arns: Iterable[str]) -> AsyncIterator[Role]:
        for arn in arns:
            role = await self.find_named(arn)
            if role is not None:
                yield role

    async def _is_known(self, identity: FederatedIdentity, choosing: Choosing) -> bool:
        """As `_is_registered`, looked up once for a call."""
        arn = identity.provider_arn
        if arn not in choosing.registered:
            choosing.registered[arn] = await self._is_registered(identity)
        return choosing.registered[arn]

    async def _is_registered(self, identity: FederatedIdentity) -> bool:
        """Whether the provider that proved the person is still there."""
        arn = identity.provider_arn
        provider = await find_provider(self._fresh, identity.account, arn)
        return provider is not None and provider.unique_id == identity.provider_id


def _context(caller: Caller, provider_arn: str, choosing: Choosing) -> Context:
    context = choosing.contexts.get(provider_arn)
    if context is None:
        call = choosing.call
        context = call_context(
            caller, call.request.raw, region=call.region, now=call.now
        )
        choosing.contexts[provider_arn] = context
    return context
