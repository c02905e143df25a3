"""Single logout with OpenID Connect providers, in both directions.

A back-channel request carries a signed token and ends sessions with everything made
from them. A front-channel request proves nothing, so it does no more than the
sign-out button. Neither response reveals whether there was a session.

Source: OpenID Connect Back-Channel Logout 1.0, 2.5 to 2.8; Front-Channel Logout 1.0,
2 and 3; RP-Initiated Logout 1.0, 2.
"""

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from broker.console.console_session import ConsoleSession, EndedSession
from broker.console.context import ConsoleContext
from broker.console.destinations import origin_of
from broker.console.forms import read_form
from broker.console.provider_logins import Logout, login_end_mark
from broker.console.rendering import allow_redirect
from broker.console.request_info import note, refuse_prefetch
from broker.console.sign_in_options import SignInOptions
from broker.console.sign_out import SIGNED_OUT, find_way_out
from broker.console.signin.provider_logout import end_by_provider
from broker.errors import (
    BrokerError,
    IdpCommunicationError,
    InvalidIdentityToken,
    NoSuchEntity,
    ServiceUnavailable,
    ValidationError,
)
from broker.model.account import parse_account_id
from broker.model.arn import Arn
from broker.model.entities import OidcProvider
from broker.model.principal import Principal, PrincipalType
from broker.model.request import Door
from broker.model.session import Caller
from broker.proofs.code_flow import CodeFlowFailedError
from broker.proofs.provider_options import ProviderOptions
from broker.sessions.keys import SESSION_MAX
from broker.stores.directory.kinds import OIDC_PROVIDER
from broker.stores.errors import StoreFailedError

BACK_CHANNEL = "/signin/{account}/with/{provider}/backchannel-logout"
FRONT_CHANNEL = "/signin/{account}/with/{provider}/frontchannel-logout"
THERE = "/signin/sign-out-there"
_NO_STORE = {"cache-control": "no-store"}
_OK, _BAD, _UNAVAILABLE = 200, 400, 503
_USED = "The logout token was already used."
_TOO_OLD = "This sign-out link has expired. Sign out at your identity provider instead."


