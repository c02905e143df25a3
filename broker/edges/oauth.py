"""The token end points of OAuth's clients: registration, device codes, and tokens.

What both wires share is `TokenEndpoint`: a grant is redeemed, the action it leads to uses
it up, and one that comes back ends what it led to. A wire reads its requests, names its
errors and words its answers: `SSO_OIDC`'s clients are registered and get access tokens
of the portal; `aws login` has two fixed ones, which prove a key and get credentials.

AWS's CLI reads the session's ARN from the ID token and verifies nothing. It is an
unsecured JWT, which means something only to the client that requested it over this
connection: there is not a key whose signature could make it a proof somewhere else.

Source: botocore's sso-oidc and signin models; RFC 6749; RFC 7636 4.6; RFC 8628; RFC 9449
5 and 11.1; RFC 9700 4.14.2; OpenID Connect Core 1.0, 2 and 3.1.3.7; RFC 7519 6.1; AWS
CLI 2, customizations/login.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from broker import errors
from broker.actions.portal.start_urls import read_start_url
from broker.actions.registry import Registry
from broker.actions.signin.begin_limits import BeginLimits
from broker.edges.rest_api import RestApi, naming
from broker.model.request import CodeOf, Door, Params
from broker.model.secret import Confidential, Hidden, Secret
from broker.model.session import Caller
from broker.pipeline import Pipeline
from broker.proofs.portal import PortalScheme, portal_caller
from broker.proofs.scheme import DoorProof, ProofResult, Scheme
from broker.protocols.json_api import RestCall, RestService
from broker.protocols.oidc import base64url
from broker.protocols.oidc.dpop import DpopProof, DpopRejected, verify_proof
from broker.protocols.shapes.documents import dump
from broker.runtime.clock import Clock
from broker.sessions.ends import OneTimeUse
from broker.sessions.handles import store_at_hand
from broker.sessions.oauth import (
    AUTHORIZATION_CODE,
    DEVICE_CODE,
    DEVICE_LIFE,
    INVALID_GRANT,
    REFRESH_TOKEN,
    DeviceRequest,
    Family,
    GrantRefused,
    Grants,
    LoginFamilies,
    OAuthClient,
    PortalLogins,
    digest_of,
    invalid_grant,
    read_client,
    read_lent,
)
from broker.sessions.portal import OpenPortal, PortalSessions
from broker.stores.cache.port import Cache

OIDC_PREFIX = "/sso-oidc"
DEVICE_PAGE = "/portal/device"
POLLS_A_SECOND = 2
"""By one device: AWS's clients begin with two in a row, and wait after that."""

INTERVAL_SECONDS = 1
_ACCESS = timedelta(hours=1)
"""Of an access token of the portal that can be renewed."""

_AGENT_MAX = 100
_UNHONOURED = ("entitledApplicationArn", "scope")

PATH = "/v1/token"
_SKEW = timedelta(minutes=5)
_MARGIN = timedelta(hours=1)
"""Keeps a proof marked as used for longer than it is accepted, if clocks jump."""

_CODE_EXPIRED = (
    "AUTHCODE_EXPIRED",
    "The code is not valid, was already used, or has expired.",
)
_TOKEN_EXPIRED = "TOKEN_EXPIRED", "The login has ended. Log in again."

_portal_fault = naming(
    {
        errors.ExpiredToken: INVALID_GRANT,
        errors.InvalidClientTokenId: INVALID_GRANT,
        errors.Throttling: "SlowDownException",
        errors.AccessDenied: "AccessDeniedException",
        errors.ServiceUnavailable: "InternalServerException",
        errors.InternalFailure: "InternalServerException",
    },
    "InvalidRequestException",
)

Ending = tuple[str, str, Scheme]
"""The action that ends what a grant led to, and who performs it."""

FindEnding = Callable[[str], Awaitable[Ending | None]]
"""By the request that used the grant up."""

_PortalGrant = tuple[OpenPortal, OneTimeUse | None, str]
"""A sign-in, what is used up, and the refresh token to go on with."""


class Redeemed(Confidential, frozen=True, kw_only=True):
    """A grant that was redeemed: whose, what uses it up, and how the client goes on.

    What it gives ends with the ``end_marks``, too.
    """

    caller: Caller
    use: OneTimeUse | None
    token: Hidden[str] = ""
    end_marks: tuple[str, ...] = ()


