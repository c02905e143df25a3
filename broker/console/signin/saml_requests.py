"""SAML messages of ours: metadata, the signed AuthnRequest, and matching its response.

Source: SAML 2.0 Profiles 4.1; AWS General Reference, "AWS Sign-In endpoints and quotas".
"""

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.deps import ConsoleDeps
from broker.console.parked import Browser
from broker.console.pending_login import PROVIDER_LIFE
from broker.errors import InvalidInput, NoSuchEntity, ServiceUnavailable
from broker.model.account import AccountId, parse_account_id
from broker.model.entities import SamlProvider
from broker.proofs.saml_request_key import RequestKey
from broker.protocols.saml.authn_request import (
    REDIRECT_BINDING,
    authn_request,
    redirect_url,
)
from broker.protocols.saml.sp_metadata import (
    assertion_consumer_url,
    single_logout_url,
    sp_metadata,
)
from broker.sessions.vault import SealBrokenError
from broker.stores.directory.accounts import find_saml_provider_by_uuid
from broker.stores.directory.port import DirectoryReader

_NO_KEY = "Sign-in cannot start here right now. Start at your identity provider."
_NO_ENDPOINT = (
    "This identity provider's metadata has no single sign-on address with the"
    " HTTP-Redirect binding. Start at the identity provider itself."
)

GLOBAL = "/static/saml-metadata.xml"
PER_PROVIDER = "/static/saml/{uuid}/saml-metadata.xml"
_MEDIA_TYPE = "application/samlmetadata+xml"


class OpenRequest(Struct, frozen=True):
    """A request that awaits its response, and the ``browser`` that it was begun in.

    ``request_id`` is the message's ID.
    """

    request_id: str
    account: AccountId
    provider_arn: str
    destination: str
    browser: Browser


class SamlRequests:
    """Sends AuthnRequests and finds them again."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def begin(
        self, request: Request, provider: SamlProvider, destination: str
    ) -> Response:
        """Redirect to the provider with a signed request.

        Raises:
            InvalidInput: Its metadata has no endpoint with the redirect binding.
        """
        deps = self._context.deps
        location = next(
            (
                endpoint.location
                for descriptor in (
                    await deps.federated.metadata_of(provider)
                ).descriptors
                for endpoint in descriptor.sso_endpoints
                if endpoint.binding == REDIRECT_BINDING
            ),
            None,
        )
        if location is None:
            raise InvalidInput(_NO_ENDPOINT)
        login_states = self._context.login_states
        browser = self._context.browsers.of(request)
        handle = await login_states.put(
            browser,
            {
                "account": provider.account,
                "provider": provider.arn,
                "destination": destination,
            },
            PROVIDER_LIFE,
        )
        message = authn_request(
            request_id=f"_{handle}",
            issued=deps.clock.now(),
            issuer=deps.entity_id,
            destination=location,
            consumer_url=assertion_consumer_url(deps.public_origin, provider.uuid),
        )
        key = await request_key(deps)
        return self._context.browsers.redirect(
            browser, redirect_url(location, message, key.private_key)
        )

    async def find_answered(self, request_id: str | None) -> OpenRequest | None:
        """Find the open request that an unverified response claims to answer.

        None when it claims none, or one that is not open: the response is then
        verified as unsolicited, and its InResponseTo gets it refused.
        """
        if not request_id:
            return None
        results, browser = await self._context.login_states.peek(request_id[1:])
        if results is None or "provider" not in results:
            return None
        return OpenRequest(
            request_id,
            parse_account_id(results["account"]),
            results["provider"],
            results["destination"],
            browser,
        )


async def request_key(deps: ConsoleDeps) -> RequestKey:
    """The key that signs our requests.

    Raises:
        ServiceUnavailable: It cannot be unsealed; the operator has to act.
    """
    try:
        return await deps.request_keys.get()
    except SealBrokenError as error:
        raise ServiceUnavailable(
            _NO_KEY, detail=f"{error}; `broker doctor` says what to do"
        ) from error


async def find_provider_of_path(
    directory: DirectoryReader, uuid: str
) -> SamlProvider | None:
    """Find a provider by the id in a path, which can be any text."""
    # PostgreSQL rejects NUL in text.
    return await find_saml_provider_by_uuid(directory, uuid) if uuid.isalnum() else None


class SamlMetadata:
    """Serves the metadata documents."""

    def __init__(self, context: ConsoleContext) -> None:
        self._deps = context.deps

    async def overall(self, _request: Request) -> Response:
        """The global document, for providers that post to ``/saml``."""
        return await self._answer(None, ())

    async def of_provider(self, request: Request) -> Response:
        """One provider's document, with its own endpoints and encryption keys."""
        deps = self._deps
        provider = await find_provider_of_path(
            deps.directory, request.path_params["uuid"]
        )
        if provider is None:
            raise NoSuchEntity("There is no such page.")
        certificates = await deps.federated.encryption_certificates(provider)
        return await self._answer(provider.uuid, certificates)

    async def _answer(
        self, uuid: str | None, certificates: tuple[bytes, ...]
    ) -> Response:
        deps = self._deps
        text = sp_metadata(
            entity_id=deps.entity_id,
            consumer_url=assertion_consumer_url(deps.public_origin, uuid),
            logout_url=single_logout_url(deps.public_origin, uuid) if uuid else "",
            encryption_certificates=certificates,
            signing_certificates=((await request_key(deps)).certificate,),
        )
        return Response(text, media_type=_MEDIA_TYPE)
