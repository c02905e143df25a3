"""Sign-in at an OpenID Connect provider, by the authorization code flow.

The ID token is verified like any web identity token, against the provider registered
in the account; nonce, state and browser cookie bind it to the sign-in started here.

Source: OpenID Connect Core 3.1; RFC 9700; RFC 9207 (iss).
"""

import hmac
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.forms import Form, read_form
from broker.console.pending_login import PROVIDER_LIFE, LoginMethod, PendingLogin
from broker.console.portal.places import PortalPlaces
from broker.console.provider_logins import WATCHED
from broker.console.request_info import note, refuse_prefetch
from broker.console.signin.role_offer import RoleOffer
from broker.errors import (
    AccessDenied,
    BrokerError,
    IdpCommunicationError,
    IdpRejectedClaim,
    InvalidIdentityToken,
    ServiceUnavailable,
    ValidationError,
)
from broker.model.account import AccountId, parse_account_id
from broker.model.entities import OidcProvider
from broker.model.federated import FederatedIdentity
from broker.model.request import Door
from broker.proofs.claimed_providers import ClaimedProvider
from broker.proofs.code_flow import CodeFlowFailedError, CodeRefusedError, FlowTokens
from broker.proofs.federated_schemes import proved_by, refused_person
from broker.proofs.group_roles import offered_roles
from broker.proofs.provider_options import ProviderOptions
from broker.proofs.scheme import DoorProof, ProofRefused, ProofResult
from broker.proofs.session_name import session_name
from broker.runtime.entropy import new_handle
from broker.sessions.vault import SealBrokenError
from broker.sessions.watched import TOKEN_CHARACTERS_MAX, KeptToken
from broker.stores.directory.kinds import OIDC_PROVIDER
from broker.stores.errors import StoreUnavailableError

CALLBACK = "/signin/oidc/callback"
_REASON_MAX = 200
_NO_ROLE = (
    "Your identity provider's token gives you no role here: it has no roles claim, and"
    " none of your groups is mapped to a role."
)
_REFUSED = "Your identity provider refused the sign-in."
_UNREACHABLE = "Your identity provider cannot be reached or used right now. Try again."
_log = structlog.get_logger(__name__)


Verified = tuple[FederatedIdentity, Sequence[str], PendingLogin]
"""The identity in a verified ID token, the roles it may assume, and the login."""


