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

from msgspec import Struct

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
    GRANTS,
    INVALID_GRANT,
    REFRESH_TOKEN,
    DeviceRequest,
    Family,
    GrantRefused,
    Grants,
    LoginFamilies,
    OAuthClient,
    PortalLogins,
    Redemption,
    digest_of,
    invalid_grant,
    read_client,
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
_OF_CODE = "code", "redirectUri", "codeVerifier"
_OF_TOKEN = ("refreshToken",)
"""Members that a grant needs, which the model lets be absent."""

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


class Redeemed(Confidential, frozen=True, kw_only=True):
    """A grant that was redeemed: whose, what uses it up, and how the client goes on.

    ``params`` are what the action that it leads to gets.
    """

    caller: Caller
    params: Params
    use: OneTimeUse | None
    token: Hidden[str] = ""


Redeem = Callable[[datetime], Awaitable[Redeemed]]


class TokenEndpoint(Struct, frozen=True, kw_only=True):
    """A wire, at its door, with its names of errors: it uses up what clients redeem."""

    pipeline: Pipeline
    registry: Registry
    service: RestService
    door: Door
    fault: CodeOf
    clock: Clock
    public_origin: str

    async def _spend(
        self,
        call: RestCall,
        request_id: str,
        action: tuple[str, str],
        redeem: Redeem,
        find_ending: FindEnding,
    ) -> tuple[Mapping[str, Any], Redeemed]:
        """Perform the action that a grant leads to.

        Raises:
            GrantRefused: It was used before: it was stolen, so what it led to ends.
        """
        grants: list[Redeemed] = []

        async def prove(now: datetime) -> ProofResult:
            grants.append(await redeem(now))
            return ProofResult(caller=grants[0].caller, one_time_use=grants[0].use)

        async def perform(
            action: tuple[str, str], read: Callable[[], Params], scheme: Scheme
        ) -> Mapping[str, Any]:
            request = self.pipeline.receive(call.raw, request_id, self.door, self.fault)
            return await self.pipeline.perform(
                request, self.registry.get(*action), read, scheme
            )

        try:
            result = await perform(action, lambda: grants[0].params, DoorProof(prove))
        except errors.ProofUsed as error:
            if ending := await find_ending(error.used_by):
                service, name, scheme = ending
                await perform((service, name), dict, scheme)
            raise invalid_grant("it was used before") from error
        return result, grants[0]


