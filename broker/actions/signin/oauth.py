"""The actions of OAuth: a person lets a client in, and the client gets what it may have.

``AuthorizeOAuth2Access`` and ``CreateOAuth2Token`` are those of terminals' logins;
``RevokeOAuth2Token`` ends one whose code came back. ``Authorize`` and ``CreateToken`` are
the access portal's, named as AWS's log of calls names them.

Source: botocore's signin model; botocore, credentials.py; RFC 9449 5.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypedDict

import msgspec
from msgspec.structs import replace

from broker.actions.action import Action, Call, console_action, needs_nothing
from broker.actions.sts.derived_mint import DerivedMinter, require_session
from broker.actions.sts.roles import credentials_shape
from broker.errors import ProofUsed
from broker.model.account import AccountId
from broker.model.request import Params
from broker.model.secret import Secret
from broker.sessions.issue import commit_once
from broker.sessions.oauth import (
    REFRESH_TOKEN,
    Code,
    Grants,
    LentSession,
    LoginFamilies,
)
from broker.sessions.record import SessionIndex, describe_session
from broker.sessions.revoke import revoke_session
from broker.stores.cache.port import SessionClient
from broker.stores.ledger.port import Ledger

TOKEN_SECONDS = 900
"""The longest lifetime of the credentials that a terminal gets at a time."""

RENEWED_AT_ONCE = timedelta(minutes=1)
"""After its first use, a refresh token is that of programs that renew at the same time."""

EndMarks = tuple[tuple[AccountId, str], ...]
"""What ends a console session besides its revocation, each with its account."""


class AuthorizeOAuth2AccessRequest(TypedDict):
    """What a user agrees to, and the session to lend, with the marks that end it."""

    ClientId: str
    RedirectUri: str
    CodeChallenge: str
    SessionToken: Secret
    EndMarks: EndMarks


class CreateOAuth2TokenRequest(TypedDict):
    """``EndMarks`` are those of what was lent.

    ``Family`` is the handle that a new one is kept under, empty when one is renewed.
    """

    ClientId: str
    GrantType: str
    EndMarks: tuple[str, ...]
    Family: Secret


class TokenRequest(TypedDict):
    """Which client of the portal exchanges what kind of grant."""

    ClientName: str
    GrantType: str


def oauth_actions(
    minter: DerivedMinter,
    grants: Grants,
    families: LoginFamilies,
    ledger: Ledger,
    index: SessionIndex,
) -> tuple[Action, ...]:
    """The actions, given what they work with."""

    async def authorize(
        params: AuthorizeOAuth2AccessRequest, call: Call
    ) -> Mapping[str, Any]:
        lent = LentSession(
            access_key_id=require_session(call).access_key_id,
            session_token=params["SessionToken"].reveal(),
            end_marks=params["EndMarks"],
        )
        code = Code(
            client_id=params["ClientId"],
            redirect_uri=params["RedirectUri"],
            challenge=params["CodeChallenge"],
            session=msgspec.json.encode(lent).decode("ascii"),
        )
        return {"Code": await grants.create_code(code, call.now)}

    async def create(params: CreateOAuth2TokenRequest, call: Call) -> Mapping[str, Any]:
        session, end_marks, family = require_session(call), params["EndMarks"], None
        handle = params["Family"].reveal()
        if handle:
            family = await minter.derive(
                call,
                _client_of(call, params),
                ends_at=session.expires_at,
                end_marks=end_marks,
            )
            await families.keep(handle, family.credentials)
        # Marked as chained, like credentials that the console shows: they must not open
        # a longer console session.
        minted = await minter.mint(
            call,
            ends_at=min(session.expires_at, int(call.now.timestamp()) + TOKEN_SECONDS),
            counts_as_chained=True,
            end_marks=end_marks,
            through=family,
        )
        if not handle:
            client = _client_of(call, params, used_at=int(call.now.timestamp()))
            record = describe_session(session, call.caller.principal.arn)
            await index.put(replace(record, client=client))
        return {"Credentials": credentials_shape(minted.credentials)}

    async def spend(params: TokenRequest, call: Call) -> Mapping[str, Any]:
        """``ProofUsed`` for what was used before, but for a refresh token just now."""
        record = call.record.complete()
        try:
            await commit_once(ledger, record, call.mark)
        except ProofUsed as error:
            if params["GrantType"] != REFRESH_TOKEN:
                raise
            first_use = await ledger.find(error.used_by)
            if first_use is None or call.now - first_use.at > RENEWED_AT_ONCE:
                raise
            await commit_once(ledger, record, None)
        call.record.committed = True
        return {}

    return (
        console_action(
            "AuthorizeOAuth2Access", needs_nothing, authorize, "ClientId", "RedirectUri"
        ),
        console_action(
            "CreateOAuth2Token", needs_nothing, create, "ClientId", "GrantType"
        ),
        console_action(
            "RevokeOAuth2Token", needs_nothing, _end, "ClientId", writes=True, calls=0
        ),
        *(
            Action(
                service="sso-oauth",
                name=name,
                needs=needs_nothing,
                handle=handle,
                audited=("SessionName", "ClientName", "GrantType", "Answer", "Address"),
            )
            for name, handle in (("CreateToken", spend), ("Authorize", _agree))
        ),
    )


def _client_of(
    call: Call, params: CreateOAuth2TokenRequest, *, used_at: int = 0
) -> SessionClient:
    return SessionClient(
        client_id=params["ClientId"],
        agent=call.record.user_agent,
        region=call.region,
        used_at=used_at,
    )


async def _agree(_given: Params, _call: Call) -> None:
    """The record alone."""


async def _end(_given: Params, call: Call) -> None:
    """End the family, and all that it gave."""
    await revoke_session(
        call.change,
        describe_session(require_session(call), call.caller.principal.arn),
        now=call.now,
        reason="its code was used again",
    )
