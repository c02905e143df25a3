"""The one gate: gather, evaluate, and refuse what is not allowed."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import AccessDenied
from broker.model.entities import Role
from broker.model.principal import PrincipalType
from broker.model.request import RawRequest
from broker.model.session import Caller
from broker.permit.context import Context, call_context, resource_context
from broker.permit.gather import ACCOUNT_SETTING, PolicyLibrary
from broker.permit.messages import MessageSealer, authorization_message
from broker.permit.need import Need, Trust
from broker.policy import (
    AccessRequest,
    ApplicablePolicies,
    Check,
    Decision,
    Explanation,
    PolicySet,
    PolicyType,
    TooMuchWork,
    decide,
    explain,
    no_check,
    prepare,
)
from broker.runtime.offload import offload_if_long
from broker.runtime.shares import give_way

_UNSIGNED = frozenset(kind for kind in PrincipalType if kind.is_federated)


class Judgement(Struct, frozen=True, kw_only=True):
    """One need decided, with everything that the decision rests on.

    ``resource_type`` is what kind of policy ``applicable.resource`` is.
    """

    request: AccessRequest
    applicable: ApplicablePolicies
    decision: Decision
    resource_type: PolicyType

    def explain(self, check: Check = no_check) -> Explanation:
        """Why, in words; computed when read, unless ``check`` ends it."""
        return explain(self.request, self.applicable, self.decision, check)

    async def give_reason(self) -> str:
        """The same in one or two sentences, for the event loop.

        Raises:
            Throttling: too much long work of the account is waiting already.
        """
        return await offload_if_long(lambda check: self.explain(check).sentence())


class Guard:
    """Asks the policy engine about every need of a call."""

    def __init__(
        self, library: PolicyLibrary, messages: MessageSealer | None = None
    ) -> None:
        self._library = library
        self._messages = messages

    async def require(
        self,
        caller: Caller,
        needs: Iterable[Need],
        raw: RawRequest,
        *,
        region: str,
        now: datetime,
    ) -> tuple[Decision, ...]:
        """The decisions, all of them allowing.

        Raises:
            AccessDenied: the first need that is not allowed; ``detail`` holds the
                explanation for the audit record.
            ServiceUnavailable: the policies cannot be read.
            Throttling: too much long work of the account is waiting already.
        """
        context: Context | None = None
        trust: Trust | None = None
        judged: Judgement | None = None
        decisions = []
        for need in needs:
            if context is None:
                context = call_context(caller, raw, region=region, now=now)
            else:
                await give_way()
            try:
                if need.trust is not None:
                    _require_open(caller, need.trust.role, need.resource)
                like = judged if trust is not None and need.trust is trust else None
                judged = await self.judge(caller, need, context, like=like)
            except AccessDenied as error:
                raise AccessDenied(
                    _denial(caller, need, None),
                    detail=error.detail,
                    encoded=self._encoded(caller, need, None, context, now),
                ) from error
            decision, trust = judged.decision, need.trust
            if not decision.allowed:
                raise AccessDenied(
                    _denial(caller, need, decision),
                    detail=await judged.give_reason(),
                    encoded=self._encoded(caller, need, decision, context, now),
                )
            decisions.append(decision)
        return tuple(decisions)

    def _encoded(
        self,
        caller: Caller,
        need: Need,
        decision: Decision | None,
        context: Context,
        now: datetime,
    ) -> str:
        """The sealed message of a denial; empty for callers without an account."""
        if self._messages is None or caller.principal.type in _UNSIGNED:
            return ""
        text = authorization_message(caller, need, decision, context)
        return self._messages.seal(caller.account, text, now) or ""

    async def judge(
        self,
        caller: Caller,
        need: Need,
        context: Context,
        *,
        like: Judgement | None = None,
        is_large: bool = False,
    ) -> Judgement:
        """Decide one need, and refuse nothing.

        ``like`` is a judgement of the same caller's need for the same role, whose
        policies all apply again, or of a batch: for another resource with a policy, of
        the same account. Its other policies apply again. With long or many values
        (``is_large``), few policies can make a decision more than a small one.

        Raises:
            AccessDenied: a policy that applies cannot be read any more, or the
                policies are too much for one decision.
            ServiceUnavailable: the policies cannot be read.
            Throttling: too much long work of the account is waiting already.
        """
        if like is None:
            applicable = await self._applicable(caller, need)
        elif need.trust is not None:
            applicable = like.applicable
        else:
            resource, _ = await self._library.of_resource(need.account, need.resource)
            applicable = replace(like.applicable, resource=resource)
        request = AccessRequest(
            action=need.action,
            resource=need.resource,
            principal=caller.principal,
            context={
                **context,
                **resource_context(need.resource, need.account),
                **need.context,
            },
        )
        kind = PolicyType.RESOURCE if need.trust is None else PolicyType.TRUST
        try:
            prepared = prepare(request, applicable, kind, exact=is_large)
        except TooMuchWork as error:
            raise AccessDenied(detail=str(error)) from error
        return Judgement(
            request=request,
            applicable=applicable,
            decision=await offload_if_long(partial(decide, prepared)),
            resource_type=kind,
        )

    async def _applicable(self, caller: Caller, need: Need) -> ApplicablePolicies:
        resource = None
        resource_controls: tuple[PolicySet, ...] = ()
        if need.granted:
            resource = ACCOUNT_SETTING
        if need.trust is not None and need.trust.role is not None:
            resource, resource_controls = await self._library.of_role(need.trust.role)
        elif need.has_policy:
            resource, resource_controls = await self._library.of_resource(
                need.account, need.resource
            )
        if caller.principal.type in _UNSIGNED:
            # An unsigned caller has no policies; only the role's trust policy counts.
            return ApplicablePolicies(
                resource=resource,
                resource_account=need.account,
                resource_controls=resource_controls,
            )
        own = await self._library.own(caller)
        return ApplicablePolicies(
            identity=own.identity,
            boundary=own.boundary,
            session=await self._library.session(caller),
            resource=resource,
            resource_account=need.account,
            service_controls=own.service_controls,
            resource_controls=resource_controls,
        )


def _require_open(caller: Caller, role: Role | None, arn: str) -> None:
    if role is None:
        raise AccessDenied(detail=f"there is no role {arn}")
    if caller.closed_roles and role.arn in caller.closed_roles:
        raise AccessDenied(
            detail=f"GroupRoles maps none of the person's groups to {role.arn}"
        )


def _denial(caller: Caller, need: Need, decision: Decision | None) -> str:
    """The wire text, as recorded (REC-A, REC-S federation, REC-L)."""
    if caller.principal.type in _UNSIGNED:
        return f"Not authorized to perform {need.action}"
    text = (
        f"User: {caller.principal.arn} is not authorized to perform: {need.action}"
        f" on resource: {need.shown or need.resource}"
    )
    # STS says no more than this; IAM names the kind of policy that decided.
    if decision is None or need.action.startswith("sts:"):
        return text
    return f"{text} {decision.denial_clause(need.action)}"


def reason(decisions: Iterable[Decision]) -> str:
    """What allowed a call, for its audit record."""
    reasons = []
    for decision in decisions:
        statements = " and ".join(map(str, decision.statements))
        reasons.append(statements or decision.policy_type.value)
    return "; ".join(reasons)
