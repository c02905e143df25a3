"""Single logout started at a SAML provider, over the user's browser.

A signed LogoutRequest ends the console sessions that its NameID and session indexes
name, with everything made from them. The response goes only to the endpoint in the
provider's registered metadata, and does not reveal whether there was a session.

Source: SAML 2.0 Profiles 4.4.
"""

from datetime import datetime
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.forms import Form, read_form
from broker.console.provider_logins import Logout
from broker.console.rendering import see_other
from broker.console.request_info import note, refuse_prefetch
from broker.console.sign_out import SIGNED_OUT
from broker.console.signin.provider_logout import end_by_provider
from broker.console.signin.saml_requests import find_provider_of_path, request_key
from broker.errors import (
    InvalidIdentityToken,
    NoSuchEntity,
    ValidationError,
)
from broker.model.entities import SamlProvider
from broker.model.federated import FederatedIdentity
from broker.proofs.provider_options import ProviderOptions
from broker.proofs.saml import provider_session
from broker.protocols.saml.authn_request import redirect_url
from broker.protocols.saml.errors import SamlRejected
from broker.protocols.saml.logout import (
    LogoutExpectations,
    LogoutRequest,
    logout_response,
    verify_posted_logout,
    verify_redirected_logout,
)
from broker.protocols.saml.metadata import IdpMetadata
from broker.protocols.saml.names import REDIRECT_BINDING
from broker.protocols.saml.sp_metadata import single_logout_url
from broker.runtime.entropy import new_handle
from broker.stores.directory.kinds import SAML_PROVIDER

PATH = "/saml/slo/{uuid}"
_RELAY_CHARACTERS_MAX = 1024
_REFUSED = "This is not a valid logout request from your identity provider."
_USED = "This logout request was already used. You are signed out."


class SamlLogout:
    """The single logout service."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def answer(self, request: Request) -> Response:
        """``GET`` (redirect binding) or ``POST`` of a LogoutRequest.

        Raises:
            InvalidIdentityToken: It is not a valid request of this provider, or was
                used.
        """
        note(request, action="EndConsoleSessions")
        refuse_prefetch(request)
        form = await read_form(request)
        deps = self._context.deps
        provider = await find_provider_of_path(
            deps.directory, request.path_params["uuid"]
        )
        if provider is None:
            raise NoSuchEntity("There is no such page.")
        form.require("SAMLRequest")
        relay = form.find("RelayState") or ""
        if len(relay) > _RELAY_CHARACTERS_MAX:
            raise ValidationError("The parameter RelayState is too long.")
        metadata = await deps.federated.metadata_of(provider)
        who = await self._context.find_session(request)
        messages: list[LogoutRequest] = []

        async def verify(_now: datetime) -> Logout:
            message = self._verify(request, form, provider, metadata)
            messages.append(message)
            return Logout(
                provider_id=provider.uuid,
                issuer=message.issuer,
                client_id=message.issuer,
                names=_names(message),
                issued_at=message.issued_at.timestamp(),
                use_id=message.request_id,
                good_until=message.good_until.timestamp(),
                subject=message.name_id,
                reused=True,
            )

        used = InvalidIdentityToken(_USED, detail="replay: a used LogoutRequest")
        logins = await end_by_provider(self._context, request, provider, verify, used)
        onward = await self._answer_url(messages[0], metadata, relay)
        response = see_other(onward)
        # Some providers send it in a frame, which must be able to go back to them.
        response.headers["content-security-policy"] = (
            f"default-src 'none'; frame-ancestors {_origin(onward)}"
        )
        if who is not None and who.origin.login in {login.handle for login in logins}:
            self._context.cookie.clear(response)
        return response

    def _verify(
        self,
        request: Request,
        form: Form,
        provider: SamlProvider,
        metadata: IdpMetadata,
    ) -> LogoutRequest:
        deps = self._context.deps
        options = ProviderOptions.parse(provider.options)
        expected = LogoutExpectations(
            destination=single_logout_url(deps.public_origin, provider.uuid),
            now=deps.clock.now(),
            skew=deps.federated.expected_of(provider).skew,
            policy=options.saml.algorithms,
        )
        try:
            if request.method == "POST":
                return verify_posted_logout(
                    form.require("SAMLRequest"), idp=metadata, expected=expected
                )
            return verify_redirected_logout(
                request.scope["query_string"], idp=metadata, expected=expected
            )
        except SamlRejected as rejected:
            raise InvalidIdentityToken(_REFUSED, detail=str(rejected)) from rejected

    async def _answer_url(
        self, request: LogoutRequest, metadata: IdpMetadata, relay: str
    ) -> str:
        """The provider's URL with our LogoutResponse, or our own sign-out page."""
        deps = self._context.deps
        descriptor = metadata.find_descriptor(request.issuer)
        location = next(
            (
                endpoint.response_location
                for endpoint in (descriptor.slo_endpoints if descriptor else ())
                if endpoint.binding == REDIRECT_BINDING
            ),
            None,
        )
        if location is None:
            return SIGNED_OUT
        message = logout_response(
            response_id=f"_{new_handle()}",
            issued=deps.clock.now(),
            issuer=deps.entity_id,
            destination=location,
            in_response_to=request.request_id,
        )
        key = await request_key(deps)
        return redirect_url(
            location, message, key.private_key, relay, field="SAMLResponse"
        )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else "'none'"


def _names(request: LogoutRequest) -> list[tuple[str | None, str | None]]:
    """Pairs of session id and subject, one of them None, that the request names."""
    if not request.session_indexes:
        return [(None, request.name_id)]
    return [
        (provider_session(request.name_id, index), None)
        for index in request.session_indexes
    ]


async def find_login(
    context: ConsoleContext, identity: FederatedIdentity
) -> dict[str, object]:
    """The fields of an assertion's `ProviderLogin`.

    Empty when the provider's metadata has no SingleLogoutService.
    """
    _, _, name = identity.provider_arn.partition(":saml-provider/")
    provider = await context.deps.fresh.named(SAML_PROVIDER, identity.account, name)
    if provider is None or identity.issued_at is None:
        return {}
    metadata = await context.deps.federated.metadata_of(provider)
    descriptor = metadata.find_descriptor(identity.issuer)
    if descriptor is None or not descriptor.slo_endpoints:
        return {}
    return {
        "provider_arn": identity.provider_arn,
        "provider_id": identity.provider_id,
        "client_id": identity.issuer,
        "subject": identity.subject,
        "session_id": identity.provider_session,
        "issued_at": identity.issued_at.timestamp(),
        "can_end": False,
    }