class OidcSignInPages:
    """The code flow's pages."""

    def __init__(self, context: ConsoleContext, offer: RoleOffer) -> None:
        self._context = context
        self._places = PortalPlaces(context)
        self._offer = offer

    async def begin(
        self, request: Request, provider: OidcProvider, destination: str
    ) -> Response:
        """Redirect to the provider's authorization endpoint.

        Raises:
            IdpCommunicationError: The provider's endpoints cannot be read.
        """
        login_states = self._context.login_states
        browser = self._context.browsers.of(request)
        nonce, verifier = new_handle(), new_handle()
        state = await login_states.put(
            browser,
            {
                "account": provider.account,
                "oidc": provider.host_and_path,
                "id": provider.unique_id,
                "nonce": nonce,
                "verifier": verifier,
                "destination": destination,
            },
            PROVIDER_LIFE,
        )
        try:
            url = await self._context.deps.code_flow.begin(
                provider,
                ProviderOptions.parse(provider.options),
                state=state,
                nonce=nonce,
                verifier=verifier,
                redirect_uri=self._redirect_uri,
            )
        except (CodeFlowFailedError, SealBrokenError) as error:
            raise IdpCommunicationError(_UNREACHABLE, detail=str(error)) from error
        return self._context.browsers.redirect(browser, url)

    async def callback(self, request: Request) -> Response:
        """``GET /signin/oidc/callback``: the provider's answer."""
        refuse_prefetch(request)
        note(request, action="ListRolesWithWebIdentity")
        form = await read_form(request)
        state = form.require("state")
        login_states = self._context.login_states
        login_state = await login_states.require(request, state)
        if "oidc" not in login_state:
            raise ValidationError("This response belongs to another kind of sign-in.")
        try:
            verified = await self._list(request, form, login_state)
        except BrokerError as error:
            if not isinstance(error, ServiceUnavailable | IdpCommunicationError):
                await login_states.forget(state)
            raise
        # The code is spent by now, so the result is kept where it can be retried if
        # a store is unavailable.
        response = await self._offer.go_on(request, *verified)
        await login_states.forget(state)
        return response

    async def _list(
        self, request: Request, form: Form, login_state: dict[str, Any]
    ) -> Verified:
        """Verify the provider's answer and list the roles it gives.

        Raises:
            BrokerError: The answer is not valid, or gives no role.
        """
        account = parse_account_id(login_state["account"])
        results: list[Verified] = []

        async def prove(_now: datetime) -> ProofResult:
            try:
                verified = await self._prove(form, account, login_state)
            except BrokerError as error:
                raise await self._refused(
                    error, account, login_state["oidc"]
                ) from error
            results.append(verified)
            return proved_by(verified[0])

        await self._context.perform(
            request,
            Door.SIGN_IN,
            ("signin", "ListRolesWithWebIdentity"),
            DoorProof(prove),
            lambda: {"RoleArns": results[0][1]},
        )
        return results[0]

    async def _refused(
        self, error: BrokerError, account: AccountId, host_and_path: str
    ) -> ProofRefused:
        provider: OidcProvider | None = None
        with suppress(StoreUnavailableError):
            provider = await self._context.deps.fresh.named(
                OIDC_PROVIDER, account, host_and_path
            )
        return ProofRefused.of(error, ClaimedProvider(account, provider))

    @property
    def _redirect_uri(self) -> str:
        return f"{self._context.deps.public_origin}{CALLBACK}"

    async def _prove(
        self, form: Form, account: AccountId, login_state: dict[str, Any]
    ) -> Verified:
        refused = form.find("error")
        if refused is not None:
            said = f"{refused} {form.find('error_description') or ''}".strip()
            raise IdpRejectedClaim(_REFUSED, detail=said[:_REASON_MAX])
        code, issuer = form.require("code"), form.find("iss")
        deps = self._context.deps
        provider = await deps.fresh.named(OIDC_PROVIDER, account, login_state["oidc"])
        if provider is None or provider.unique_id != login_state["id"]:
            raise InvalidIdentityToken("Specified provider doesn't exist.")
        if issuer is not None and issuer != provider.url:
            raise InvalidIdentityToken(
                detail=f"the answer is of issuer {issuer!r:.200}, not {provider.url!r}"
            )
        options = ProviderOptions.parse(provider.options)
        try:
            tokens = await deps.code_flow.finish(
                provider,
                options,
                code=code,
                verifier=login_state["verifier"],
                redirect_uri=self._redirect_uri,
            )
        except CodeRefusedError as error:
            raise IdpRejectedClaim(_REFUSED, detail=str(error)) from error
        except (CodeFlowFailedError, SealBrokenError) as error:
            raise IdpCommunicationError(_UNREACHABLE, detail=str(error)) from error
        token = tokens.id_token
        identity = await deps.web_identity.prove(
            token, account=account, now=deps.clock.now()
        )
        _require_client(identity, provider, options)
        claims = identity.claims
        _require_nonce(claims.get("nonce"), login_state["nonce"])
        roles = offered_roles(identity)
        watched = await self._watch(provider, options, identity, tokens)
        # In an organisation, other members' providers may give some.
        if not roles and not self._places.organisation_of(login_state["destination"]):
            name = _session_name(claims, identity, options)
            raise refused_person(AccessDenied(_NO_ROLE), identity, name)
        can_end = await deps.code_flow.can_end(provider)
        login = PendingLogin(
            door=LoginMethod.OIDC,
            destination=login_state["destination"],
            token=token,
            session_name=_session_name(claims, identity, options),
            login=_login(identity, claims, can_end=can_end) | watched,
            issuer=identity.issuer,
            state=form.require("state"),
        )
        return identity, roles, login

    async def _watch(
        self,
        provider: OidcProvider,
        options: ProviderOptions,
        identity: FederatedIdentity,
        tokens: FlowTokens,
    ) -> dict[str, Any]:
        """Keep the refresh token; what the login says of it, if it is to be watched."""
        if not options.watch:
            return {}
        token = tokens.refresh_token
        if not 0 < len(token) <= TOKEN_CHARACTERS_MAX:
            _log.warning(
                "a provider gave no refresh token, so no one notices if this person leaves",
                provider=provider.arn,
            )
            token = ""
        roles = {identity.account: offered_roles(identity)}
        sign_in_id = await self._context.deps.watched.begin(
            provider,
            options.client_id,
            identity.subject,
            KeptToken(token=token, roles=roles),
        )
        return {WATCHED: {"id": sign_in_id, "seconds": options.watch_seconds}}


def _require_client(
    identity: FederatedIdentity, provider: OidcProvider, options: ProviderOptions
) -> None:
    """Require that the token is for the provider and client of this sign-in."""
    if identity.provider_id != provider.unique_id:
        raise InvalidIdentityToken(detail=f"the token is for {identity.provider_arn}")
    if identity.audience != options.client_id:
        raise InvalidIdentityToken(
            detail=f"the token is for client {identity.audience!r:.100},"
            f" the sign-in for {options.client_id!r}"
        )


def _require_nonce(nonce: object, expected: str) -> None:
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode("utf-8", "replace"), expected.encode()
    ):
        raise InvalidIdentityToken(detail="the token's nonce is not this sign-in's")


def _session_name(
    claims: Mapping[str, Any], identity: FederatedIdentity, options: ProviderOptions
) -> str:
    """The role session name: from a claim that identifies the user, or the subject.

    An e-mail address that the provider did not verify may belong to someone else, and
    ``preferred_username`` is not unique (OpenID Connect Core 1.0, 5.7).
    """
    own = options.name_claims
    verified = claims.get("email_verified")
    name, is_unique = identity.subject, True
    for claim in dict.fromkeys((*own, "email", "preferred_username")):
        value = claims.get(claim)
        known = claim in own or (
            claim == "email" and (verified is True or verified == "true")
        )
        if isinstance(value, str) and value and (known or claim != "email"):
            name, is_unique = value, known
            break
    return session_name(
        name, issuer=identity.issuer, subject=identity.subject, is_unique=is_unique
    )


def _login(
    identity: FederatedIdentity, claims: Mapping[str, Any], *, can_end: bool
) -> dict[str, Any]:
    """The fields of the `ProviderLogin` of a verified token, except the token."""
    session_id = claims.get("sid")
    return {
        "provider_arn": identity.provider_arn,
        "provider_id": identity.provider_id,
        "client_id": identity.audience,
        "subject": identity.subject,
        "session_id": session_id if isinstance(session_id, str) else "",
        "issued_at": float(claims["iat"]),
        "can_end": can_end,
    }
