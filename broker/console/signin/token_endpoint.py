"""``POST /v1/token``: exchanges a code or refresh token, with DPoP, for credentials.

Requests, responses and errors are JSON in the shape that AWS's clients expect.

AWS's CLI reads the session's ARN from the ID token and verifies nothing. It is an
unsecured JWT, which means something only to the client that requested it over this
connection: there is not a key whose signature could make it a proof somewhere else.

Source: botocore's signin model; RFC 7636 4.6; RFC 9449 5 and 11.1; RFC 9700 4.14.2;
OpenID Connect Core 1.0, 2 and 3.1.3.7; RFC 7519 6.1; AWS CLI 2, customizations/login.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from broker import errors
from broker.actions.signin.command_line import CommandLineGrants
from broker.console.context import ConsoleContext
from broker.console.forms import read_body
from broker.console.login_requests import CROSS_DEVICE, SAME_DEVICE
from broker.console.request_info import note
from broker.model.account import find_account_of_key_id
from broker.model.request import Door
from broker.model.secret import Confidential, Hidden
from broker.model.session import Caller
from broker.model.strict_json import parse_object
from broker.protocols.oidc import base64url, pkce
from broker.protocols.oidc.dpop import DpopProof, DpopRejected, verify_proof
from broker.protocols.shapes.documents import dump
from broker.sessions.ends import OneTimeUse, has_ended
from broker.sessions.grants import Family, GrantRefusedError, Redemption
from broker.stores.errors import StoreFailedError, StoreUnavailableError, refusal_of

PATH = "/v1/token"
_log = structlog.get_logger(__name__)
_BODY_BYTES_MAX = 8192
_SKEW = timedelta(minutes=5)
_MARGIN = timedelta(hours=1)
"""Keeps a proof marked as used for longer than it is accepted, if clocks jump."""
_CLIENTS = frozenset({SAME_DEVICE, CROSS_DEVICE})
_LONGEST = {"clientId": 256, "grantType": 64, "code": 512, "redirectUri": 2048}
_REFRESH_TOKEN_MAX = 2048
_UNAUTHORIZED, _BAD, _TOO_MANY = 401, 400, 429
_BAD_REQUESTS = (
    errors.ValidationError,
    errors.MalformedInput,
    errors.RequestEntityTooLarge,
)


class LoginRefused(errors.AccessDenied):
    """The login is refused; ``reason`` is the ``error`` in the response."""

    def __init__(self, reason: str, message: str, *, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.reason = reason


class _TerminalLogin(Confidential, frozen=True):
    """A redeemed code or refresh token: its caller, its family, and the token to keep.

    It ends with ``end_marks``: its own, and those of the console session.
    """

    caller: Caller
    family: Family
    end_marks: tuple[str, ...]
    use: OneTimeUse | None
    token: Hidden[str]


class TokenEndpoint:
    """Exchanges codes and refresh tokens for credentials."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._grants = CommandLineGrants(context.deps.handles, context.deps.vault)
        self._url = f"{context.deps.public_origin}{PATH}"

    async def answer(self, request: Request) -> Response:
        """Answer a request; every failure is a JSON error."""
        try:
            body = await self._issue(request)
        except errors.BrokerError as error:
            note(request, error_code=error.code)
            return _error(error)
        except StoreFailedError as failure:
            return _error(refusal_of(failure))
        except ClientDisconnect:
            return Response(status_code=_BAD)
        except Exception:  # noqa: BLE001  # last resort: no failure without an answer
            _log.exception("unexpected failure")
            return _error(errors.InternalFailure())
        return JSONResponse(body, headers={"cache-control": "no-store"})

    async def _issue(self, request: Request) -> dict[str, Any]:
        body = await _read_body(request)
        proof = self._prove_key(request)
        client_id, grant_type = _text(body, "clientId"), _text(body, "grantType")
        if client_id not in _CLIENTS:
            raise errors.ValidationError("There is no such client.")
        if grant_type not in {"authorization_code", "refresh_token"}:
            raise errors.ValidationError("There is no such grantType.")
        is_code = grant_type == "authorization_code"
        refused = _code_refused if is_code else _expired
        logins: list[_TerminalLogin] = []

        async def prove(now: datetime) -> Caller:
            try:
                redeemed = (
                    await self._redeem_code(body, now)
                    if is_code
                    else self._grants.redeem_token(
                        _text(body, "refreshToken"),
                        client_id,
                        now,
                        thumbprint=proof.thumbprint,
                    )
                )
                logins.append(await self._open(redeemed, client_id, proof, now))
            except GrantRefusedError as error:
                raise refused(str(error)) from error
            return logins[0].caller

        try:
            result = await self._context.perform(
                request,
                Door.SIGN_IN,
                ("signin", "CreateOAuth2Token"),
                prove,
                lambda: {
                    "ClientId": client_id,
                    "GrantType": grant_type,
                    "EndMarks": logins[0].end_marks,
                },
                one_time_use=lambda: logins[0].use,
            )
        except errors.ProofUsed as error:
            await self._end_login(request, logins[0])
            raise refused("it was used before") from error
        credentials = result["Credentials"]
        now = self._context.deps.clock.now()
        left = credentials["Expiration"] - now
        told = {}
        if is_code:
            told["idToken"] = id_token(
                issuer=self._context.deps.public_origin,
                subject=logins[0].caller.principal.arn,
                audience=client_id,
                now=now,
                expires_at=credentials["Expiration"],
            )
        return {
            "accessToken": {
                "accessKeyId": credentials["AccessKeyId"],
                "secretAccessKey": credentials["SecretAccessKey"],
                "sessionToken": credentials["SessionToken"],
            },
            "tokenType": "aws_sigv4",
            "expiresIn": max(1, int(left.total_seconds())),
            "refreshToken": logins[0].token,
            **told,
        }

    async def _end_login(self, request: Request, login: _TerminalLogin) -> None:
        """End the whole login: a code that is used twice was stolen."""
        await self._context.perform(
            request,
            Door.SIGN_IN,
            ("signin", "EndLogin"),
            login.caller,
            lambda: {
                "Marks": [self._grants.end_mark(login.family.session)],
                "ExpiresAt": login.family.ends_at,
            },
        )
        await self._grants.take_back(login.family.session)

    def _prove_key(self, request: Request) -> DpopProof:
        """Verify the sender's DPoP proof, without using it up."""
        headers = request.headers.getlist("dpop")
        if len(headers) != 1:
            raise errors.ValidationError("Exactly one DPoP header is required.")
        now = self._context.deps.clock.now()
        try:
            return verify_proof(
                headers[0], method="POST", url=self._url, now=now, skew=_SKEW
            )
        except DpopRejected as error:
            raise errors.ValidationError(
                "The DPoP proof is not valid.", detail=str(error)
            ) from error

    async def _use_up(self, proof: DpopProof, now: datetime) -> None:
        """Use up a proof; called only once the rest is valid, to save writes."""
        name = f"{proof.thumbprint}.{proof.token_id}".encode("utf-8", "surrogatepass")
        try:
            is_new = await self._context.deps.cache.add(
                "dpop-jti",
                hashlib.sha256(name).digest(),
                b"1",
                # A proof with an iat ahead of our clock is accepted for twice the skew.
                expires_at=now + 2 * _SKEW + _MARGIN,
            )
        except StoreUnavailableError as error:
            # Without the cache a replay cannot be detected, so refuse.
            raise errors.ServiceUnavailable(
                detail=f"the cache is unavailable: {error}"
            ) from error
        if not is_new:
            raise errors.ValidationError("The DPoP proof was already used.")

    async def _redeem_code(
        self, params: Mapping[str, Any], now: datetime
    ) -> Redemption:
        verifier = _text(params, "codeVerifier")
        if not pkce.is_verifier(verifier):
            raise errors.ValidationError("The codeVerifier is not well-formed.")
        return await self._grants.redeem_code(
            _text(params, "code"),
            params["clientId"],
            redirect_uri=_text(params, "redirectUri"),
            verifier=verifier,
            now=now,
        )

    async def _open(
        self, redeemed: Redemption, client_id: str, proof: DpopProof, now: datetime
    ) -> _TerminalLogin:
        """The session behind it, once the sender's proof is used up."""
        lent = await self._grants.find_session(redeemed.session)
        if lent is None:
            raise GrantRefusedError("the login has ended")
        account = find_account_of_key_id(lent.access_key_id)
        mark = self._grants.end_mark(redeemed.session)
        if account is None or await has_ended(self._context.deps.fresh, account, mark):
            raise GrantRefusedError("the login was ended")
        for home, end in lent.end_marks:
            if await has_ended(self._context.deps.fresh, home, end):
                raise GrantRefusedError("its console session was signed out of")
        await self._use_up(proof, now)
        resolved = await self._context.deps.resolver.resolve(
            lent.access_key_id, lent.session_token, now
        )
        family = Family(
            client_id=client_id,
            ends_at=resolved.session.expires_at,
            session=redeemed.session,
            thumbprint=proof.thumbprint,
        )
        token = redeemed.token or self._grants.create_token(family)
        marks = (mark, *(end for _, end in lent.end_marks))
        return _TerminalLogin(resolved.caller, family, marks, redeemed.use, token)