class PortalTokens(TokenEndpoint, frozen=True, kw_only=True):
    """The operations of ``sso-oidc``."""

    sessions: PortalSessions
    logins: PortalLogins
    limits: BeginLimits
    door: Door = Door.PORTAL
    fault: CodeOf = _portal_fault

    def api(self) -> RestApi:
        """What answers below ``/sso-oidc``."""
        operations = {
            "RegisterClient": self._register,
            "StartDeviceAuthorization": self._begin_device,
            "CreateToken": self._create_token,
        }
        return RestApi(self.service, OIDC_PREFIX, operations, _portal_fault)

    async def _register(self, call: RestCall, _request_id: str) -> Mapping[str, Any]:
        params = self._read(call)
        await self.limits.require(call.raw.source_ip)
        issuer = params.get("issuerUrl", "")
        client = read_client(
            name=params["clientName"],
            kind=params["clientType"],
            scopes=params.get("scopes", ()),
            grants=params.get("grantTypes", ()),
            redirects=params.get("redirectUris", ()),
            place=read_start_url(issuer, self.public_origin) if issuer else "",
        )
        made = self.logins.clients.register(client, self.clock.now())
        return {
            "clientId": made.client_id,
            "clientSecret": made.client_secret,
            "clientIdIssuedAt": made.issued_at,
            "clientSecretExpiresAt": made.expires_at,
            "tokenEndpoint": f"{self.public_origin}{OIDC_PREFIX}/token",
            "authorizationEndpoint": f"{self.public_origin}/authorize",
        }

    async def _begin_device(
        self, call: RestCall, _request_id: str
    ) -> Mapping[str, Any]:
        params = self._read(call)
        await self.limits.require(call.raw.source_ip)
        now = self.clock.now()
        client = self._require_client(params, now)
        _require_registered(is_allowed=client.may(DEVICE_CODE))
        agent = (call.raw.find_header(b"user-agent") or "")[:_AGENT_MAX]
        device_code, user_code = await self.logins.devices.begin(
            DeviceRequest(
                client_id=digest_of(params["clientId"]),
                client_name=client.name,
                place=read_start_url(params["startUrl"], self.public_origin),
                address=call.raw.source_ip,
                agent="".join(letter for letter in agent if letter.isprintable()),
                asked_at=int(now.timestamp()),
            )
        )
        page = f"{self.public_origin}{DEVICE_PAGE}"
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
        now = self.clock.now()
        client = self._require_client(params, now)
        client_id, grant = digest_of(params["clientId"]), params["grantType"]
        if grant not in GRANTS:
            raise GrantRefused(
                "UnsupportedGrantTypeException", "There is no such grant type here."
            )
        _require_registered(
            is_allowed=client.may_refresh
            if grant == REFRESH_TOKEN
            else client.may(grant)
        )
        if grant == DEVICE_CODE:
            redeemed = await self._redeem_device_code(params, client_id, now)
        else:
            redeemed = await self.logins.grants.redeem(params, client_id, now)
        portal = await self._open(redeemed.session, now)
        if grant == REFRESH_TOKEN:
            await portal.require_current(now)

        async def redeem(_now: datetime) -> Redeemed:
            return Redeemed(
                caller=portal_caller(portal, {}),
                params={
                    "SessionName": portal.session.name,
                    "ClientName": client.name,
                    "GrantType": grant,
                },
                use=redeemed.use,
            )

        async def find_ending(_used_by: str) -> Ending | None:
            """The whole sign-in ends, unless a device polled twice."""
            ending = ("sso", "Logout", PortalScheme(portal))
            return None if grant == DEVICE_CODE else ending

        action = ("sso-oauth", "CreateToken")
        await self._spend(call, request_id, action, redeem, find_ending)
        refresh = redeemed.token
        if client.may_refresh and not refresh:
            refresh = self.logins.grants.create_token(
                Family(
                    client_id=client_id,
                    ends_at=portal.session.expires_at,
                    session=portal.handle,
                )
            )
        ends_at = min(now + _ACCESS, portal.ends_at) if refresh else portal.ends_at
        return {
            "accessToken": self.sessions.create_token(portal.handle, ends_at),
            "tokenType": "Bearer",
            "expiresIn": max(1, int((ends_at - now).total_seconds())),
            "refreshToken": refresh or None,
        }

    async def _redeem_device_code(
        self, params: Params, client_id: str, now: datetime
    ) -> Redemption:
        request = self.logins.devices.find(params.get("deviceCode", ""), now)
        if request is None:
            raise GrantRefused(
                "ExpiredTokenException", "The device code is not known or has expired."
            )
        if request.client_id != client_id:
            raise invalid_grant("the device code belongs to another client")
        if not await self.pipeline.rates.allow(
            "portal-polls", request.number.encode("ascii"), per_second=POLLS_A_SECOND
        ):
            raise GrantRefused("SlowDownException", "Wait longer between two requests.")
        answer = await self.logins.devices.find_answer(request)
        if answer is None:
            with suppress(errors.ServiceUnavailable):
                # A cache that was emptied since then learns of it again.
                await self.logins.devices.wait(request)
            raise GrantRefused(
                "AuthorizationPendingException", "The request waits for an answer."
            )
        if not answer:
            raise GrantRefused("AccessDeniedException", "The request was not allowed.")
        return Redemption(answer, request.use)

    async def _open(self, handle: str, now: datetime) -> OpenPortal:
        portal = await self.sessions.find(handle, now)
        if portal is None:
            raise invalid_grant("the sign-in is over")
        return portal

    def _require_client(self, params: Params, now: datetime) -> OAuthClient:
        return self.logins.clients.require(
            params["clientId"], params["clientSecret"], now
        )

    def _read(self, call: RestCall) -> Params:
        params = self.service.reader(call.operation)(call)
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


