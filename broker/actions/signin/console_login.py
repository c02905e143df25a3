"""``ConsoleLogin``: a proof becomes a console session, its own mint.

The proof is a redeemed sign-in token, or what a user showed at the sign-in page. If an
upstream minted the session behind a sign-in token, it is the upstream's console that
opens: nothing is minted here, and the token is used up with the record.
"""

from collections.abc import Mapping
from typing import Any, NotRequired

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.signin.password_login import PasswordLogin, PasswordLoginRequest
from broker.actions.sts.derived_mint import DerivedMinter, require_session
from broker.actions.sts.roles import credentials_shape
from broker.errors import InvalidClientTokenId
from broker.model.request import Door
from broker.model.session import Session
from broker.sessions.issue import commit_once
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.directory.kinds import ROLE
from broker.stores.ledger.port import Ledger


class ConsoleLoginRequest(PasswordLoginRequest):
    """What the sign-in token was made for, or what a user proved with a password.

    ``Upstream`` is the name of the upstream whose console opens.
    """

    SessionDuration: NotRequired[int]
    Upstream: NotRequired[str]


def console_login(
    fresh: FreshDirectory,
    minter: DerivedMinter,
    password: PasswordLogin,
    ledger: Ledger,
) -> Action:
    """The action, given what it works with."""

    async def handle(given: ConsoleLoginRequest, call: Call) -> Mapping[str, Any]:
        if call.caller.session is None and call.request.door is Door.SIGN_IN:
            return await password.mint(given, call)
        if "Upstream" in given:
            await commit_once(ledger, call.record.complete(), call.mark)
            call.record.committed = True
            return {}
        session = require_session(call)
        duration = given.get("SessionDuration")
        ends_at = session.expires_at
        if duration is not None:
            ends_at = await requested_end(session, duration, call)
        minted = await minter.mint(call, ends_at=ends_at)
        return {"Credentials": credentials_shape(minted.credentials)}

    async def requested_end(session: Session, duration: int, call: Call) -> int:
        """The requested end: it may be after the credentials' own, within all limits."""
        role = await fresh.find(ROLE, session.account, session.principal_id)
        if role is None:
            raise InvalidClientTokenId(
                detail=f"role {session.principal_id} no longer exists"
            )
        seconds = min(duration, role.max_session_duration_seconds)
        ends_at = int(call.now.timestamp()) + seconds
        return ends_at if session.ends_by is None else min(ends_at, session.ends_by)

    return Action(
        service="signin",
        name="ConsoleLogin",
        needs=needs_nothing,
        handle=handle,
        audited=("SessionDuration", "MFAUsed", "MFAIdentifier", "Upstream"),
    )