def _code_refused(detail: str) -> LoginRefused:
    return LoginRefused(
        "AUTHCODE_EXPIRED",
        "The code is not valid, was already used, or has expired.",
        detail=detail,
    )


def _expired(detail: str) -> LoginRefused:
    return LoginRefused(
        "TOKEN_EXPIRED", "The login has ended. Log in again.", detail=detail
    )


def _error(error: errors.BrokerError) -> Response:
    if isinstance(error, LoginRefused):
        kind, status, reason = "AccessDeniedException", _UNAUTHORIZED, error.reason
    elif isinstance(error, errors.ExpiredToken):
        kind, status, reason = "AccessDeniedException", _UNAUTHORIZED, "TOKEN_EXPIRED"
    elif isinstance(error, errors.InvalidClientTokenId):
        kind, status = "AccessDeniedException", _UNAUTHORIZED
        reason = "USER_CREDENTIALS_CHANGED"
    elif isinstance(error, errors.AccessDenied):
        kind, status, reason = "AccessDeniedException", 403, "INSUFFICIENT_PERMISSIONS"
    elif isinstance(error, _BAD_REQUESTS):
        kind, status, reason = "ValidationException", _BAD, "INVALID_REQUEST"
    elif isinstance(error, errors.Throttling):
        kind, status, reason = "TooManyRequestsError", _TOO_MANY, "rate_exceeded"
    else:
        kind, status = "InternalServerException", error.status
        reason = "server_error"
    return JSONResponse(
        {"error": reason, "message": error.message or error.code},
        status,
        headers={"cache-control": "no-store", "x-amzn-errortype": kind},
    )


def _text(params: Mapping[str, Any], name: str) -> str:
    """Return a string member that must be present and within its bound."""
    value = params.get(name)
    longest = _LONGEST.get(name, _REFRESH_TOKEN_MAX)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise errors.ValidationError(f"{name} is missing or too long.")
    return value


async def _read_body(request: Request) -> Mapping[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise errors.MalformedInput("The body must be application/json.")
    body = await read_body(request, _BODY_BYTES_MAX, "body")
    try:
        return parse_object(body)
    except (ValueError, RecursionError) as error:
        raise errors.MalformedInput("The body is not a JSON object.") from error


def id_token(
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
