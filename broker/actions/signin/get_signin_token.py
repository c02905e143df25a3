"""``GetSigninToken``: temporary credentials in, a sign-in token out.

Source: IAM User Guide, id_roles_providers_enable-console-custom-url and
id_credentials_sts-comparison.
"""

from typing import NotRequired, TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.signin.signin_tokens import LIFE, SigninGrant, SigninTokens
from broker.actions.sts.derived_mint import require_session
from broker.errors import ValidationError
from broker.model.secret import Secret
from broker.model.session import Session, SessionKind

DURATION_SECONDS_MIN = 900
DURATION_SECONDS_MAX = 43_200

_BAD_CREDENTIALS = "Invalid credentials parameter"
_REFUSED = frozenset(
    {SessionKind.SESSION_TOKEN, SessionKind.ROOT_TASK, SessionKind.CONSOLE}
)


class GetSigninTokenRequest(TypedDict):
    """The session token that signed the call, and the requested duration.

    Where an upstream minted the session: a sign-in token of the upstream, which proved
    the caller, and the role here.
    """

    SessionToken: Secret
    SessionDuration: NotRequired[int]
    RoleArn: NotRequired[str]


class GetSigninTokenResponse(TypedDict):
    """The one member of the answer."""

    SigninToken: str


def get_signin_token(tokens: SigninTokens) -> Action:
    """The action, given what it works with."""

    async def handle(
        given: GetSigninTokenRequest, call: Call
    ) -> GetSigninTokenResponse:
        duration = given.get("SessionDuration")
        if "RoleArn" in given:
            ends_at = int((call.now + LIFE).timestamp())
            access_key_id = call.caller.access_key_id
        else:
            session = require_session(call)
            _require_eligible(session, duration)
            ends_at, access_key_id = session.expires_at, session.access_key_id
        token = await tokens.create(
            SigninGrant(
                access_key_id=access_key_id,
                session_token=given["SessionToken"].reveal(),
                duration_seconds=duration,
                role_arn=given.get("RoleArn", ""),
            ),
            ends_at=ends_at,
            now=call.now,
        )
        return {"SigninToken": token}

    return Action(
        service="signin",
        name="GetSigninToken",
        needs=needs_nothing,
        handle=handle,
        audited=("SessionDuration",),
    )


def _require_eligible(session: Session, duration: int | None) -> None:
    if session.kind in _REFUSED:
        raise ValidationError(
            _BAD_CREDENTIALS, detail=f"{session.kind} credentials open no console"
        )
    if duration is None:
        return
    if not session.kind.is_role:
        raise ValidationError(
            _BAD_CREDENTIALS, detail=f"{session.kind} takes no SessionDuration"
        )
    require_duration(duration, chained=session.chain_depth > 0)


def require_duration(seconds: int, *, chained: bool) -> None:
    """Check a requested duration of a role's console session.

    Raises:
        ValidationError: it is not within the bounds, or a role session made this one.
    """
    if chained:
        raise ValidationError(
            _BAD_CREDENTIALS, detail="chained credentials take no SessionDuration"
        )
    if not DURATION_SECONDS_MIN <= seconds <= DURATION_SECONDS_MAX:
        raise ValidationError(
            "SessionDuration must be between"
            f" {DURATION_SECONDS_MIN} and {DURATION_SECONDS_MAX} seconds."
        )
