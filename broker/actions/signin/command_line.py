"""``AuthorizeOAuth2Access`` and ``CreateOAuth2Token``: a terminal gets credentials.

Source: botocore's signin model; botocore, credentials.py; RFC 9449 5.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict

from msgspec.structs import asdict

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.sts.derived_mint import DerivedMinter, require_session
from broker.actions.sts.roles import credentials_shape
from broker.model.account import AccountId
from broker.model.request import Params
from broker.model.secret import Confidential, Hidden, Secret
from broker.sessions.grants import Code, Grants
from broker.sessions.handles import Handles
from broker.sessions.limits import HOUR_SECONDS
from broker.sessions.vault import Vault
from broker.stores.cache.port import HandleStore


class LentSession(Confidential, frozen=True, kw_only=True):
    """The console session that a terminal was allowed to use.

    ``end_marks`` are those that its sign-out sets, each with its account before it: the
    login ends with any of them, and so does what it gave.
    """

    access_key_id: str
    session_token: Hidden[str]
    end_marks: tuple[tuple[AccountId, str], ...] = ()


class CommandLineGrants(Grants):
    """Codes and refresh tokens hold the handle of one session that is kept here."""

    def __init__(self, handles: HandleStore, vault: Vault) -> None:
        super().__init__(handles, vault, "login")
        self._sessions = Handles(handles, vault, "login-session")

    async def lend(self, session: LentSession, ends_at: datetime) -> str:
        """Keep a session for one login; returns its handle."""
        return await self._sessions.put(asdict(session), ends_at)

    async def find_session(self, handle: str) -> LentSession | None:
        """The session, if its time is not over and it was not taken back."""
        value = await self._sessions.find(handle)
        if not value:
            return None
        marks = tuple((account, mark) for account, mark in value.pop("end_marks", ()))
        return LentSession(**value, end_marks=marks)

    async def take_back(self, handle: str) -> None:
        """No token of the login is good any more: its end is marked."""
        await self._sessions.forget(handle)


TOKEN_SECONDS = 900
"""The longest lifetime of the credentials that a terminal gets at a time."""


class AuthorizeOAuth2AccessRequest(TypedDict):
    """What a user agrees to, and the session to lend, with the marks that end it."""

    ClientId: str
    RedirectUri: str
    CodeChallenge: str
    SessionToken: Secret
    EndMarks: tuple[tuple[AccountId, str], ...]


def authorize_o_auth2_access(grants: CommandLineGrants) -> Action:
    """The action, given what it works with."""

    async def handle(
        params: AuthorizeOAuth2AccessRequest, call: Call
    ) -> Mapping[str, Any]:
        session = require_session(call)
        lent = LentSession(
            access_key_id=session.access_key_id,
            session_token=params["SessionToken"].reveal(),
            end_marks=params["EndMarks"],
        )
        ends_at = datetime.fromtimestamp(session.expires_at, UTC)
        code = await grants.create_code(
            Code(
                client_id=params["ClientId"],
                redirect_uri=params["RedirectUri"],
                challenge=params["CodeChallenge"],
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


class CreateOAuth2TokenRequest(TypedDict):
    """``EndMarks`` are the login's own, and those of its console session."""

    ClientId: str
    GrantType: str
    EndMarks: tuple[str, ...]


def create_o_auth2_token(minter: DerivedMinter) -> Action:
    """The action, given what it works with."""

    async def handle(params: CreateOAuth2TokenRequest, call: Call) -> Mapping[str, Any]:
        # Marked as chained, like credentials that the console shows: they must not open
        # a longer console session.
        ends_at = min(
            require_session(call).expires_at, int(call.now.timestamp()) + TOKEN_SECONDS
        )
        minted = await minter.mint(
            call, ends_at=ends_at, counts_as_chained=True, end_marks=params["EndMarks"]
        )
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

    async def handle(_given: Params, call: Call) -> Mapping[str, Any]:
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
