"""Logout at a SAML provider: the browser brings its request, and takes our answer back.

A signed request ends the console sessions that its NameID and session indexes stand
for, with all that was made from them. The answer goes to the address of the provider's
registered metadata and nowhere else; it does not say whether there was a session.

Source: SAML 2.0 Profiles 4.4.
"""

import json
from datetime import datetime
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from broker.authn.nominees import Nominee
from broker.authn.scheme import DoorProof, ProofRefused, Proved
from broker.console.context import ConsoleContext
from broker.console.forms import Form, read_form
from broker.console.rendering import see_other
from broker.console.request_info import note, refuse_prefetch
from broker.console.signin.provider_logins import OpenLogin, told_mark
from broker.console.signin.saml_metadata import find_provider_of_path
from broker.console.signin.saml_requests import request_key
from broker.console.signin.sign_out import SIGNED_OUT
from broker.entropy import new_handle
from broker.errors import (
    BrokerError,
    InvalidIdentityToken,
    NoSuchEntity,
    ValidationError,
)
from broker.federation.saml_options import SamlProviderOptions
from broker.model.caller import Caller
from broker.model.entities import SamlProvider
from broker.model.federated import FederatedIdentity
from broker.model.principal import Principal, PrincipalType
from broker.model.request import Door
from broker.protocols.saml.authn_request import redirect_url
from broker.protocols.saml.errors import SamlRejected
from broker.protocols.saml.logout import (
    LogoutExpected,
    LogoutRequest,
    logout_response,
    verify_posted_logout,
    verify_redirected_logout,
)
from broker.protocols.saml.metadata import IdpMetadata
from broker.protocols.saml.names import REDIRECT_BINDING
from broker.protocols.saml.sp_metadata import single_logout_url

PATH = "/saml/slo/{uuid}"
DOOR = "saml"
_MAX_RELAY_CHARACTERS = 1024
_REFUSED = "This is no logout request of your identity provider. Sign out here."
_USED = "This logout request was used before. You are signed out."


