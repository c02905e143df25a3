"""``GetScopedCredentials``: a session narrows itself.

Source: the service model's documentation of the operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from broker.actions.action import Action, Call
from broker.actions.sts.derived_mint import DerivedMinter, Narrowing
from broker.actions.sts.regions import require_regional
from broker.actions.sts.roles import minted_shape
from broker.actions.sts.session_policies import read_session_policies
from broker.errors import (
    AccessDenied,
    InsufficientSessionLifetime,
    InvalidSubjectCredentials,
    ValidationError,
)
from broker.model.session import Session, SessionKind, SessionPolicies
from broker.permit.need import Need

if TYPE_CHECKING:
    from broker.model.types import sts as types

_NAME = "GetScopedCredentials"
SCOPE_POLICIES_MAX = 3

_NOTHING = SessionPolicies(None, ())


def get_scoped_credentials(minter: DerivedMinter) -> Action:
    """The action, given what it works with."""

    async def needs(
        params: types.GetScopedCredentialsRequest, call: Call
    ) -> tuple[Need, ...]:
        require_regional(call, _NAME)
        session = _session(call)
        if "Policy" not in params and "DurationSeconds" not in params:
            raise ValidationError(
                "A request must provide at least one of Policy or DurationSeconds."
            )
        if "Policy" in params and session.scope_count >= SCOPE_POLICIES_MAX:
            raise AccessDenied(
                f"A session can have {SCOPE_POLICIES_MAX} scope-down policies.",
                detail="the session has as many already",
            )
        return (Need(action=f"sts:{_NAME}", resource="*", account=call.account),)

    async def handle(
        params: types.GetScopedCredentialsRequest, call: Call
    ) -> Mapping[str, Any]:
        session = _session(call)
        added = await read_session_policies(params, call.account, call.directory)
        stands = session.policies
        if added and not stands and session.kind is SessionKind.FEDERATION_TOKEN:
            # Without policies it may do nothing, and a scope must not change that.
            stands = (_NOTHING,)
        minted = await minter.mint(
            call,
            ends_at=_ends_at(params, session, call),
            narrowing=Narrowing(
                policies=stands + added,
                scope_count=session.scope_count + len(added),
                least_token_characters=params.get("MinimumSessionTokenSize", 0),
            ),
        )
        principal = call.caller.principal
        answer: dict[str, Any] = {
            **minted_shape(minted.credentials),
            "SessionInfo": {"ScopedSessionId": principal.userid, "Arn": principal.arn},
            "ScopedPoliciesCount": minted.session.scope_count,
        }
        if session.source_identity is not None:
            answer["SourceIdentity"] = session.source_identity
        return answer

    return Action(
        service="sts",
        name=_NAME,
        needs=needs,
        handle=handle,
        audited=("DurationSeconds", "ScopedSessionDescription"),
    )


def _session(call: Call) -> Session:
    session = call.caller.session
    if session is None:
        raise InvalidSubjectCredentials(
            "GetScopedCredentials can only be called with temporary security credentials."
        )
    return session


def _ends_at(
    params: types.GetScopedCredentialsRequest, session: Session, call: Call
) -> int:
    seconds = params.get("DurationSeconds")
    if seconds is None:
        return session.expires_at
    ends_at = int(call.now.timestamp()) + seconds
    if ends_at > session.expires_at:
        raise InsufficientSessionLifetime(
            "The requested DurationSeconds is greater than the remaining lifetime of the calling session."
        )
    return ends_at