class OidcLogout:
    """Back-channel, front-channel and RP-initiated logout."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._options = SignInOptions(context)

    async def back_channel(self, request: Request) -> Response:
        """``POST`` of a logout token, sent by the provider itself."""
        note(request, action="EndConsoleSessions")
        try:
            await self._end_by_token(request)
        except ClientDisconnect:
            return Response(status_code=_BAD)
        except (ServiceUnavailable, IdpCommunicationError, StoreFailedError):
            return JSONResponse(
                {"error": "temporarily_unavailable"}, _UNAVAILABLE, headers=_NO_STORE
            )
        except BrokerError as error:
            note(request, error_code=error.code)
            return JSONResponse({"error": "invalid_request"}, _BAD, headers=_NO_STORE)
        return Response(status_code=_OK, headers=_NO_STORE)

    async def front_channel(self, request: Request) -> Response:
        """``GET`` by the user's browser, in a frame of the provider's page."""
        refuse_prefetch(request)
        form = await read_form(request)
        provider = await self._get_provider(request)
        issuer, session_id = form.find("iss"), form.find("sid")
        page = HTMLResponse(
            "<!doctype html><title>Signed out</title>",
            headers={
                **_NO_STORE,
                "content-security-policy": "default-src 'none'; frame-ancestors"
                f" {origin_of(provider.url)}",
            },
        )
        if issuer != (None if session_id is None else provider.url):
            return page  # iss and sid come as a pair, and iss must be this provider
        current = await self._find_current_login(request, provider, session_id)
        handles = [] if current is None else [current]
        if session_id is not None:
            named = await self._context.logins.find(
                provider.unique_id,
                ProviderOptions.parse(provider.options).client_id,
                session_id=session_id,
                subject=None,
                until=0,
            )
            handles += (login.handle for login in named)
        if handles:
            await self._end_logins(request, provider, handles)
        if current is not None:
            self._context.cookie.clear(page)
        return page

    async def _end_logins(
        self, request: Request, provider: OidcProvider, handles: Sequence[str]
    ) -> None:
        """End logins, but nothing that was made from them."""
        longest = self._context.deps.clock.now() + SESSION_MAX
        principal = Principal.from_provider(
            PrincipalType.WEB_IDENTITY,
            provider.account,
            provider=provider.arn,
            subject="",
        )
        await self._context.perform(
            request,
            Door.SIGN_IN,
            ("signin", "FrontChannelLogout"),
            Caller(principal=principal),
            lambda: {
                "Marks": [login_end_mark(handle) for handle in handles],
                "ExpiresAt": int(longest.timestamp()),
            },
        )
        for handle in handles:
            await self._context.logins.forget(handle)

    async def there(self, request: Request) -> Response:
        """A form for the provider's end-session endpoint, with the ID token as hint.

        Raises:
            ValidationError: The link has expired, or is another browser's.
            IdpCommunicationError: The provider's configuration cannot be read.
        """
        refuse_prefetch(request)
        form = await read_form(request)
        login = await find_way_out(self._context, request, form.require("handle"))
        if login is None:
            raise ValidationError(_TOO_OLD)
        arn = Arn.parse(login.provider_arn)
        deps = self._context.deps
        provider = await deps.fresh.named(
            OIDC_PROVIDER,
            parse_account_id(arn.account),
            arn.resource.removeprefix("oidc-provider/"),
        )
        if provider is None or provider.unique_id != login.provider_id:
            raise ValidationError(_TOO_OLD)
        try:
            url, fields = await deps.code_flow.end(
                provider,
                client_id=login.client_id,
                token=login.token,
                back=f"{deps.public_origin}{SIGNED_OUT}",
            )
        except CodeFlowFailedError as error:
            raise IdpCommunicationError(
                "Your identity provider cannot be reached. Try again.",
                detail=str(error),
            ) from error
        page = self._context.pages.show(
            request,
            "sign_out_there.html",
            url=url,
            fields=fields,
            provider=provider.host_and_path,
        )
        # It may redirect through other hosts of the provider's before it comes back.
        allow_redirect(page, f"{urlsplit(url).scheme}:")
        return page

    async def _end_by_token(self, request: Request) -> None:
        """End the logins that a logout token names.

        Raises:
            BrokerError: The token is not a valid one of this provider, or was used.
        """
        form = await read_form(request)
        provider = await self._get_provider(request)

        async def verify(now: datetime) -> Logout:
            token = await self._context.deps.web_identity.prove_logout(
                form.require("logout_token"), provider, now=now
            )
            return Logout(
                provider_id=provider.unique_id,
                issuer=provider.url,
                client_id=ProviderOptions.parse(provider.options).client_id,
                names=[(token.session_id, token.subject)],
                issued_at=token.issued_at,
                use_id=token.token_id,
                good_until=token.good_until,
                subject=token.subject or "",
            )

        used = InvalidIdentityToken(_USED)
        await end_by_provider(self._context, request, provider, verify, used)

    async def _find_current_login(
        self, request: Request, provider: OidcProvider, session_id: str | None
    ) -> str | None:
        """The login of this browser's session, if the browser sent its cookie."""
        who = await self._context.find_session(request)
        if not isinstance(who, ConsoleSession | EndedSession) or not who.origin.login:
            return None
        login = await self._context.logins.find_one(who.origin.login)
        if login is None or login.provider_id != provider.unique_id:
            return None
        return who.origin.login if session_id in {None, login.session_id} else None

    async def _get_provider(self, request: Request) -> OidcProvider:
        provider = await self._options.find(
            request.path_params["account"], request.path_params["provider"]
        )
        if not isinstance(provider, OidcProvider):
            raise NoSuchEntity("There is no such page.")
        return provider
