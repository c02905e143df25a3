"""Sign-ins to the access portal: the browser's cookie, and how a sign-in begins.

An identity provider's proof opens the portal instead of one role when the sign-in was
to lead to it. An IAM user has a console session already, which opens it.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from msgspec import Struct, structs
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from broker import errors
from broker.console.console_session import ConsoleSession
from broker.console.context import ConsoleContext
from broker.console.cookies import BrowserHandles, SessionCookie
from broker.console.destinations import is_at_or_below
from broker.console.pending_login import LoginMethod, PendingLogin
from broker.console.portal.places import (
    PORTAL,
    OrganisationProofs,
    PortalPlace,
    PortalPlaces,
)
from broker.console.provider_logins import WATCHED, login_end_mark
from broker.console.rendering import see_other
from broker.console.request_info import unnoted
from broker.kinds.organisations import Organisation
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn
from broker.model.federated import FederatedIdentity
from broker.model.principal import PrincipalType
from broker.model.request import Door
from broker.model.session import SessionKind, TemporaryCredentials
from broker.proofs.federated_schemes import proved_by, refused_person
from broker.proofs.group_roles import offered_roles
from broker.proofs.portal import PortalScheme
from broker.proofs.scheme import DoorProof, ProofResult
from broker.sessions.portal import OpenPortal, PortalIdentity
from broker.stores.directory.kinds import OIDC_PROVIDER

_COOKIE = "broker-portal"
_WAITING_LIFE = timedelta(minutes=10)
_SIGN_IN = ("sso", "Authenticate")
_ROLES_MAX = 5000

PICKS_PORTAL = "portal"
"""What a role page sends instead of a role, to go to the portal."""


class _Opening(Struct, frozen=True, kw_only=True):
    """Who signs in, to which accounts; ``identities`` are none for an IAM user."""

    name: str
    principal_id: str
    accounts: frozenset[AccountId]
    organisation: str = ""
    identities: tuple[PortalIdentity, ...] = ()
    pending: PendingLogin | None = None

    def ends(self, old: OpenPortal) -> bool:
        """Whether somebody else was signed in to one of these accounts.

        The same person's goes on without the browser: terminals work with it. So do
        those to other accounts.
        """
        is_same = (old.session.principal_id, old.session.name) == (
            self.principal_id,
            self.name,
        )
        is_there = old.organisation == self.organisation != "" or any(
            map(old.reaches, self.accounts)
        )
        return is_there and not is_same


def _opening_of(
    identities: Sequence[PortalIdentity],
    pending: PendingLogin,
    organisation: Organisation | None,
) -> _Opening:
    first = identities[0].identity
    return _Opening(
        name=first.session_name or first.subject,
        principal_id=first.provider_id,
        accounts=frozenset(identity.identity.account for identity in identities),
        organisation=organisation.name if organisation else "",
        identities=tuple(identities),
        pending=pending,
    )


def to_portal(pending: PendingLogin, destination: str) -> PendingLogin:
    """The same login, to the portal instead of a role."""
    return replace(
        pending, destination=destination, role_arn="", session_arn="", portal=True
    )


def leads_to_portal(destination: str) -> bool:
    """Whether a sign-in was to open the portal."""
    return is_at_or_below(destination, PORTAL)


class PortalSignIns:
    """Opens, finds and ends the browser's sign-in."""

    def __init__(self, context: ConsoleContext) -> None:
        deps = context.deps
        self._context = context
        self._cookie = SessionCookie(secure=deps.secure, name=_COOKIE)
        self._waiting = BrowserHandles(
            deps, "broker-portal-waiting", "portal-waiting", _WAITING_LIFE
        )
        self._sessions = deps.portal_sessions
        self._places = PortalPlaces(context)
        self._proofs = OrganisationProofs(context)

    async def wait(self, response: Response, destination: str) -> None:
        """Remember that the browser's next sign-in is to open the portal.

        A sign-in that starts at the identity provider does not know the destination.
        """
        await self._waiting.put(response, {"destination": destination})

    async def redirected(self, request: Request, pending: PendingLogin) -> PendingLogin:
        """The same login, to the portal if that is what the browser waits for."""
        is_settled = pending.portal and not pending.any_portal
        if not pending.provider_arn or is_settled:
            return pending
        value = await self._waiting.find(request)
        if value is None:
            return pending
        return replace(
            to_portal(pending, value["destination"]),
            provider_arns=pending.provider_arns or (pending.provider_arn,),
        )

    async def find(self, request: Request) -> OpenPortal | None:
        """The browser's sign-in, if it is not over."""
        handle = self._cookie.find(request)
        if handle is None:
            return None
        try:
            return await self._sessions.find(handle, self._now())
        except (errors.ExpiredToken, errors.InvalidClientTokenId):
            return None

    async def find_replaced(
        self, request: Request, pending: PendingLogin
    ) -> OpenPortal | None:
        """Somebody else's sign-in that this one would end, though nobody here began it.

        Another site can send its own proof with this browser.
        """
        if pending.door != LoginMethod.SAML or pending.request_id:
            return None
        organisation = self._places.organisation_of(pending.destination)
        coming = _Opening(
            name=pending.session_name,
            principal_id=pending.provider_id,
            accounts=frozenset(map(_account_of, pending.provider_arns)),
            organisation=organisation.name if organisation else "",
        )
        old = await self.find(request)
        return old if old and coming.ends(old) else None

    async def open_for_user(
        self, request: Request, place: PortalPlace
    ) -> OpenPortal | None:
        """A new sign-in of the IAM user who is signed in to the console, if there is one."""
        who = await self._context.find_session(request)
        if (
            not isinstance(who, ConsoleSession)
            or who.session.kind is not SessionKind.CONSOLE
            or who.principal.type is not PrincipalType.USER
            or not place.admits_users(who.session.account)
        ):
            return None

        async def prove(_now: datetime) -> ProofResult:
            return ProofResult(caller=who.caller)

        handle = await self._open(
            request,
            prove,
            lambda: _Opening(
                name=who.session.name,
                principal_id=who.session.principal_id,
                accounts=frozenset({who.session.account}),
                organisation=place.organisation.name if place.organisation else "",
            ),
        )
        return await self._sessions.find(handle, self._now())

    async def sign_in(self, request: Request, pending: PendingLogin) -> Response:
        """Open the portal with a provider's proof, using that up."""
        identities: list[PortalIdentity] = []

        organisation = self._places.organisation_of(pending.destination)

        async def prove(now: datetime) -> ProofResult:
            if pending.token:
                proved_ones = await self._prove_token(pending, now, organisation)
            elif pending.subject:
                proved_ones = await self._ask_directory(pending, now, organisation)
            else:
                start = pending.request_id[1:]
                if start:
                    await self._context.login_states.require(request, start)
                proved_ones = await self._prove_assertion(pending, now, organisation)
            identities.extend(_bounded(_admitted(proved_ones, organisation)))
            if not identities:
                error = errors.AccessDenied(
                    "Your identity provider gives you no role in this organization."
                )
                who = proved_ones[0].identity
                raise refused_person(error, who, pending.session_name)
            proved = proved_by(identities[0].identity)
            return structs.replace(proved, one_time_use=pending.use(now))

        handle = await self._open(
            request, prove, lambda: _opening_of(identities, pending, organisation)
        )
        if not pending.token and pending.request_id:
            await self._context.login_states.forget(pending.request_id[1:])
        response = see_other(pending.destination)
        self._cookie.set(response, handle)
        self._waiting.forget(response)
        return response

    def remember(
        self, request: Request, response: Response, portal: OpenPortal
    ) -> None:
        """Set the browser's cookie, if it is of another sign-in."""
        if portal.handle != self._cookie.find(request):
            self._cookie.set(response, portal.handle)

    async def end(
        self, request: Request, response: Response, portal: OpenPortal | None
    ) -> None:
        """End the browser's sign-in, if there is one, and all that was made from it."""
        if portal is not None:
            await self._end(request, portal)
        self._cookie.clear(response)

    async def _open(
        self,
        request: Request,
        prove: Callable[[datetime], Awaitable[ProofResult]],
        opening: Callable[[], _Opening],
    ) -> str:
        """Mint a sign-in that is kept already, then end the one before if it does that.

        Once the proof is spent nothing can fail: the browser gets its handle.
        """
        old = await self.find(request)
        kept: list[str] = []

        async def keep(credentials: TemporaryCredentials) -> None:
            kept.append(await self._keep(credentials, opening()))

        try:
            await self._context.perform(
                request,
                Door.PORTAL,
                _SIGN_IN,
                DoorProof(prove),
                lambda: {
                    "Identities": tuple(
                        identity.identity for identity in opening().identities
                    ),
                    "SessionName": opening().name,
                },
                keep=keep,
            )
        except Exception:
            for handle in kept:
                await self._sessions.forget(handle)
            raise
        if old is not None and opening().ends(old):
            with suppress(errors.ServiceUnavailable), unnoted(request):
                await self._end(request, old)
        return kept[0]

    async def _end(self, request: Request, portal: OpenPortal) -> None:
        await self._context.perform(
            request, Door.PORTAL, ("sso", "Logout"), PortalScheme(portal), dict
        )
        await self._sessions.forget(portal.handle)

    async def _keep(self, credentials: TemporaryCredentials, opening: _Opening) -> str:
        marks: tuple[str, ...] = ()
        pending = opening.pending
        if pending is not None and pending.login:
            login = await self._context.logins.open(
                pending.login,
                pending.token,
                credentials.access_key_id,
                credentials.expiration,
                {
                    identity.identity.account: identity.roles
                    for identity in opening.identities
                },
            )
            marks = (login_end_mark(login),)
        return await self._sessions.open(
            credentials,
            opening.identities,
            end_marks=marks,
            organisation=opening.organisation,
            is_watched=pending is not None and WATCHED in pending.login,
        )

    async def _prove_assertion(
        self, pending: PendingLogin, now: datetime, organisation: Organisation | None
    ) -> list[PortalIdentity]:
        """Verify the assertion again, with each provider that accepted it.

        In an organisation it is also verified with those of the other members.
        """
        answering = frozenset({pending.request_id} - {""})
        # Those of other members are asked below, where they may refuse it.
        arns = (pending.provider_arn,) if organisation else pending.provider_arns
        identities = []
        for arn in arns:
            identity = await self._context.deps.federated.prove_for_provider(
                pending.response, _account_of(arn), arn, now, answering
            )
            _require_name(identity)
            identities.append(identity)
        if organisation is not None:
            identities += await self._proofs.verify_response(
                organisation,
                pending.response,
                now,
                answering=answering,
                besides=arns,
                sent_to=pending.provider_arn,
            )
        return [
            PortalIdentity(
                identity=identity,
                roles=tuple(
                    pair.role_arn
                    for pair in identity.role_pairs
                    if pair.provider_arn == identity.provider_arn
                ),
            )
            for identity in identities
        ]

    async def _ask_directory(
        self, pending: PendingLogin, now: datetime, organisation: Organisation | None
    ) -> list[PortalIdentity]:
        """Ask the directory again; in an organisation, the answer applies to all members."""
        first = await self._context.deps.ldap.renew_subject(
            pending.provider_arn, pending.provider_id, pending.subject, now
        )
        proofs = [first]
        if organisation is not None:
            proofs += await self._proofs.vouch_elsewhere(organisation, first, now)
        return [
            PortalIdentity(identity=proof.identity, roles=proof.roles)
            for proof in proofs
        ]

    async def _prove_token(
        self, pending: PendingLogin, now: datetime, organisation: Organisation | None
    ) -> list[PortalIdentity]:
        """Verify the ID token again; in an organisation, with the other members', too."""
        deps = self._context.deps
        arn: str = pending.login["provider_arn"]
        account = _account_of(arn)
        identity = await deps.web_identity.prove(
            pending.token, account=account, now=now
        )
        provider = await deps.fresh.named(
            OIDC_PROVIDER, account, arn.partition(":oidc-provider/")[2]
        )
        if provider is None or provider.unique_id != identity.provider_id:
            raise errors.InvalidIdentityToken("Specified provider doesn't exist.")
        results = [(identity, offered_roles(identity))]
        if organisation is not None:
            results += await self._proofs.verify_token(
                organisation, pending.token, now, besides=arn
            )
        return [
            PortalIdentity(
                identity=structs.replace(identity, session_name=pending.session_name),
                roles=roles,
            )
            for identity, roles in results
        ]

    def _now(self) -> datetime:
        return self._context.deps.clock.now()


