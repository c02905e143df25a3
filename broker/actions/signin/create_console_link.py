"""``CreateConsoleLink``: a link to the caller's console, valid for a shorter time."""

from collections.abc import Mapping
from typing import Any, TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.signin.signin_tokens import SigninGrant, SigninTokens
from broker.actions.sts.derived_mint import DerivedMinter, Narrowing, require_session
from broker.errors import AccessDenied, ValidationError
from broker.model.session import Session, SessionKind

LINK_SECONDS = (900, 1800, 3600)
"""The lifetimes of console sessions that links open, in seconds."""

_LENT = frozenset({SessionKind.FEDERATION_TOKEN})


class CreateConsoleLinkRequest(TypedDict):
    """How long the console behind the link lasts, in seconds."""

    SessionDuration: int


def create_console_link(minter: DerivedMinter, tokens: SigninTokens) -> Action:
    """The action, given what it works with."""

    async def handle(given: CreateConsoleLinkRequest, call: Call) -> Mapping[str, Any]:
        session = require_session(call)
        seconds = given["SessionDuration"]
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