class SamlLogout:
    """Takes logout requests in."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def answer(self, request: Request) -> Response:
        """``GET`` (redirect) and ``POST`` of a LogoutRequest.

        Raises:
            InvalidIdentityToken: it is no request of this provider's, or was used.
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
        if len(relay) > _MAX_RELAY_CHARACTERS:
            raise ValidationError("The parameter RelayState is too long.")
        metadata = await deps.federated.metadata_of(provider)
        who = await self._context.find_session(request)
        asked, found = await self._end(request, form, provider, metadata)
        for one in found:
            await self._context.logins.forget(one.handle)
        await self._context.logins.use_up(
            provider.uuid, asked.request_id, asked.good_until.timestamp()
        )
        onward = await self._onward(asked, metadata, relay)
        response = see_other(onward)
        # Some providers ask in a frame of their page, which has to go on to them.
        response.headers["content-security-policy"] = (
            f"default-src 'none'; frame-ancestors {_origin(onward)}"
        )
        if who is not None and who.arrived.login in {one.handle for one in found}:
            self._context.cookie.clear(response)
        return response

    async def _end(
        self,
        request: Request,
        form: Form,
        provider: SamlProvider,
        metadata: IdpMetadata,
    ) -> tuple[LogoutRequest, list[OpenLogin]]:
        """End what the request is about: the request, and the logins that ended."""
        asked: list[LogoutRequest] = []
        found: list[OpenLogin] = []

        async def prove(_now: datetime) -> Proved:
            try:
                verified = self._verify(request, form, provider, metadata)
                if await self._context.logins.was_used(
                    provider.uuid, verified.request_id
                ):
                    raise InvalidIdentityToken(
                        _USED, detail="replay: a used LogoutRequest"
                    )
            except BrokerError as error:
                nominee = Nominee(provider.account, provider)
                raise ProofRefused.of(error, nominee) from error
            asked.append(verified)
            found.extend(await self._find(provider, verified))
            principal = Principal.from_provider(
                PrincipalType.SAML,
                provider.account,
                provider=provider.arn,
                subject=verified.name_id,
            )
            return Proved(caller=Caller(principal=principal))

        await self._context.perform(
            request,
            Door.SAML,
            ("signin", "EndConsoleSessions"),
            DoorProof(prove),
            lambda: {
                "AccessKeyIds": [one.access_key_id for one in found],
                "EndMarks": _told(provider, asked[0]),
            },
        )
        return asked[0], found

    def _verify(
        self,
        request: Request,
        form: Form,
        provider: SamlProvider,
        metadata: IdpMetadata,
    ) -> LogoutRequest:
        deps = self._context.deps
        options = SamlProviderOptions.parse(provider.options)
        expected = LogoutExpected(
            destination=single_logout_url(deps.public_origin, provider.uuid),
            now=deps.clock.now(),
            skew=deps.federated.expected_of(provider).skew,
            policy=options.protocol.algorithms,
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

    async def _find(
        self, provider: SamlProvider, asked: LogoutRequest
    ) -> list[OpenLogin]:
        """The logins that the request is about; those on their way do not outlive it."""
        logins, until = self._context.logins, asked.issued_at.timestamp()
        found: dict[str, OpenLogin] = {}
        for session_id, subject in _names(asked):
            await logins.tell(
                provider.uuid,
                asked.issuer,
                session_id=session_id,
                subject=subject,
                issued_at=until,
                reused=True,
            )
            for one in await logins.find(
                provider.uuid,
                asked.issuer,
                session_id=session_id,
                subject=subject,
                until=until,
                reused=True,
            ):
                found[one.handle] = one
        return list(found.values())

    async def _onward(
        self, asked: LogoutRequest, metadata: IdpMetadata, relay: str
    ) -> str:
        """Back to the provider with our answer, or to our own page."""
        deps = self._context.deps
        descriptor = metadata.find_descriptor(asked.issuer)
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
            in_response_to=asked.request_id,
        )
        key = await request_key(deps)
        return redirect_url(
            location, message, key.private_key, relay, field="SAMLResponse"
        )


def _told(provider: SamlProvider, asked: LogoutRequest) -> list[dict[str, object]]:
    """The marks that end logins which are still on their way."""
    return [
        {
            "Mark": told_mark(
                provider.uuid, asked.issuer, session_id=session_id, subject=subject
            ),
            "Until": asked.issued_at.timestamp(),
        }
        for session_id, subject in _names(asked)
    ]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else "'none'"


def _names(asked: LogoutRequest) -> list[tuple[str | None, str | None]]:
    """Session id and subject, of which one is None, of all that the request names."""
    if not asked.session_indexes:
        return [(None, asked.name_id)]
    return [
        (session_name(asked.name_id, index), None) for index in asked.session_indexes
    ]


def session_name(name_id: str, session_index: str) -> str:
    """What a session is called; its index alone may be many people's.

    Source: SAML 2.0 Core 2.7.2 wants indexes that are small and used again.
    """
    return json.dumps([name_id, session_index])


async def find_login(
    context: ConsoleContext, identity: FederatedIdentity
) -> dict[str, object]:
    """The `ProviderLogin` of an assertion; empty where the provider tells of no logout.

    One that does has a SingleLogoutService in its metadata.
    """
    _, _, name = identity.provider_arn.partition(":saml-provider/")
    provider = await context.deps.fresh.find_saml_provider(identity.account, name)
    if provider is None or identity.issued_at is None:
        return {}
    metadata = await context.deps.federated.metadata_of(provider)
    descriptor = metadata.find_descriptor(identity.issuer)
    if descriptor is None or not descriptor.slo_endpoints:
        return {}
    index = identity.session_index
    return {
        "provider_arn": identity.provider_arn,
        "provider_id": identity.provider_id,
        "client_id": identity.issuer,
        "subject": identity.subject,
        "session_id": session_name(identity.subject, index) if index else "",
        "issued_at": identity.issued_at.timestamp(),
        "can_end": False,
    }
