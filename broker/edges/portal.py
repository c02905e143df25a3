"""The access portal's two services, ``/sso-oidc`` and ``/sso``: rest-json, unsigned.

Clients register, devices ask, codes become access tokens; these list the accounts and
roles of a sign-in, and give credentials for them.

Source: botocore's sso and sso-oidc models; recorded texts of AWS's clients; RFC 6749;
RFC 8628; RFC 7636; RFC 9700.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from broker import errors
from broker.actions.portal.clients import (
    AUTHORIZATION_CODE,
    DEVICE_CODE,
    REFRESH_TOKEN,
    GrantRefused,
    PortalClient,
    digest_of,
    read_client,
    read_start_url,
)
from broker.actions.portal.grants import DEVICE_LIFE, DeviceRequest, PortalLogins
from broker.actions.registry import Registry
from broker.actions.signin.begin_limits import BeginLimits
from broker.edges.rest_api import RestApi, naming
from broker.model.request import Door
from broker.model.secret import Confidential, Hidden
from broker.pipeline import Pipeline
from broker.proofs.portal import PortalScheme, portal_caller
from broker.proofs.scheme import DoorProof, ProofResult
from broker.protocols.json_api import RestCall, RestService
from broker.runtime.clock import Clock
from broker.sessions.ends import OneTimeUse
from broker.sessions.grants import Family, GrantRefusedError
from broker.sessions.portal import OpenPortal, PortalSessions

OIDC_PREFIX = "/sso-oidc"
DEVICE_PAGE = "/portal/device"
POLLS_A_SECOND = 2
"""By one device: AWS's clients begin with two in a row, and wait after that."""

INTERVAL_SECONDS = 1
_ACCESS = timedelta(hours=1)
"""Of an access token that can be renewed."""

_AGENT_MAX = 100
_GRANT = "InvalidGrantException"
_UNHONOURED = ("entitledApplicationArn", "scope")

_token_fault = naming(
    {
        errors.ExpiredToken: _GRANT,
        errors.InvalidClientTokenId: _GRANT,
        errors.Throttling: "SlowDownException",
        errors.AccessDenied: "AccessDeniedException",
        errors.ServiceUnavailable: "InternalServerException",
        errors.InternalFailure: "InternalServerException",
    },
    "InvalidRequestException",
)

PORTAL_PREFIX = "/sso"
_SERVICE = "sso"
_TOKEN = b"x-amz-sso_bearer_token"
_OVER = "Session token not found or invalid"
_NOT_SENT = (
    "the request has no header x-amz-sso_bearer_token; a proxy may drop it (nginx does"
    " without underscores_in_headers on)"
)
_OPERATIONS = ("ListAccounts", "ListAccountRoles", "GetRoleCredentials", "Logout")
_portal_fault = naming(
    {
        errors.InvalidClientTokenId: "UnauthorizedException",
        errors.AccessDenied: "ForbiddenException",
        errors.NoSuchEntity: "ResourceNotFoundException",
        errors.Throttling: "TooManyRequestsException",
        errors.ExpiredToken: "UnauthorizedException",
        errors.ServiceUnavailable: "ServiceUnavailableException",
        errors.InternalFailure: "InternalServerException",
        errors.UpstreamOutcomeUnknown: errors.UpstreamOutcomeUnknown.code,
        errors.UpstreamRefused: errors.UpstreamRefused.code,
        errors.UpstreamUnavailable: errors.UpstreamUnavailable.code,
    },
    "InvalidRequestException",
)


class _Exchange(Confidential, frozen=True, kw_only=True):
    portal: OpenPortal
    use: OneTimeUse | None
    token: Hidden[str] = ""


