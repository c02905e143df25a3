"""``AssumeRoot``: a managing account does one task as another account's root.

An installation has no organization: the operator names, for each account, the one
that manages its root (``RootManagedBy`` in its template).

Source: botocore's STS model; recorded answers (REC-S root_access).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from broker.actions.action import Action, Call
from broker.actions.sts.callers import refuse_user_sessions
from broker.actions.sts.regions import require_region, require_regional
from broker.actions.sts.roles import minted_shape
from broker.errors import AccessDenied, ExpiredToken, ValidationError
from broker.kinds.accounts import root_manager
from broker.kinds.managed_policies import find_aws_managed
from broker.model.account import Account, AccountId, parse_account_id
from broker.model.arn import Arn, iam_arn
from broker.model.principal import PrincipalType
from broker.model.session import Session, SessionKind, SessionPolicies
from broker.permit.need import Need
from broker.sessions.issue import MintOrder, SessionIssuer, new_access_key_id
from broker.sessions.limits import session_duration
from broker.sessions.lineage import lineage_from, new_mint_id
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.readings import FreshDirectory

if TYPE_CHECKING:
    from broker.model.types import sts as types

_NAME = "AssumeRoot"
_ROOT_TASK = "arn:aws:iam::aws:policy/root-task/"


def assume_root(fresh: FreshDirectory, issuer: SessionIssuer) -> Action:
    """The action, given what it works with."""

    async def needs(params: types.AssumeRootRequest, call: Call) -> tuple[Need, ...]:
        require_regional(call, _NAME)
        refuse_user_sessions(call, _NAME)
        target = _target(params["TargetPrincipal"])
        task = _task_policy(params)
        resource = iam_arn(target, "root")
        account = await fresh.find(ACCOUNT, target)
        if call.caller.principal.type is PrincipalType.ACCOUNT or not _manages(
            call.account, account
        ):
            raise AccessDenied(
                f"User: {call.caller.principal.arn} is not authorized to perform:"
                f" sts:{_NAME} on resource: {resource}",
                detail=f"{call.account} does not manage the root of {target}, or its"
                " own root calls",
            )
        # The permission is the managing account's to give: what it may reach is the
        # operator's decision, not a policy of the target.
        return (
            Need(
                action=f"sts:{_NAME}",
                resource=resource,
                account=call.account,
                context={"sts:taskpolicyarn": (task,)},
            ),
        )

    async def handle(params: types.AssumeRootRequest, call: Call) -> Mapping[str, Any]:
        target = _target(params["TargetPrincipal"])
        account = await fresh.find(ACCOUNT, target)
        if account is None:
            raise AccessDenied(detail=f"the account {target} no longer exists")
        require_region(account, call)
        calling = call.caller.session
        seconds = session_duration(
            SessionKind.ROOT_TASK, params.get("DurationSeconds"), now=call.now
        )
        if calling is not None:
            seconds = min(seconds, calling.expires_at - int(call.now.timestamp()))
            if seconds < 0:
                raise ExpiredToken(detail=f"expired at {calling.expires_at}")
        source_identity = calling.source_identity if calling else None
        minted = await issuer.issue(
            MintOrder(
                session=Session(
                    access_key_id=new_access_key_id(target),
                    mint_id=new_mint_id(),
                    issued_at_ms=int(call.now.timestamp() * 1000),
                    expires_at=int(call.now.timestamp()) + seconds,
                    account=target,
                    kind=SessionKind.ROOT_TASK,
                    principal_id=target,
                    name="",
                    parent_key_id=call.caller.access_key_id,
                    policies=(SessionPolicies(None, (_task_policy(params),)),),
                    source_identity=source_identity,
                    lineage=lineage_from(call.caller),
                ),
                account_salt=account.session_salt,
                principal_arn=iam_arn(target, "root"),
                now=call.now,
                least_token_characters=params.get("MinimumSessionTokenSize", 0),
            ),
            call.record,
        )
        answer: dict[str, Any] = {
            **minted_shape(minted.credentials),
        }
        if source_identity is not None:
            answer["SourceIdentity"] = source_identity
        return answer

    return Action(
        service="sts",
        name=_NAME,
        needs=needs,
        handle=handle,
        audited=("TargetPrincipal", "TaskPolicyArn", "DurationSeconds"),
    )


def _manages(managing: AccountId, target: Account | None) -> bool:
    return target is not None and root_manager(target) == managing


def _target(text: str) -> AccountId:
    """The account that an id or a root's ARN names.

    Raises:
        ValidationError: it is neither.
    """
    number = text
    if text.startswith("arn:"):
        try:
            arn = Arn.parse(text)
        except ValueError as error:
            raise ValidationError(f"{text} is invalid") from error
        if arn.service != "iam" or arn.resource != "root":
            raise ValidationError(f"{text} is invalid")
        number = arn.account
    try:
        return parse_account_id(number)
    except ValueError as error:
        raise ValidationError(f"{text} is invalid") from error


def _task_policy(params: types.AssumeRootRequest) -> str:
    arn = params["TaskPolicyArn"].get("arn", "")
    if not arn.startswith(_ROOT_TASK) or find_aws_managed(arn) is None:
        raise ValidationError(f"{arn} is not a root task policy")
    return arn