def _admitted(
    identities: Sequence[PortalIdentity], organisation: Organisation | None
) -> Sequence[PortalIdentity]:
    """What applies in an organisation, if any of it gives a role there.

    The sign-in is of the provider that the person used, which comes first, even if it
    gives none: it ends with that provider, and with a logout there.
    """
    if organisation is None:
        return identities
    first = identities[0]
    counting = [
        identity
        for identity in identities
        if identity.roles
        and organisation.admits(
            identity.identity.account, identity.identity.provider_arn
        )
    ]
    if not counting or counting[0] is first:
        return counting
    return [replace(first, roles=()), *counting]


def _bounded(identities: Sequence[PortalIdentity]) -> Iterator[PortalIdentity]:
    """The same with so many roles as a sign-in holds.

    A member account's administrators may map any number of roles to its groups.
    """
    left = _ROLES_MAX
    for identity in identities:
        yield replace(identity, roles=identity.roles[:left])
        left = max(0, left - len(identity.roles))


def _account_of(provider_arn: str) -> AccountId:
    return parse_account_id(Arn.parse(provider_arn).account)


def _require_name(identity: FederatedIdentity) -> None:
    if identity.session_name is None:
        raise errors.InvalidIdentityToken(
            "RoleSessionName is required in AuthnResponse"
        )