class TokenApi:
    """The operations of ``sso-oidc``."""

    def __init__(
        self,
        pipeline: Pipeline,
        registry: Registry,
        service: RestService,
        *,
        sessions: PortalSessions,
        logins: PortalLogins,
        limits: BeginLimits,
        clock: Clock,
        public_origin: str,
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._service = service
        self._sessions = sessions
        self._clients = logins.clients
        self._grants = logins.grants
        self._devices = logins.devices
        self._limits = limits
        self._clock = clock
        self._origin = public_origin

    def api(self) -> RestApi:
        """What answers below ``/sso-oidc``."""
        operations = {
            "RegisterClient": self._register,
            "StartDeviceAuthorization": self._begin_device,
            "CreateToken": self._create_token,
        }
        return RestApi(self._service, OIDC_PREFIX, operations, _token_fault)

    async def _register(self, call: RestCall, _request_id: str) -> Mapping[str, Any]:
        params: Mapping[str, Any] = self._read(call)
        await self._limits.require(call.raw.source_ip)
        issuer = params.get("issuerUrl", "")
        client = read_client(
            name=params["clientName"],
            kind=params["clientType"],
            scopes=params.get("scopes", ()),
            grants=params.get("grantTypes", ()),
            redirects=params.get("redirectUris", ()),
            place=read_start_url(issuer, self._origin) if issuer else "",
        )
        made = self._clients.register(client, self._clock.now())
        return {
            "clientId": made.client_id,
            "clientSecret": made.client_secret,
            "clientIdIssuedAt": made.issued_at,
            "clientSecretExpiresAt": made.expires_at,
            "tokenEndpoint": f"{self._origin}{OIDC_PREFIX}/token",
            "authorizationEndpoint": f"{self._origin}/authorize",
        }

    async def _begin_device(
        self, call: RestCall, _request_id: str
    ) -> Mapping[str, Any]:
        params: Mapping[str, Any] = self._read(call)
        await self._limits.require(call.raw.source_ip)
        now = self._clock.now()
        client = self._clients.require(params["clientId"], params["clientSecret"], now)
        if not client.may(DEVICE_CODE):
            raise GrantRefused(
                "UnauthorizedClientException", "The client did not register for this."
            )
        agent = (call.raw.find_header(b"user-agent") or "")[:_AGENT_MAX]
        device_code, user_code = await self._devices.begin(
            DeviceRequest(
                client_id=digest_of(params["clientId"]),
                client_name=client.name,
                place=read_start_url(params["startUrl"], self._origin),
                address=call.raw.source_ip,
                agent="".join(letter for letter in agent if letter.isprintable()),
                asked_at=int(now.timestamp()),
            )
        )
        page = f"{self._origin}{DEVICE_PAGE}"
        return {
            "deviceCode": device_code,
            "userCode": user_code,
            "verificationUri": page,
            "verificationUriComplete": f"{page}?{urlencode({'user_code': user_code})}",
            "expiresIn": int(DEVICE_LIFE.total_seconds()),
            "interval": INTERVAL_SECONDS,
        }

    async def _create_token(self, call: RestCall, request_id: str) -> Mapping[str, Any]:
        params: Mapping[str, Any] = self._read(call)
        now = self._clock.now()
        client = self._clients.require(params["clientId"], params["clientSecret"], now)
        grant = params["grantType"]
        exchange_of = {
            AUTHORIZATION_CODE: self._exchange_code,
            DEVICE_CODE: self._exchange_device_code,
            REFRESH_TOKEN: self._exchange_refresh_token,
        }.get(grant)
        if exchange_of is None:
            raise GrantRefused(
                "UnsupportedGrantTypeException", "There is no such grant type here."
            )
        if not (client.may_refresh if grant == REFRESH_TOKEN else client.may(grant)):
            raise GrantRefused(
                "UnauthorizedClientException", "The client did not register for this."
            )
        exchange = await exchange_of(params, now)
        try:
            await self._spend(call, request_id, exchange, client, grant)
        except errors.ProofUsed as error:
            if grant != DEVICE_CODE:
                await self._end(call, request_id, exchange.portal)
            raise _refused("it was used before") from error
        return self._answer(exchange, params["clientId"], client, now)

    async def _spend(
        self,
        call: RestCall,
        request_id: str,
        exchange: _Exchange,
        client: PortalClient,
        grant: str,
    ) -> None:
        async def prove(_now: datetime) -> ProofResult:
            return ProofResult(
                caller=portal_caller(exchange.portal, {}), one_time_use=exchange.use
            )

        await self._pipeline.perform(
            self._pipeline.receive(call.raw, request_id, Door.PORTAL, _token_fault),
            self._registry.get("sso-oauth", "CreateToken"),
            lambda: {
                "SessionName": exchange.portal.session.name,
                "ClientName": client.name,
                "GrantType": grant,
            },
            DoorProof(prove),
        )

    def _answer(
        self, exchange: _Exchange, client_id: str, client: PortalClient, now: datetime
    ) -> Mapping[str, Any]:
        portal, refresh = exchange.portal, exchange.token
        if client.may_refresh and not refresh:
            refresh = self._grants.create_token(
                Family(
                    client_id=digest_of(client_id),
                    ends_at=portal.session.expires_at,
                    session=portal.handle,
                )
            )
        ends_at = min(now + _ACCESS, portal.ends_at) if refresh else portal.ends_at
        return {
            "accessToken": self._sessions.create_token(portal.handle, ends_at),
            "tokenType": "Bearer",
            "expiresIn": max(1, int((ends_at - now).total_seconds())),
            "refreshToken": refresh or None,
        }

    async def _exchange_code(
        self, params: Mapping[str, Any], now: datetime
    ) -> _Exchange:
        try:
            redeemed = await self._grants.redeem_code(
                params.get("code", ""),
                digest_of(params["clientId"]),
                redirect_uri=params.get("redirectUri", ""),
                verifier=params.get("codeVerifier", ""),
                now=now,
            )
        except GrantRefusedError as error:
            raise _refused(str(error)) from error
        portal = await self._open(redeemed.session, now)
        return _Exchange(portal=portal, use=redeemed.use)

    async def _exchange_device_code(
        self, params: Mapping[str, Any], now: datetime
    ) -> _Exchange:
        device_code = params.get("deviceCode", "")
        request = self._devices.find(device_code, now)
        if request is None:
            raise GrantRefused(
                "ExpiredTokenException", "The device code is not known or has expired."
            )
        if request.client_id != digest_of(params["clientId"]):
            raise _refused("the device code belongs to another client")
        if not await self._pipeline.rates.allow(
            "portal-polls", request.number.encode("ascii"), per_second=POLLS_A_SECOND
        ):
            raise GrantRefused("SlowDownException", "Wait longer between two requests.")
        answer = await self._devices.find_answer(request)
        if answer is None:
            with suppress(errors.ServiceUnavailable):
                # A cache that was emptied since then learns of it again.
                await self._devices.wait(request)
            raise GrantRefused(
                "AuthorizationPendingException", "The request waits for an answer."
            )
        if not answer:
            raise GrantRefused("AccessDeniedException", "The request was not allowed.")
        return _Exchange(portal=await self._open(answer, now), use=request.use)

    async def _exchange_refresh_token(
        self, params: Mapping[str, Any], now: datetime
    ) -> _Exchange:
        try:
            redeemed = self._grants.redeem_token(
                params.get("refreshToken", ""), digest_of(params["clientId"]), now
            )
        except GrantRefusedError as error:
            raise _refused(str(error)) from error
        portal = await self._open(redeemed.session, now)
        await portal.require_current(now)
        return _Exchange(portal=portal, use=redeemed.use, token=redeemed.token)

    async def _end(self, call: RestCall, request_id: str, portal: OpenPortal) -> None:
        """End the whole sign-in: a code or refresh token that comes back was stolen."""
        await self._pipeline.perform(
            self._pipeline.receive(call.raw, request_id, Door.PORTAL, _token_fault),
            self._registry.get("sso", "Logout"),
            dict,
            PortalScheme(portal),
        )

    async def _open(self, handle: str, now: datetime) -> OpenPortal:
        portal = await self._sessions.find(handle, now)
        if portal is None:
            raise _refused("the sign-in is over")
        return portal

    def _read(self, call: RestCall) -> Mapping[str, Any]:
        params = self._service.reader(call.operation)(call)
        for name in _UNHONOURED:
            if params.get(name):
                raise GrantRefused(
                    "InvalidRequestException", f"The member {name} is not supported."
                )
        return params


def _refused(detail: str) -> GrantRefused:
    return GrantRefused(
        _GRANT,
        "The grant is not valid, was used before, or has expired.",
        detail=detail,
    )


class PortalApi:
    """The portal's operations."""

    def __init__(
        self,
        pipeline: Pipeline,
        registry: Registry,
        sessions: PortalSessions,
        service: RestService,
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry
        self._sessions = sessions
        self._service = service

    def api(self) -> RestApi:
        """What answers below ``/sso``."""
        operations = dict.fromkeys(_OPERATIONS, self._perform)
        return RestApi(self._service, PORTAL_PREFIX, operations, _portal_fault)

    async def _perform(self, call: RestCall, request_id: str) -> Mapping[str, Any]:
        token = call.raw.find_header(_TOKEN) or ""
        portals: list[OpenPortal] = []

        async def find(now: datetime) -> OpenPortal | None:
            if not token:
                raise errors.InvalidClientTokenId(_OVER, detail=_NOT_SENT)
            try:
                portal = await self._sessions.find_by_token(token, now)
            except errors.ExpiredToken as error:
                raise errors.InvalidClientTokenId(_OVER, detail=error.detail) from error
            if portal is None:
                raise errors.InvalidClientTokenId(_OVER, detail="no such access token")
            portals.append(portal)
            return portal

        reader = self._service.reader(call.operation)
        result = await self._pipeline.perform(
            self._pipeline.receive(call.raw, request_id, Door.PORTAL, _portal_fault),
            self._registry.get(_SERVICE, call.operation),
            lambda: reader(call),
            PortalScheme(find),
        )
        if call.operation == "Logout":
            await self._sessions.forget(portals[0].handle)
        return result
