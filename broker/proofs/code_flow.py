"""The OpenID Connect authorization code flow, with PKCE: for the sign-in page.

Authlib implements the protocol; every request goes through the checked transport.

Source: OpenID Connect Core 3.1; RFC 7636; RFC 9700 2.1.
"""

import asyncio
import base64
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2

from broker.model.entities import CLIENT_SECRET_SEAL, OidcProvider
from broker.model.sealing import Opener
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
_REMEMBERED_MAX = 1024
_AUTHLIB = "authlib.integrations.httpx_client"
_BAD_ANSWERS = (ValueError, TypeError, OverflowError, RecursionError)
"""Of a library that reads JSON and the times in it without checks."""


class CodeFlowFailedError(Exception):
    """The provider cannot be used, or gave no token; the message is for operators."""


class CodeRefusedError(CodeFlowFailedError):
    """The token endpoint refused the code, or the broker as its client."""


class CodeFlow:
    """Begins and finishes code flows."""

    def __init__(self, outbound: OutboundClient, opener: Opener, clock: Clock) -> None:
        self._outbound = outbound
        self._opener = opener
        self._clock = clock
        self._known = BoundedCache[str, tuple[float, Discovery]](_REMEMBERED_MAX)

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
        async with self._client(provider, options, redirect_uri) as client:
            url, _ = client.create_authorization_url(
                endpoint, state=state, nonce=nonce, code_verifier=verifier
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
    ) -> str:
        """Exchange a code for the ID token, which is not verified yet.

        Raises:
            CodeRefusedError: the provider refused it.
            CodeFlowFailedError: the provider gave none.
        """
        discovery = await self._discover(provider)
        from authlib.integrations.base_client import OAuthError  # noqa: PLC0415  # there

        endpoint = discovery.token_endpoint
        self._check(provider, endpoint, "token_endpoint")
        try:
            async with self._client(provider, options, redirect_uri) as client:
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
        return token

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
        known = self._known.get(name)
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
        self._known.put(name, (now, discovery))
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
        self, provider: OidcProvider, options: ProviderOptions, redirect_uri: str
    ) -> "AsyncOAuth2Client":
        from authlib.integrations.httpx_client import AsyncOAuth2Client  # noqa: PLC0415  # there

        secret = self._secret(provider, options)
        return AsyncOAuth2Client(
            options.client_id,
            secret,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            scope=" ".join(options.scopes),
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