Redeem = Callable[[datetime], Awaitable[Redeemed]]


class TokenEndpoint:
    """Uses up what clients redeem, at one door, with its names of errors."""

    def __init__(
        self, pipeline: Pipeline, registry: Registry, door: Door, fault: CodeOf
    ) -> None:
        self.pipeline = pipeline
        self._registry = registry
        self._door = door
        self._fault = fault

    async def spend(
        self,
        call: RestCall,
        request_id: str,
        action: tuple[str, str],
        *,
        redeem: Redeem,
        read: Callable[[Redeemed], Params],
        find_ending: FindEnding,
    ) -> tuple[Mapping[str, Any], Redeemed]:
        """Perform the action that a grant leads to, with the input that ``read`` gives.

        Raises:
            GrantRefused: It was used before: it was stolen, so what it led to ends.
        """
        grants: list[Redeemed] = []

        async def prove(now: datetime) -> ProofResult:
            grants.append(await redeem(now))
            return ProofResult(caller=grants[0].caller, one_time_use=grants[0].use)

        try:
            result = await self._perform(
                call, request_id, action, lambda: read(grants[0]), DoorProof(prove)
            )
        except errors.ProofUsed as error:
            ending = await find_ending(error.used_by)
            if ending is not None:
                service, name, scheme = ending
                await self._perform(call, request_id, (service, name), dict, scheme)
            raise invalid_grant("it was used before") from error
        return result, grants[0]

    async def _perform(
        self,
        call: RestCall,
        request_id: str,
        action: tuple[str, str],
        read: Callable[[], Params],
        scheme: Scheme,
    ) -> Mapping[str, Any]:
        request = self.pipeline.receive(call.raw, request_id, self._door, self._fault)
        return await self.pipeline.perform(
            request, self._registry.get(*action), read, scheme
        )