class LoginTokens(TokenEndpoint, frozen=True, kw_only=True):
    """``CreateOAuth2Token``: credentials for terminals, for a code or refresh token."""

    grants: Grants
    families: LoginFamilies
    cache: Cache
    door: Door = Door.SIGN_IN

    async def create(self, call: RestCall, request_id: str) -> Mapping[str, Any]:
        """The answer to ``POST /v1/token``.

        Raises:
            LoginRefused: The code, the refresh token or the key is not valid.
        """
        proof = self._prove_key(call)
        params: Params = self.service.reader(call.operation)(call)
        is_code = params["grantType"] == AUTHORIZATION_CODE
        for name in _OF_CODE if is_code else _OF_TOKEN:
            if not params.get(name):
                raise errors.ValidationError(f"{name} is missing.")
        # What a code leads to is found again by the request that used it up.
        family = f"{params['code']}/{request_id}" if is_code else ""

        async def find_ending(used_by: str) -> Ending | None:
            with suppress(GrantRefused):
                resolved, _ = await self.families.open(
                    f"{params['code']}/{used_by}", self.clock.now()
                )
                return "signin", "RevokeOAuth2Token", _proved(resolved.caller)
            return None

        async def redeem(now: datetime) -> Redeemed:
            return await self._redeem(params, family, proof, now)

        action = ("signin", "CreateOAuth2Token")
        try:
            result, grant = await self._spend(
                call, request_id, action, redeem, find_ending
            )
        except (GrantRefused, errors.ExpiredToken) as error:
            expired = _CODE_EXPIRED if is_code else _TOKEN_EXPIRED
            raise LoginRefused(*expired, detail=error.detail) from error
        except errors.InvalidClientTokenId as error:
            raise LoginRefused(
                "USER_CREDENTIALS_CHANGED", error.words, detail=error.detail
            ) from error
        credentials = result["Credentials"]
        now = self.clock.now()
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
                issuer=self.public_origin,
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
        redeemed = await self.grants.redeem(
            params, client_id, now, thumbprint=proof.thumbprint
        )
        resolved, end_marks = await self.families.open(redeemed.session, now)
        await self._use_up(proof, now)
        token = redeemed.token or self.grants.create_token(
            Family(
                client_id=client_id,
                ends_at=resolved.session.expires_at,
                session=family,
                thumbprint=proof.thumbprint,
            )
        )
        return Redeemed(
            caller=resolved.caller,
            params={
                "ClientId": client_id,
                "GrantType": params["grantType"],
                "EndMarks": end_marks,
                "Family": Secret(family),
            },
            use=redeemed.use,
            token=token,
        )

    def _prove_key(self, call: RestCall) -> DpopProof:
        """Verify the sender's DPoP proof, without using it up."""
        if sum(name == b"dpop" for name, _ in call.raw.headers) != 1:
            raise errors.ValidationError("Exactly one DPoP header is required.")
        try:
            return verify_proof(
                call.raw.find_header(b"dpop") or "",
                method="POST",
                url=f"{self.public_origin}{PATH}",
                now=self.clock.now(),
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
            is_new = await self.cache.add(
                "dpop-jti",
                hashlib.sha256(name).digest(),
                b"1",
                # A proof with an iat ahead of our clock is accepted for twice the skew.
                expires_at=now + 2 * _SKEW + _MARGIN,
            )
        if not is_new:
            raise errors.ValidationError("The DPoP proof was already used.")


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
