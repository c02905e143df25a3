"""Sign-ins to the access portal: the browser's cookie, and how a sign-in begins.

An identity provider's proof opens the portal instead of one role when the sign-in was
to lead to it. An IAM user has a console session already, which opens it.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from broker.authn.federated_schemes import proved_by
from broker.authn.portal import PortalScheme
from broker.authn.scheme import DoorProof, ProofResult
from broker.console.console_session import ConsoleSession
from broker.console.context import ConsoleContext
from broker.console.cookies import SessionCookie
from broker.console.destinations import is_at_or_below
from broker.console.rendering import see_other
from broker.console.signin.pending_login import LONGEST_SIGN_IN, PendingLogin
from broker.console.signin.provider_logins import ProviderLogin, login_end_mark
from broker.errors import (
    ExpiredToken,
    InvalidClientTokenId,
    InvalidIdentityToken,
)
from broker.federation.offered_roles import offered_roles
from broker.federation.oidc_options import parse_oidc_options
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn
from broker.model.federated import FederatedIdentity
from broker.model.principal import PrincipalType
from broker.model.request import Door
from broker.model.session import SessionKind
from broker.sessions.handles import Handles
from broker.sessions.one_time_use import one_time_use
from broker.sessions.portal import (
    OpenPortal,
    PortalIdentity,
    PortalSignIn,
)

PORTAL = "/portal"
_COOKIE = "broker-portal"
_WAITING_COOKIE = "broker-portal-waiting"
_WAITING_LIFE = timedelta(minutes=10)
_SIGN_IN = ("sso", "Authenticate")


def leads_to_portal(destination: str) -> bool:
    """Whether a sign-in was to open the portal."""
    return is_at_or_below(destination, PORTAL)


class PortalSignIns:
    """Opens, finds and ends the browser's sign-in."""

    def __init__(self, context: ConsoleContext) -> None:
        deps = context.deps
        self._context = context
        self._cookie = SessionCookie(secure=deps.secure, name=_COOKIE)
        self._waiting_cookie = SessionCookie(secure=deps.secure, name=_WAITING_COOKIE)
        self._waiting = Handles(deps.cache, deps.vault, "portal-waiting")
        self._sessions = deps.portal_sessions

    async def wait(self, response: Response, destination: str) -> None:
        """Remember that the browser's next sign-in is to open the portal.

        A sign-in that starts at the identity provider knows nothing of the destination.
        """
        value = {"destination": destination}
        handle = await self._waiting.put(value, self._now() + _WAITING_LIFE)
        self._waiting_cookie.set(response, handle)

    async def redirected(self, request: Request, pending: PendingLogin) -> PendingLogin:
        """The same login, to the portal if that is what the browser waits for."""
        handle = self._waiting_cookie.find(request)
        if handle is None or not pending.provider_arn or pending.portal:
            return pending
        value = await self._waiting.find(handle)
        if value is None:
            return pending
        return replace(
            pending,
            destination=value["destination"],
            role_arn="",
            session_arn="",
            portal=True,
            provider_arns=(pending.provider_arn,),
        )

    async def find(self, request: Request) -> OpenPortal | None:
        """The sign-in of the browser's cookie, if it is not over."""
        handle = self._cookie.find(request)
        if handle is None:
            return None
        try:
            return await self._sessions.find(handle, self._now())
        except (ExpiredToken, InvalidClientTokenId):
            return None

    async def open_for_user(
        self, request: Request, account: AccountId
    ) -> OpenPortal | None:
        """A new sign-in of the IAM user who is signed in to the console, if any is."""
        who = await self._context.find_session(request)
        if (
            not isinstance(who, ConsoleSession)
            or who.session.kind is not SessionKind.CONSOLE
            or who.principal.type is not PrincipalType.USER
            or who.session.account != account
        ):
            return None

        async def prove(_now: datetime) -> ProofResult:
            return ProofResult(caller=who.caller)

        minted = await self._context.perform(
            request,
            Door.PORTAL,
            _SIGN_IN,
            DoorProof(prove),
            lambda: {"Identities": (), "SessionName": who.session.name},
        )
        handle = await self._keep(minted)
        return await self._sessions.find(handle, self._now())

    async def sign_in(self, request: Request, pending: PendingLogin) -> Response:
        """Open the portal with a provider's proof, using that up."""
        found: list[PortalIdentity] = []

        async def prove(now: datetime) -> ProofResult:
            prove_with = self._prove_token if pending.token else self._prove_assertion
            found.extend(await prove_with(request, pending, now))
            proved = proved_by(found[0].identity)
            if not pending.token:
                return proved
            until = now + LONGEST_SIGN_IN
            return replace(
                proved,
                one_time_use=one_time_use("oidc-sign-in", pending.state, until=until),
            )

        minted = await self._context.perform(
            request,
            Door.PORTAL,
            _SIGN_IN,
            DoorProof(prove),
            lambda: {
                "Identities": tuple(one.identity for one in found),
                "SessionName": found[0].identity.session_name,
            },
        )
        if not pending.token and pending.request_id:
            await self._context.login_states.forget(pending.request_id[1:])
        handle = await self._keep(minted, tuple(found), pending)
        response = see_other(pending.destination)
        self._cookie.set(response, handle)
        self._waiting_cookie.clear(response)
        return response

    def remember(self, response: Response, portal: OpenPortal) -> None:
        """Set the browser's cookie."""
        self._cookie.set(response, portal.handle)

    async def end(self, request: Request, response: Response) -> None:
        """End the browser's sign-in, and all that was made from it."""
        portal = await self.find(request)

        async def find(_now: datetime) -> OpenPortal | None:
            return portal

        if portal is not None:
            await self._context.perform(
                request, Door.PORTAL, ("sso", "Logout"), PortalScheme(find), dict
            )
            await self._sessions.forget(portal.handle)
        self._cookie.clear(response)

    async def _keep(
        self,
        minted: Mapping[str, Any],
        identities: tuple[PortalIdentity, ...] = (),
        pending: PendingLogin | None = None,
    ) -> str:
        credentials = minted["Credentials"]
        marks: tuple[str, ...] = ()
        if pending is not None and pending.login:
            login = await self._context.logins.open(
                ProviderLogin(**pending.login, token=pending.token),
                credentials["AccessKeyId"],
                credentials["Expiration"],
            )
            marks = (login_end_mark(login),)
        return await self._sessions.open(
            PortalSignIn(
                access_key_id=credentials["AccessKeyId"],
                session_token=credentials["SessionToken"],
                identities=identities,
                end_marks=marks,
            ),
            credentials["Expiration"],
        )

    async def _prove_assertion(
        self, request: Request, pending: PendingLogin, now: datetime
    ) -> list[PortalIdentity]:
        """Verify the assertion again, with each provider that accepted it."""
        answering: frozenset[str] = frozenset()
        if pending.request_id:
            await self._context.login_states.require(request, pending.request_id[1:])
            answering = frozenset({pending.request_id})
        found = []
        for arn in pending.provider_arns:
            identity = await self._context.deps.federated.prove_for_provider(
                pending.response, _account_of(arn), arn, now, answering
            )
            _require_name(identity)
            roles = tuple(
                pair.role_arn
                for pair in identity.role_pairs
                if pair.provider_arn == arn
            )
            found.append(PortalIdentity(identity=identity, roles=roles))
        return found

    async def _prove_token(
        self, _request: Request, pending: PendingLogin, now: datetime
    ) -> list[PortalIdentity]:
        """Verify the ID token again."""
        deps = self._context.deps
        arn: str = pending.login["provider_arn"]
        account = _account_of(arn)
        identity = await deps.web_identity.prove(
            pending.token, account=account, now=now
        )
        provider = await deps.fresh.find_oidc_provider(
            account, arn.partition(":oidc-provider/")[2]
        )
        if provider is None or provider.unique_id != identity.provider_id:
            raise InvalidIdentityToken("Specified provider doesn't exist.")
        options = parse_oidc_options(provider.options)
        named = replace(identity, session_name=pending.session_name)
        roles = offered_roles(identity, options)
        return [PortalIdentity(identity=named, roles=roles)]

    def _now(self) -> datetime:
        return self._context.deps.clock.now()


def _account_of(provider_arn: str) -> AccountId:
    return parse_account_id(Arn.parse(provider_arn).account)


def _require_name(identity: FederatedIdentity) -> None:
    if identity.session_name is None:
        raise InvalidIdentityToken("RoleSessionName is required in AuthnResponse")
