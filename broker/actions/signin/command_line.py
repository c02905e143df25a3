"""``AuthorizeOAuth2Access`` and ``CreateOAuth2Token``: a terminal gets credentials.

Source: botocore's signin model; botocore, credentials.py.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.signin.command_line_grants import CommandLineGrants, LentSession
from broker.actions.sts.derived_mint import DerivedMinter, require_session
from broker.actions.sts.roles import credentials_shape
from broker.model.request import Given
from broker.model.secret import Secret
from broker.sessions.grants import Code
from broker.sessions.limits import HOUR_SECONDS

TOKEN_SECONDS = 900
"""The longest lifetime of the credentials that a terminal gets at a time."""


class AuthorizeOAuth2AccessRequest(TypedDict):
    """What a user agrees to, and the session to lend."""

    ClientId: str
    RedirectUri: str
    CodeChallenge: str
    SessionToken: Secret


def authorize_o_auth2_access(grants: CommandLineGrants) -> Action:
    """The action, given what it works with."""

    async def handle(
        given: AuthorizeOAuth2AccessRequest, call: Call
    ) -> Mapping[str, Any]:
        session = require_session(call)
        lent = LentSession(
            access_key_id=session.access_key_id,
            session_token=given["SessionToken"].reveal(),
        )
        ends_at = datetime.fromtimestamp(session.expires_at, UTC)
        code = await grants.create_code(
            Code(
                client_id=given["ClientId"],
                redirect_uri=given["RedirectUri"],
                challenge=given["CodeChallenge"],
                session=await grants.lend(lent, ends_at),
            ),
            call.now,
        )
        return {"Code": code}

    return Action(
        service="signin",
        name="AuthorizeOAuth2Access",
        needs=needs_nothing,
        handle=handle,
        audited=("ClientId", "RedirectUri"),
    )


def create_o_auth2_token(minter: DerivedMinter) -> Action:
    """The action, given what it works with."""

    async def handle(_given: Given, call: Call) -> Mapping[str, Any]:
        # Marked as chained, like credentials that the console shows: they must not open
        # a longer console session.
        ends_at = min(
            require_session(call).expires_at, int(call.now.timestamp()) + TOKEN_SECONDS
        )
        minted = await minter.mint(call, ends_at=ends_at, counts_as_chained=True)
        return {"Credentials": credentials_shape(minted.credentials)}

    return Action(
        service="signin",
        name="CreateOAuth2Token",
        needs=needs_nothing,
        handle=handle,
        audited=("ClientId", "GrantType"),
    )


def command_line_actions(
    minter: DerivedMinter, grants: CommandLineGrants
) -> tuple[Action, ...]:
    """Both actions."""
    return (authorize_o_auth2_access(grants), create_o_auth2_token(minter))


def get_console_credentials(minter: DerivedMinter) -> Action:
    """The action, given what it works with."""

    async def handle(_given: Given, call: Call) -> Mapping[str, Any]:
        # At most an hour, never beyond the console session, and counted as chained:
        # they must not open a longer console session.
        ends_at = min(
            require_session(call).expires_at, int(call.now.timestamp()) + HOUR_SECONDS
        )
        minted = await minter.mint(call, ends_at=ends_at, counts_as_chained=True)
        return {"Credentials": credentials_shape(minted.credentials)}

    return Action(
        service="signin",
        name="GetConsoleCredentials",
        needs=needs_nothing,
        handle=handle,
    )
