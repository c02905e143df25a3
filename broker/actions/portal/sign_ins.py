"""The sign-in to the access portal: it begins, and ends."""

from datetime import UTC, datetime, timedelta
from typing import TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.sts.derived_mint import require_session
from broker.actions.sts.proof_marks import proof_marks
from broker.errors import AccessDenied, ExpiredFederationToken
from broker.model.federated import FederatedIdentity
from broker.model.principal import PrincipalType
from broker.model.session import Session, SessionKind
from broker.sessions.issue import (
    MintOrder,
    SessionIssuer,
    new_access_key_id,
)
from broker.sessions.lineage import descend, lineage_of_proof, new_mint_id
from broker.sessions.portal import OpenPortal
from broker.sessions.record import describe_session
from broker.sessions.revoke import revoke_session
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.readings import FreshDirectory

LIFE = timedelta(hours=8)
"""Of a sign-in, as AWS has it by default; an assertion may ask for less."""


class AuthenticateRequest(TypedDict):
    """Everything that providers proved of the person; nothing for an IAM user.

    ``SessionName`` says who it is, in the audit record.
    """

    Identities: tuple[FederatedIdentity, ...]
    SessionName: str


def authenticate(fresh: FreshDirectory, issuer: SessionIssuer) -> Action:
    """The action, given what it works with."""

    async def handle(params: AuthenticateRequest, call: Call) -> None:
        identities = params["Identities"]
        account = await fresh.find(ACCOUNT, call.account)
        if account is None:
            raise AccessDenied(detail=f"the account {call.account} no longer exists")
        session = _of_provider(identities, call) if identities else _of_user(call)
        mark, second_use = call.mark, None
        if identities:
            mark, second_use = proof_marks(identities[0], call)
        await issuer.issue(
            MintOrder(
                session=session,
                account_salt=account.session_salt,
                principal_arn=call.caller.principal.arn,
                now=call.now,
            ),
            call.record,
            mark,
            second_use=second_use,
            keep=call.keep,
        )

    return Action(
        service="sso",
        name="Authenticate",
        needs=needs_nothing,
        handle=handle,
        audited=("SessionName",),
    )


def _of_provider(identities: tuple[FederatedIdentity, ...], call: Call) -> Session:
    first = identities[0]
    ends_at = call.now + LIFE
    for identity in identities:
        if identity.session_ends_at is not None:
            ends_at = min(ends_at, identity.session_ends_at)
        if identity.session_duration_seconds is not None:
            seconds = timedelta(seconds=identity.session_duration_seconds)
            ends_at = min(ends_at, call.now + seconds)
    if ends_at <= call.now:
        raise ExpiredFederationToken("Response has expired")
    return Session(
        access_key_id=new_access_key_id(first.account),
        mint_id=new_mint_id(),
        issued_at_ms=int(call.now.timestamp() * 1000),
        expires_at=int(ends_at.timestamp()),
        account=first.account,
        kind=SessionKind.PORTAL,
        principal_id=first.provider_id,
        name=first.session_name or first.subject,
        source_identity=first.source_identity,
        provider_arn=first.provider_arn,
        provider_id=first.provider_id,
        lineage=lineage_of_proof(first, call.now),
    )


def _of_user(call: Call) -> Session:
    """A user's, from the console session that a password opened."""
    session, principal = require_session(call), call.caller.principal
    if (
        session.kind is not SessionKind.CONSOLE
        or principal.type is not PrincipalType.USER
    ):
        raise AccessDenied("Only IAM users have roles to choose from here.")
    ends_at = min(call.now + LIFE, datetime.fromtimestamp(session.expires_at, UTC))
    return Session(
        access_key_id=new_access_key_id(session.account),
        mint_id=new_mint_id(),
        issued_at_ms=int(call.now.timestamp() * 1000),
        expires_at=int(ends_at.timestamp()),
        account=session.account,
        kind=SessionKind.PORTAL,
        principal_id=session.principal_id,
        name=session.name,
        parent_key_id=session.access_key_id,
        mfa_at=session.mfa_at,
        lineage=descend(session),
    )


class PortalLogoutRequest(TypedDict):
    """The sign-in that ends."""

    SignIn: OpenPortal


async def _log_out(params: PortalLogoutRequest, call: Call) -> None:
    session = params["SignIn"].session
    await revoke_session(
        call.change,
        describe_session(session, call.caller.principal.arn),
        now=call.now,
        reason="signed out of the access portal",
    )


LOGOUT = Action(
    service="sso",
    name="Logout",
    needs=needs_nothing,
    handle=_log_out,
    writes=True,
    calls=0,
)
