"""What administrators should review: unused roles, broad policies, expiring keys.

Each is a bounded look, not a report, and shows only the first findings. The permissions
are those of the API actions that reveal the same.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypedDict

import orjson
from msgspec import Struct

from broker.actions.action import Action, Call, console_action, needing
from broker.actions.signin.overviews import (
    _LOOKED_MAX,
    _PAGE,
    _SECONDS_MAX,
    ListRoleAssumersRequest,
    _may_list_with_uses,
)
from broker.errors import AccessDenied
from broker.kinds.documents import shown_trust_policies
from broker.kinds.names import find_named_resource
from broker.kinds.roles import require_role
from broker.model.entities import Role
from broker.model.overview import EndingCredential
from broker.model.page import read_pages
from broker.model.request import Params
from broker.model.session import Caller
from broker.permit.context import tag_context
from broker.permit.guard import Guard
from broker.permit.hypothetical import Hypotheses, role_caller, user_caller
from broker.permit.need import Need, Trust
from broker.policy import Effect, PolicyKind, PolicyRejected, parse_policy
from broker.policy.breadth import Breadth, find_breadth
from broker.policy.principal import find_account
from broker.proofs.provider_health import certificate_ends
from broker.runtime.bounded import BoundedCache
from broker.runtime.shares import spent
from broker.stores.directory.kinds import (
    ROLE,
    SAML_PROVIDER,
    USER,
)
from broker.stores.directory.overviews import (
    list_ending_credentials,
    list_old_keys,
    list_unused_roles,
)
from broker.stores.directory.policy_texts import list_policy_texts
from broker.stores.directory.port import Finder
from broker.stores.directory.timeline import ChangeId

_may_read_report = needing(("iam:GetCredentialReport", ""))
_may_read_everything = needing(("iam:GetAccountAuthorizationDetails", ""))

SHOWN_MAX = 50

POLICIES_MAX = 500
"""The number of policies that are read; an account may have more, mostly inline ones.
"""

_BROAD = "broad"
_PROVIDERS_MAX = 30


class RoleAssumers:
    """Who may assume a role."""

    def __init__(self, directory: Finder, guard: Guard) -> None:
        self._hypotheses = Hypotheses(directory, guard)

    def action(self) -> Action:
        """The declaration."""
        return console_action(
            "ListRoleAssumers", _may_read_everything, self._handle, "RoleName"
        )

    async def _handle(
        self, params: ListRoleAssumersRequest, call: Call
    ) -> Mapping[str, Any]:
        """``Assumers`` are ARNs with reasons; ``Looked`` counts those examined.

        ``Whole`` is False when there are more principals than that. Principals that the
        trust policy cannot match are skipped. Conditions are decided without a request,
        so principals that need MFA or a certain network are not listed.
        """
        role = await require_role(call.directory, call.account, params["RoleName"])
        named = await _named_principals(role, call)
        need = Need(
            action="sts:AssumeRole",
            resource=role.arn,
            account=role.account,
            context={
                **tag_context("aws:resourcetag", role.tags),
                **tag_context("iam:resourcetag", role.tags),
            },
            trust=Trust(role=role),
        )
        results: list[tuple[str, str]] = []
        looked, whole = 0, True
        ends = spent() + _SECONDS_MAX
        listed = _principals(call) if named is None else _principals_by_arn(named, call)
        async for arn, caller in listed:
            if looked >= _LOOKED_MAX or spent() > ends:
                whole = False
                break
            looked += 1
            await asyncio.sleep(0)  # cached decisions are made without a pause
            sentence = await self._find_reason(caller, need, call)
            if sentence is not None:
                results.append((arn, sentence))
        return {"Assumers": results, "Looked": looked, "Whole": whole}

    async def _find_reason(self, caller: Caller, need: Need, call: Call) -> str | None:
        """Why the principal may assume the role; None when it may not."""
        try:
            judged = await self._hypotheses.judge_as(
                caller, need, region=call.region, now=call.now
            )
        except AccessDenied:
            return None
        return await judged.give_reason() if judged.decision.allowed else None


async def _named_principals(role: Role, call: Call) -> tuple[str, ...] | None:
    """The principals of the account that the trust policy names; None for any."""
    (text,) = await shown_trust_policies(call.directory, [role.trust_policy])
    try:
        document = parse_policy(text, PolicyKind.TRUST)
    except PolicyRejected:
        return ()
    named: list[str] = []
    for statement in document.statements:
        principals = statement.principals
        if principals is None or statement.effect is Effect.DENY:
            continue
        if principals.anyone:
            return None
        for value in principals.aws:
            if value == "*" or find_account(value) == call.account:
                return None
            named.append(value)
    return tuple(dict.fromkeys(named))


async def _principals_by_arn(
    named: tuple[str, ...], call: Call
) -> AsyncIterator[tuple[str, Caller]]:
    for text in named:
        user = find_named_resource(text, "user")
        if user is not None and user.account == call.account:
            named_user = await call.directory.named(USER, call.account, user.name)
            if named_user is not None and named_user.arn == text:
                yield text, user_caller(named_user)
        role = find_named_resource(text, "role")
        if role is not None and role.account == call.account:
            holder = await call.directory.named(ROLE, call.account, role.name)
            if holder is not None and holder.arn == text:
                yield text, role_caller(holder)


async def _principals(call: Call) -> AsyncIterator[tuple[str, Caller]]:
    list_users = partial(call.directory.page_of, USER, call.account)
    async for users in read_pages(list_users, _PAGE):
        for user in users:
            yield user.arn, user_caller(user)
    list_roles = partial(call.directory.page_of, ROLE, call.account)
    async for roles in read_pages(list_roles, _PAGE):
        for role in roles:
            yield role.arn, role_caller(role)


class UnusedRolesRequest(TypedDict):
    """For how long a role was not used."""

    Days: int


class RisksRequest(TypedDict):
    """Within how many days something expires, and how old access keys are, in days."""

    Days: int
    KeyDays: int


class BroadPolicy(Struct, frozen=True):
    """A policy that grants too much. ``owner`` is empty for a managed one."""

    kind: str
    name: str
    owner: str
    breadth: Breadth


class AccountRisks:
    """The handlers; broad policies are found once for each state of an account."""

    def __init__(self) -> None:
        self._broad = BoundedCache[
            str, tuple[ChangeId | None, tuple[BroadPolicy, ...], int]
        ]()

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        return (
            console_action("ListUnusedRoles", _may_list_with_uses, _unused, "Days"),
            console_action(
                "ListEndingCredentials", _may_read_report, _ending, "Days", "KeyDays"
            ),
            console_action("ListBroadPolicies", _may_read_everything, self._list_broad),
        )

    async def _list_broad(self, _given: Params, call: Call) -> Mapping[str, Any]:
        """``Policies`` that grant too much, of the ``Looked`` ones that were read."""
        last = (await call.directory.last_changes([call.account])).get(call.account)
        kept = self._broad.get(call.account, _BROAD)
        if kept is None or kept[0] != last:
            texts = await list_policy_texts(call.directory, call.account, POLICIES_MAX)
            policies = tuple(
                BroadPolicy(text.kind, text.name, text.owner, breadth)
                for text in texts
                if (breadth := find_breadth(orjson.loads(text.document))) is not None
            )
            kept = (last, policies, len(texts))
            self._broad.put(call.account, _BROAD, kept)
        _, policies, looked = kept
        return {
            "Policies": policies[:SHOWN_MAX],
            "Count": len(policies),
            "Looked": looked,
            "Whole": looked < POLICIES_MAX,
        }


async def _unused(params: UnusedRolesRequest, call: Call) -> Mapping[str, Any]:
    """``Roles`` that were not used, of ``Total``; ``Whole`` if these are all."""
    since = call.now - timedelta(days=params["Days"])
    roles = await list_unused_roles(call.directory, call.account, since, SHOWN_MAX + 1)
    return {
        "Roles": roles[:SHOWN_MAX],
        "Whole": len(roles) <= SHOWN_MAX,
        "Total": await call.directory.count(ROLE, call.account),
    }


async def _ending(params: RisksRequest, call: Call) -> Mapping[str, Any]:
    """``Ending`` credentials and certificates, the first first, and ``OldKeys``."""
    before = call.now + timedelta(days=params["Days"])
    directory, account = call.directory, call.account
    credentials: list[EndingCredential] = list(
        await list_ending_credentials(directory, account, before, SHOWN_MAX)
    )
    providers = (await directory.all_of(SAML_PROVIDER, account))[:_PROVIDERS_MAX]
    async for provider in directory.with_documents(SAML_PROVIDER, providers):
        credentials += (
            EndingCredential("saml-provider", provider.arn, provider.name, ends_at)
            for ends_at in await certificate_ends(provider.metadata)
            if ends_at < before
        )
    keys = await list_old_keys(
        directory, account, call.now - timedelta(days=params["KeyDays"]), SHOWN_MAX + 1
    )
    return {
        "Ending": _first(credentials),
        "OldKeys": keys[:SHOWN_MAX],
        "WholeKeys": len(keys) <= SHOWN_MAX,
    }


def _first(credentials: Sequence[EndingCredential]) -> tuple[EndingCredential, ...]:
    return tuple(
        sorted(credentials, key=lambda credential: credential.expires_at)[:SHOWN_MAX]
    )
