"""Sign-in tokens: bearer tokens of 256 random bits, valid for one login in 15 minutes.

The login's mint uses a token up (`use_of`), in the ledger and together with its record.

Source: IAM User Guide, id_roles_providers_enable-console-custom-url and
id_credentials_sts-comparison.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NotRequired, TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.sts.derived_mint import DerivedMinter, Narrowing, require_session
from broker.errors import AccessDenied, ValidationError
from broker.model.secret import Confidential, Hidden, Secret
from broker.model.session import Session, SessionKind
from broker.sessions.ends import OneTimeUse, one_time_use
from broker.sessions.handles import Handles
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache

LIFE = timedelta(minutes=15)

DURATION_SECONDS_MIN = 900
DURATION_SECONDS_MAX = 43_200
_BAD_CREDENTIALS = "Invalid credentials parameter"
_REFUSED = frozenset(
    {SessionKind.SESSION_TOKEN, SessionKind.ROOT_TASK, SessionKind.CONSOLE}
)

LINK_SECONDS = (900, 1800, 3600)
"""The lifetimes of console sessions that links open, in seconds."""

_LENT = frozenset({SessionKind.FEDERATION_TOKEN})


class SigninGrant(Confidential, frozen=True, kw_only=True):
    """What a sign-in token stands for: a session, proved when the token was made.

    ``duration_seconds`` is the requested lifetime of the console session. Where an
    upstream minted the session, ``session_token`` is a sign-in token of the upstream,
    and ``role_arn`` the role here that it is for.
    """

    access_key_id: str
    session_token: Hidden[str]
    duration_seconds: int | None
    role_arn: str = ""


class SigninTokens:
    """Stores the grants of sign-in tokens, in the cache only.

    Every method but ``forget`` raises ``ServiceUnavailable`` when the cache is
    unavailable.
    """

    def __init__(self, cache: Cache, vault: Vault) -> None:
        self._handles = Handles(cache, vault, "signin-token")

    async def create(self, grant: SigninGrant, *, ends_at: int, now: datetime) -> str:
        """Create a token; it expires with the session, which ends at ``ends_at``."""
        return await self._handles.put(
            {
                "key": grant.access_key_id,
                "token": grant.session_token,
                "duration": grant.duration_seconds,
                "role": grant.role_arn,
            },
            min(now + LIFE, datetime.fromtimestamp(ends_at, UTC)),
        )

    async def find(self, token: str) -> SigninGrant | None:
        """Find a token's grant, used or not."""
        return _grant(await self._handles.find(token))

    async def forget(self, token: str) -> None:
        """Remove a used token; the ledger remembers that it was used."""
        await self._handles.forget(token)


def use_of(token: str, now: datetime) -> OneTimeUse:
    """The one-time use of a token."""
    return one_time_use("signin-token", token, until=now + LIFE)


def _grant(value: dict[str, object] | None) -> SigninGrant | None:
    if value is None:
        return None
    duration = value["duration"]
    return SigninGrant(
        access_key_id=str(value["key"]),
        session_token=str(value["token"]),
        duration_seconds=duration if isinstance(duration, int) else None,
        role_arn=str(value.get("role", "")),
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
        params: GetSigninTokenRequest, call: Call
    ) -> GetSigninTokenResponse:
        duration = params.get("SessionDuration")
        if "RoleArn" in params:
            ends_at = int((call.now + LIFE).timestamp())
            access_key_id = call.caller.access_key_id
        else:
            session = require_session(call)
            _require_eligible(session, duration)
            ends_at, access_key_id = session.expires_at, session.access_key_id
        token = await tokens.create(
            SigninGrant(
                access_key_id=access_key_id,
                session_token=params["SessionToken"].reveal(),
                duration_seconds=duration,
                role_arn=params.get("RoleArn", ""),
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


class CreateConsoleLinkRequest(TypedDict):
    """How long the console behind the link lasts, in seconds."""

    SessionDuration: int


def create_console_link(minter: DerivedMinter, tokens: SigninTokens) -> Action:
    """The action, given what it works with."""

    async def handle(params: CreateConsoleLinkRequest, call: Call) -> Mapping[str, Any]:
        session = require_session(call)
        seconds = params["SessionDuration"]
        if seconds not in LINK_SECONDS:
            raise ValidationError("A link opens a console for 15, 30 or 60 minutes.")
        if not may_be_linked(session):
            raise AccessDenied("A session with a password of one's own is not shared.")
        ends_at = min(session.expires_at, int(call.now.timestamp()) + seconds)
        # Derived from this session, so whatever ends this session also ends what the
        # link opened.
        minted = await minter.mint(
            call,
            ends_at=ends_at,
            counts_as_chained=True,
            narrowing=Narrowing(
                policies=session.policies, scope_count=session.scope_count
            ),
        )
        credentials = minted.credentials
        token = await tokens.create(
            SigninGrant(
                access_key_id=credentials.access_key_id,
                session_token=credentials.session_token.reveal(),
                duration_seconds=None,
            ),
            ends_at=ends_at,
            now=call.now,
        )
        return {"SigninToken": token, "Expiration": credentials.expiration}

    return Action(
        service="signin",
        name="CreateConsoleLink",
        needs=needs_nothing,
        handle=handle,
        audited=("SessionDuration",),
    )


def may_be_linked(session: Session) -> bool:
    """Whether a link may open the session elsewhere: never a user's or root's own."""
    return session.kind.is_role or session.kind in _LENT
