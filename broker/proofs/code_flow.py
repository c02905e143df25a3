"""The OpenID Connect authorization code flow, with PKCE: for the sign-in page.

It also asks the token endpoint again with a refresh token, and revokes that.
Authlib implements the protocol; every request goes through the checked transport.

Source: OpenID Connect Core 3.1, 11 and 12; RFC 7636; RFC 9700 2.1; RFC 7009.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2

from broker.model.entities import CLIENT_SECRET_SEAL, OidcProvider
from broker.model.sealing import Opener
from broker.model.secret import Confidential, Hidden
from broker.model.strict_json import parse_object
from broker.proofs.addresses import AddressRefusedError
from broker.proofs.outbound import FetchFailedError, OutboundClient
from broker.proofs.provider_options import ProviderOptions
from broker.protocols.oidc.discovery import (
    DISCOVERY_BYTES_MAX,
    Discovery,
    discovery_url,
    parse_discovery,
)
from broker.protocols.oidc.rejection import OidcRejected
from broker.runtime.bounded import BoundedCache
from broker.runtime.clock import Clock

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import AsyncOAuth2Client

_REMEMBERED_SECONDS = 300
RETRY_AFTER_MAX = timedelta(hours=1)
"""However long a provider wants to be left alone, it is asked again after this."""

_OFFLINE = "offline_access"
GOOGLE = "https://accounts.google.com"
_GOOGLE_OFFLINE = {"access_type": "offline", "prompt": "consent"}
"""Google knows no such scope, and gives a refresh token only after a consent.

