"""SP-initiated SAML sign-in: the signed AuthnRequest, and matching its response.

Source: SAML 2.0 Profiles 4.1.
"""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.deps import ConsoleDeps
from broker.errors import InvalidInput, ServiceUnavailable
from broker.model.account import AccountId, parse_account_id
from broker.model.entities import SamlProvider
from broker.proofs.saml_request_key import RequestKey
from broker.protocols.saml.authn_request import (
    REDIRECT_BINDING,
    authn_request,
    redirect_url,
)
from broker.protocols.saml.sp_metadata import assertion_consumer_url
from broker.sessions.vault import SealBrokenError

_NO_KEY = "Sign-in cannot start here right now. Start at your identity provider."
_NO_ENDPOINT = (
    "This identity provider's metadata has no single sign-on address with the"
    " HTTP-Redirect binding. Start at the identity provider itself."
)


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that awaits its response; ``request_id`` is the message's ID."""

    request_id: str
    account: AccountId
    provider_arn: str
    destination: str


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
        browser = login_states.browser_of(request)
        handle = await login_states.put(
            browser,
            {
                "account": provider.account,
                "provider": provider.arn,
                "destination": destination,
            },
        )
        message = authn_request(
            request_id=f"_{handle}",
            issued=deps.clock.now(),
            issuer=deps.entity_id,
            destination=location,
            consumer_url=assertion_consumer_url(deps.public_origin, provider.uuid),
        )
        key = await request_key(deps)
        return login_states.redirect(
            browser, redirect_url(location, message, key.private_key)
        )

    async def find_answered(self, request_id: str | None) -> OpenRequest | None:
        """Find the open request that an unverified response claims to answer.

        None when it claims none, or one that is not open: the response is then
        verified as unsolicited, and its InResponseTo gets it refused.
        """
        if not request_id:
            return None
        found = await self._context.login_states.find(request_id[1:])
        if found is None or "provider" not in found:
            return None
        return OpenRequest(
            request_id,
            parse_account_id(found["account"]),
            found["provider"],
            found["destination"],
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