class PortalTokens:
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
        self._endpoint = TokenEndpoint(pipeline, registry, Door.PORTAL, _portal_fault)
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
        return RestApi(self._service, OIDC_PREFIX, operations, _portal_fault)

    async def _register(self, call: RestCall, _request_id: str) -> Mapping[str, Any]:
        params = self._read(call)
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
        params = self._read(call)
        await self._limits.require(call.raw.source_ip)
        now = self._clock.now()
        client = self._require_client(params, now)
        _require_registered(is_allowed=client.may(DEVICE_CODE))
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
        params = self._read(call)
        now = self._clock.now()
        client = self._require_client(params, now)
        grant = params["grantType"]
        redeem = {
            AUTHORIZATION_CODE: self._redeem_code,
            DEVICE_CODE: self._redeem_device_code,
            REFRESH_TOKEN: self._redeem_refresh_token,
        }.get(grant)
        if redeem is None:
            raise GrantRefused(
                "UnsupportedGrantTypeException", "There is no such grant type here."
            )
        _require_registered(
            is_allowed=client.may_refresh
            if grant == REFRESH_TOKEN
            else client.may(grant)
        )
        portal, use, refresh = await redeem(params, now)

        async def find(_now: datetime) -> Redeemed:
            return Redeemed(caller=portal_caller(portal, {}), use=use)

        async def find_ending(_used_by: str) -> Ending | None:
            """The whole sign-in ends, unless a device polled twice."""
            ending = ("sso", "Logout", PortalScheme(portal))
            return None if grant == DEVICE_CODE else ending

        await self._endpoint.spend(
            call,
            request_id,
            ("sso-oauth", "CreateToken"),
            redeem=find,
            read=lambda _grant: {
                "SessionName": portal.session.name,
                "ClientName": client.name,
                "GrantType": grant,
            },
            find_ending=find_ending,
        )
        if client.may_refresh and not refresh:
            refresh = self._grants.create_token(
                Family(
                    client_id=digest_of(params["clientId"]),
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

    async def _redeem_code(self, params: Params, now: datetime) -> _PortalGrant:
        redeemed = await self._grants.redeem_code(
            params.get("code", ""),
            digest_of(params["clientId"]),
            redirect_uri=params.get("redirectUri", ""),
            verifier=params.get("codeVerifier", ""),
            now=now,
        )
        return await self._open(redeemed.session, now), redeemed.use, ""

    async def _redeem_device_code(self, params: Params, now: datetime) -> _PortalGrant:
        request = self._devices.find(params.get("deviceCode", ""), now)
        if request is None:
            raise GrantRefused(
                "ExpiredTokenException", "The device code is not known or has expired."
            )
        if request.client_id != digest_of(params["clientId"]):
            raise invalid_grant("the device code belongs to another client")
        if not await self._endpoint.pipeline.rates.allow(
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
        return await self._open(answer, now), request.use, ""

    async def _redeem_refresh_token(
        self, params: Params, now: datetime
    ) -> _PortalGrant:
        redeemed = self._grants.redeem_token(
            params.get("refreshToken", ""), digest_of(params["clientId"]), now
        )
        portal = await self._open(redeemed.session, now)
        await portal.require_current(now)
        return portal, redeemed.use, redeemed.token

    async def _open(self, handle: str, now: datetime) -> OpenPortal:
        portal = await self._sessions.find(handle, now)
        if portal is None:
            raise invalid_grant("the sign-in is over")
        return portal

    def _require_client(self, params: Params, now: datetime) -> OAuthClient:
        return self._clients.require(params["clientId"], params["clientSecret"], now)

    def _read(self, call: RestCall) -> Params:
        params = self._service.reader(call.operation)(call)
        for name in _UNHONOURED:
            if params.get(name):
                raise GrantRefused(
                    "InvalidRequestException", f"The member {name} is not supported."
                )
        return params


def _require_registered(*, is_allowed: bool) -> None:
    if not is_allowed:
        raise GrantRefused(
            "UnauthorizedClientException", "The client did not register for this."
        )


class LoginRefused(errors.AccessDenied):
    """A terminal's login is refused; ``word`` is the ``error`` in the response."""

    status = 401

    def __init__(self, word: str, message: str, *, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.word = word


class LoginTokens:
    """``CreateOAuth2Token``: credentials for terminals, for a code or refresh token."""

    def __init__(
        self,
        pipeline: Pipeline,
        registry: Registry,
        service: RestService,
        *,
        grants: Grants,
        families: LoginFamilies,
        cache: Cache,
        clock: Clock,
        public_origin: str,
        fault: CodeOf,
    ) -> None:
        self._endpoint = TokenEndpoint(pipeline, registry, Door.SIGN_IN, fault)
        self._service = service
        self._grants = grants
        self._families = families
        self._cache = cache
        self._clock = clock
        self._origin = public_origin

    async def create(self, call: RestCall, request_id: str) -> Mapping[str, Any]:
        """The answer to ``POST /v1/token``.

        Raises:
            LoginRefused: The code, the refresh token or the key is not valid.
        """
        proof = self._prove_key(call)
        params: Params = self._service.reader(call.operation)(call)
        is_code = params["grantType"] == AUTHORIZATION_CODE
        # What a code leads to is found again by the request that used it up.
        family = f"{params.get('code', '')}/{request_id}" if is_code else ""

        async def find_ending(used_by: str) -> Ending | None:
            with suppress(GrantRefused):
                resolved, _ = await self._families.open(
                    f"{params['code']}/{used_by}", self._clock.now()
                )
                return "signin", "RevokeOAuth2Token", _proved(resolved.caller)
            return None

        try:
            result, grant = await self._endpoint.spend(
                call,
                request_id,
                ("signin", "CreateOAuth2Token"),
                redeem=lambda now: self._redeem(params, family, proof, now),
                read=lambda grant: {
                    "ClientId": params["clientId"],
                    "GrantType": params["grantType"],
                    "EndMarks": grant.end_marks,
                    "Family": Secret(family),
                },
                find_ending=find_ending,
            )
        except (GrantRefused, errors.ExpiredToken) as error:
            expired = _CODE_EXPIRED if is_code else _TOKEN_EXPIRED
            raise LoginRefused(*expired, detail=error.detail) from error
        except errors.InvalidClientTokenId as error:
            raise LoginRefused(
                "USER_CREDENTIALS_CHANGED", error.words, detail=error.detail
            ) from error
        credentials = result["Credentials"]
        now = self._clock.now()
        token = {
            "accessToken": {
                "accessKeyId": credentials["AccessKeyId"],
                "secretAccessKey": credentials["SecretAccessKey"],
                "sessionToken": credentials["SessionToken"],
            },
            "tokenType": "aws_sigv4",
            "expiresIn": max(1, int((credentials["Expiration"] - now).total_seconds())),
            "refreshToken": grant.token,
        }
        if is_code:
            token["idToken"] = _id_token(
                issuer=self._origin,
                subject=grant.caller.principal.arn,
                audience=params["clientId"],
                now=now,
                expires_at=credentials["Expiration"],
            )
        return token

    async def _redeem(
        self, params: Params, family: str, proof: DpopProof, now: datetime
    ) -> Redeemed:
        """What a grant stands for, once the sender's proof is used up."""
        client_id = params["clientId"]
        if not family:
            redeemed = self._grants.redeem_token(
                _require(params, "refreshToken"),
                client_id,
                now,
                thumbprint=proof.thumbprint,
            )
            resolved, end_marks = await self._families.open(redeemed.session, now)
            await self._use_up(proof, now)
            return Redeemed(
                caller=resolved.caller,
                use=redeemed.use,
                token=redeemed.token,
                end_marks=end_marks,
            )
        redeemed = await self._grants.redeem_code(
            _require(params, "code"),
            client_id,
            redirect_uri=_require(params, "redirectUri"),
            verifier=_require(params, "codeVerifier"),
            now=now,
        )
        lent = read_lent(redeemed.session)
        resolved = await self._families.borrow(lent, now)
        await self._use_up(proof, now)
        token = self._grants.create_token(
            Family(
                client_id=client_id,
                ends_at=resolved.session.expires_at,
                session=family,
                thumbprint=proof.thumbprint,
            )
        )
        return Redeemed(
            caller=resolved.caller,
            use=redeemed.use,
            token=token,
            end_marks=tuple(mark for _, mark in lent.end_marks),
        )

    def _prove_key(self, call: RestCall) -> DpopProof:
        """Verify the sender's DPoP proof, without using it up."""
        if sum(name == b"dpop" for name, _ in call.raw.headers) != 1:
            raise errors.ValidationError("Exactly one DPoP header is required.")
        try:
            return verify_proof(
                call.raw.find_header(b"dpop") or "",
                method="POST",
                url=f"{self._origin}{PATH}",
                now=self._clock.now(),
                skew=_SKEW,
            )
        except DpopRejected as error:
            raise errors.ValidationError(
                "The DPoP proof is not valid.", detail=str(error)
            ) from error

    async def _use_up(self, proof: DpopProof, now: datetime) -> None:
        """Use up a proof; called only once the rest is valid, to save writes.

        Raises:
            ServiceUnavailable: Without the cache a replay cannot be detected.
        """
        name = f"{proof.thumbprint}.{proof.token_id}".encode("utf-8", "surrogatepass")
        with store_at_hand():
            is_new = await self._cache.add(
                "dpop-jti",
                hashlib.sha256(name).digest(),
                b"1",
                # A proof with an iat ahead of our clock is accepted for twice the skew.
                expires_at=now + 2 * _SKEW + _MARGIN,
            )
        if not is_new:
            raise errors.ValidationError("The DPoP proof was already used.")


def _require(params: Params, name: str) -> str:
    """A member that this grant has, which the model lets be absent."""
    value: str = params.get(name, "")
    if not value:
        raise errors.ValidationError(f"{name} is missing.")
    return value


def _proved(caller: Caller) -> DoorProof:
    async def prove(_now: datetime) -> ProofResult:
        return ProofResult(caller=caller)

    return DoorProof(prove)


def _id_token(
    *, issuer: str, subject: str, audience: str, now: datetime, expires_at: datetime
) -> str:
    """The token; ``subject`` is the ARN of who logged in."""
    claims = {
        "iss": issuer,
        "sub": subject,
        "aud": audience,
        "iat": int(now.timestamp()),
        "exp": int(expires_at.timestamp()),
    }
    parts = (dump({"alg": "none", "typ": "JWT"}), dump(claims), b"")
    return ".".join(map(base64url.encode, parts))