Source: Google, Using OAuth 2.0 for Web Server Applications.
"""

_DETAIL_MAX = 300
_AUTHLIB = "authlib.integrations.httpx_client"
_BAD_ANSWERS = (ValueError, TypeError, OverflowError, RecursionError)
"""Of a library that reads JSON and the times in it without checks."""


class CodeFlowFailedError(Exception):
    """The provider cannot be used, or gave no token; the message is for operators."""


class CodeRefusedError(CodeFlowFailedError):
    """The token endpoint refused the code, or the broker as its client."""


class FlowTokens(Confidential, frozen=True, kw_only=True):
    """The ID token, which is not verified yet, and the refresh token, if there is one."""

    id_token: Hidden[str]
    refresh_token: Hidden[str] = ""


class RefreshOutcome(StrEnum):
    """What an answer to a refresh token says of the person who signed in.

    ``UNANSWERED``: nothing, and the token was not used. ``LOST``: nothing, and it may
    have been used.
    """

    GOOD = "good"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    LOST = "lost"


class RefreshAnswer(Confidential, frozen=True, kw_only=True):
    """A token endpoint's answer; tokens are empty where it has none.

    ``detail`` is for operators. ``retry_after`` is what the provider asks for, if it does.
    """

    outcome: RefreshOutcome
    detail: str = ""
    id_token: Hidden[str] = ""
    refresh_token: Hidden[str] = ""
    retry_after: timedelta | None = None


class CodeFlow:
    """Begins and finishes code flows."""

    def __init__(self, outbound: OutboundClient, opener: Opener, clock: Clock) -> None:
        self._outbound = outbound
        self._opener = opener
        self._clock = clock
        self._known = BoundedCache[str, tuple[float, Discovery]]()

    async def begin(
        self,
        provider: OidcProvider,
        options: ProviderOptions,
        *,
        state: str,
        nonce: str,
        verifier: str,
        redirect_uri: str,
    ) -> str:
        """The URL at the provider where a sign-in begins.

        Raises:
            CodeFlowFailedError: the provider's discovery document cannot be used.
        """
        discovery = await self._discover(provider)
        endpoint = discovery.authorization_endpoint
        self._check(provider, endpoint, "authorization_endpoint")
        more = _GOOGLE_OFFLINE if options.watch and provider.url == GOOGLE else {}
        scopes = options.scopes
        if options.watch and not more:
            scopes = tuple(dict.fromkeys((*scopes, _OFFLINE)))
        async with self._client(provider, options, redirect_uri, scopes) as client:
            url, _ = client.create_authorization_url(
                endpoint, state=state, nonce=nonce, code_verifier=verifier, **more
            )
        return str(url)

    async def finish(
        self,
        provider: OidcProvider,
        options: ProviderOptions,
        *,
        code: str,
        verifier: str,
        redirect_uri: str,
    ) -> FlowTokens:
        """Exchange a code for tokens.

        Raises:
            CodeRefusedError: the provider refused it.
            CodeFlowFailedError: the provider gave none.
        """
        discovery = await self._discover(provider)
        from authlib.integrations.base_client import OAuthError  # noqa: PLC0415  # there

        endpoint = discovery.token_endpoint
        self._check(provider, endpoint, "token_endpoint")
        try:
            async with self._client(
                provider, options, redirect_uri, options.scopes
            ) as client:
                answer: dict[str, Any] = await client.fetch_token(
                    endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=verifier,
                )
        except OAuthError as error:
            raise CodeRefusedError(
                f"the token endpoint refused: {error!s:.300}"
            ) from error
        except (httpx2.HTTPError, *_BAD_ANSWERS) as error:
            raise CodeFlowFailedError(
                f"the token endpoint gave no token: {error!s:.300}"
            ) from error
        token = answer.get("id_token")
        if not isinstance(token, str) or not token:
            raise CodeFlowFailedError("the token endpoint's answer has no id_token")
        return FlowTokens(id_token=token, refresh_token=_text(answer, "refresh_token"))

    async def refresh(
        self, provider: OidcProvider, options: ProviderOptions, token: str
    ) -> RefreshAnswer:
        """Ask the token endpoint with a refresh token.

        Only ``invalid_grant`` says anything of the person, by its code alone: what else
        an answer says is text of one product.

        Source: RFC 6749 5.2 and 6; OpenID Connect Core 1.0 12.2.
        """
        responses: list[httpx2.Response] = []

        def note(response: httpx2.Response) -> httpx2.Response:
            responses.append(response)
            return response

        try:
            discovery = await self._discover(provider)
            self._check(provider, discovery.token_endpoint, "token_endpoint")
            async with self._client(provider, options) as client:
                client.register_compliance_hook("refresh_token_response", note)
                # Authlib raises for every answer without tokens; it is read below.
                with suppress(_authlib_error(), *_BAD_ANSWERS):
                    await client.refresh_token(
                        discovery.token_endpoint, refresh_token=token
                    )
        except (
            CodeFlowFailedError,
            httpx2.ConnectError,
            httpx2.ConnectTimeout,
        ) as error:
            return RefreshAnswer(
                outcome=RefreshOutcome.UNANSWERED, detail=_describe(error)
            )
        except httpx2.HTTPError as error:
            # HTTP errors of an answer that came are in ``responses``.
            if not responses:
                return RefreshAnswer(
                    outcome=RefreshOutcome.LOST, detail=_describe(error)
                )
        if not responses:
            return RefreshAnswer(outcome=RefreshOutcome.LOST, detail="no answer")
        return _read_refresh(responses[-1])

    async def revoke(
        self, provider: OidcProvider, options: ProviderOptions, token: str
    ) -> bool:
        """Revoke a refresh token; False if that should be tried again.

        Source: RFC 7009 2.
        """
        try:
            discovery = await self._discover(provider)
            if not discovery.revocation_endpoint:
                return True
            self._check(provider, discovery.revocation_endpoint, "revocation_endpoint")
            async with self._client(provider, options) as client:
                answer = await client.revoke_token(
                    discovery.revocation_endpoint,
                    token=token,
                    token_type_hint="refresh_token",  # noqa: S106  # a word of RFC 7009
                )
        except (CodeFlowFailedError, httpx2.HTTPError, *_BAD_ANSWERS):
            return False
        return bool(answer.status_code < httpx2.codes.INTERNAL_SERVER_ERROR)

    async def can_end(self, provider: OidcProvider) -> bool:
        """Whether the provider has an end-session endpoint that may be used."""
        try:
            discovery = await self._discover(provider)
            self._check(provider, discovery.end_session_endpoint, "endpoint")
        except CodeFlowFailedError:
            return False
        return True

    async def end(
        self, provider: OidcProvider, *, client_id: str, token: str, back: str
    ) -> tuple[str, dict[str, str]]:
        """The URL at the provider where a user signs out, and the form to post there.

        ``token`` is the ID token of the sign-in; ``back`` must be registered there. In
        an address, where other programs read it, the token would be a proof to them.

        Raises:
            CodeFlowFailedError: the provider has none, or cannot be reached.

        Source: OpenID Connect RP-Initiated Logout 1.0 section 2.
        """
        discovery = await self._discover(provider)
        endpoint = discovery.end_session_endpoint
        self._check(provider, endpoint, "end_session_endpoint")
        return endpoint, {
            "id_token_hint": token,
            "client_id": client_id,
            "post_logout_redirect_uri": back,
        }

    async def _discover(self, provider: OidcProvider) -> Discovery:
        # Thumbprints and account decide what may be fetched: no sharing.
        name = provider.unique_id + "".join(provider.thumbprints)
        now = self._clock.now().timestamp()
        known = self._known.get(provider.account, name)
        if known is not None and 0 <= now - known[0] < _REMEMBERED_SECONDS:
            return known[1]
        try:
            # Authlib takes 4 MB and 40 ms, and only sign-ins with OpenID Connect need
            # it: the first loads it in a thread, while the provider answers.
            document, _ = await asyncio.gather(
                self._outbound.fetch(
                    discovery_url(provider.url),
                    account=provider.account,
                    thumbprints=provider.thumbprints,
                    max_bytes=DISCOVERY_BYTES_MAX,
                ),
                asyncio.to_thread(import_module, _AUTHLIB),
            )
            discovery = parse_discovery(document, provider.url)
        except (FetchFailedError, OidcRejected) as error:
            raise CodeFlowFailedError(str(error)) from error
        self._known.put(provider.account, name, (now, discovery))
        return discovery

    def _check(self, provider: OidcProvider, url: str, name: str) -> None:
        try:
            parts = urlsplit(url)
            self._outbound.rules.require_target(
                provider.account, parts.scheme, parts.hostname or "", parts.port
            )
        except (ValueError, AddressRefusedError) as error:
            raise CodeFlowFailedError(f"{name} {url!r:.200}: {error}") from error

    def _client(
        self,
        provider: OidcProvider,
        options: ProviderOptions,
        redirect_uri: str | None = None,
        scopes: Sequence[str] = (),
    ) -> "AsyncOAuth2Client":
        from authlib.integrations.httpx_client import AsyncOAuth2Client  # noqa: PLC0415  # there

        secret = self._secret(provider, options)
        return AsyncOAuth2Client(
            options.client_id,
            secret,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            # A refresh asks for the scopes of the sign-in, whatever is set since.
            scope=" ".join(scopes) or None,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            transport=self._outbound.transport(
                account=provider.account, thumbprints=provider.thumbprints
            ),
            trust_env=False,
            follow_redirects=False,
        )

    def _secret(self, provider: OidcProvider, options: ProviderOptions) -> str | None:
        if not options.sealed_client_secret:
            return None
        purpose, column = CLIENT_SECRET_SEAL
        sealed = base64.b64decode(options.sealed_client_secret)
        return self._opener.open_sealed(
            purpose, provider.account, provider.unique_id, column, sealed
        ).decode("utf-8")


def _authlib_error() -> type[Exception]:
    from authlib.integrations.base_client import OAuthError  # noqa: PLC0415  # as above

    error: type[Exception] = OAuthError
    return error


def _read_refresh(response: httpx2.Response) -> RefreshAnswer:
    """What an answer to a refresh token says.

    A 5xx may be of something before the provider, which has rotated the token by then.
    """
    status = response.status_code
    try:
        document = parse_object(response.content)
    except (ValueError, RecursionError):
        document = {}
    error = _text(document, "error")
    detail = f"{status} {error} {_text(document, 'error_description')}".strip()
    if status == httpx2.codes.OK and _text(document, "access_token") and not error:
        return RefreshAnswer(
            outcome=RefreshOutcome.GOOD,
            id_token=_text(document, "id_token"),
            refresh_token=_text(document, "refresh_token"),
        )
    if status == httpx2.codes.BAD_REQUEST and error == "invalid_grant":
        return RefreshAnswer(
            outcome=RefreshOutcome.REFUSED, detail=detail[:_DETAIL_MAX]
        )
    is_client_error = (
        httpx2.codes.BAD_REQUEST <= status < httpx2.codes.INTERNAL_SERVER_ERROR
    )
    return RefreshAnswer(
        outcome=RefreshOutcome.UNANSWERED if is_client_error else RefreshOutcome.LOST,
        detail=detail[:_DETAIL_MAX],
        retry_after=_read_retry_after(response),
    )


def _read_retry_after(response: httpx2.Response) -> timedelta | None:
    """The header's seconds, or how far off its date is from the answer's own.

    Source: RFC 9110 10.2.3.
    """
    text = response.headers.get("retry-after", "")
    if text.isascii() and text.isdecimal():
        return min(timedelta(seconds=int(text[:9])), RETRY_AFTER_MAX)
    try:
        until = parsedate_to_datetime(text)
        since = parsedate_to_datetime(response.headers.get("date", ""))
        return min(max(until - since, timedelta(0)), RETRY_AFTER_MAX)
    except (ValueError, TypeError, OverflowError):
        return None


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _describe(error: Exception) -> str:
    return f"{str(error) or type(error).__name__}"[:_DETAIL_MAX]
