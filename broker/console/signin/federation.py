"""``/federation``: sign-in tokens, login, logout.

Clients look only at the status; people see a page.

Credentials that an upstream minted for a role here are recognised by the session's
record; the upstream proves them, and the sign-in token that the broker gives leads to the
upstream's console.

Source: IAM User Guide, id_roles_providers_enable-console-custom-url and
troubleshoot_saml.
"""

import hmac
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from broker.actions.signin.signin_tokens import SigninGrant, use_of
from broker.console.context import SIGN_IN, ConsoleContext
from broker.console.destinations import origin_of
from broker.console.forms import Form, read_form
from broker.console.pending_login import LoginMethod, PendingLogin
from broker.console.request_info import refuse_prefetch, source_address
from broker.console.sign_out import SignOut
from broker.console.signin.login_completion import USED_UP, LoginCompletion
from broker.console.upstream_console import (
    UpstreamSession,
    find_upstream_session,
    is_brokers_own,
)
from broker.errors import (
    BrokerError,
    ExpiredToken,
    InvalidClientTokenId,
    ProofUsed,
    ServiceUnavailable,
    ValidationError,
)
from broker.model.request import Door
from broker.model.secret import Secret
from broker.model.session import Caller
from broker.model.strict_json import parse_object
from broker.proofs.upstream_client import KeyPair

_BAD_CREDENTIALS = "Invalid credentials parameter"
_INCORRECT = "The request sent by the client was syntactically incorrect."
_NO_ACTION = "no such Action"
_SESSION_MAX = 16_384
_DURATION_MAX = 6
_ISSUER_MAX = 2048
_FOUND = 302


class Federation:
    """The endpoint of custom federation brokers."""

    def __init__(
        self, context: ConsoleContext, completion: LoginCompletion, sign_out: SignOut
    ) -> None:
        self._context = context
        self._completion = completion
        self._sign_out = sign_out

    async def answer(self, request: Request) -> Response:
        """GET or POST, by ``Action``."""
        refuse_prefetch(request)
        form = await read_form(request)
        match form.find("Action"):
            case "getSigninToken":
                return await self._get_signin_token(request, form)
            case "login":
                return await self._login(request, form)
            case "logout":
                return await self._leave(request, form)
            case _:
                raise ValidationError(_INCORRECT, detail=_NO_ACTION)

    async def log_out(self, request: Request) -> Response:
        """``GET /oauth``, AWS's other address of ``Action=logout``.

        Source: aws-vault's ``cli/login.go``.
        """
        refuse_prefetch(request)
        form = await read_form(request)
        if form.find("Action") != "logout":
            raise ValidationError(_INCORRECT, detail=_NO_ACTION)
        return await self._leave(request, form)

    async def _leave(self, request: Request, form: Form) -> Response:
        onward = form.find("Issuer") or form.find("redirect_uri") or ""
        return await self._sign_out.leave(request, onward)

    async def _get_signin_token(self, request: Request, form: Form) -> Response:
        key_id, secret, token = _read_session(form.require("Session"))
        params: dict[str, Any] = {"SessionToken": Secret(token)}
        duration = form.find("SessionDuration")
        if duration is not None:
            params["SessionDuration"] = _read_duration(duration)

        async def prove(now: datetime) -> Caller:
            deps = self._context.deps
            there = await find_upstream_session(deps, key_id)
            if there is None or await is_brokers_own(deps, key_id, token):
                return await self._prove(key_id, secret, token, now)
            keys = KeyPair(
                access_key_id=key_id,
                secret_access_key=Secret(secret),
                session_token=token,
            )
            # A key id is no secret, and each guess at its others is a request there.
            await self._context.begin_limits.require(source_address(request))
            duration = params.get("SessionDuration")
            if duration is not None:
                params["SessionDuration"] = there.console_seconds(duration, now)
            # The upstream minted these, and only it can verify them.
            text = await deps.upstreams.signin_token(
                there.engine, keys, params.get("SessionDuration")
            )
            params.update(SessionToken=Secret(text), RoleArn=there.role.arn)
            return there.caller()

        result = await self._context.perform(
            request,
            Door.FEDERATION,
            ("signin", "GetSigninToken"),
            prove,
            lambda: params,
        )
        return JSONResponse(dict(result), headers={"cache-control": "no-store"})

    async def _prove(
        self, key_id: str, secret: str, token: str, now: datetime
    ) -> Caller:
        """Return the caller, if key id, secret key and token belong together."""
        try:
            resolved = await self._context.deps.resolver.resolve(key_id, token, now)
        except (ExpiredToken, InvalidClientTokenId) as error:
            raise ValidationError(
                _BAD_CREDENTIALS, detail=f"{error.code}: {error.detail}"
            ) from error
        # Key id and token alone prove nothing: presigned URLs carry both.
        if not hmac.compare_digest(
            resolved.secret.reveal().encode(), secret.encode("utf-8", "replace")
        ):
            raise ValidationError(_BAD_CREDENTIALS, detail="the sessionKey is wrong")
        return resolved.caller

    async def _login(self, request: Request, form: Form) -> Response:
        wanted = form.require("Destination")
        token = form.require("SigninToken")
        deps = self._context.deps
        issuer = (form.find("Issuer") or "")[:_ISSUER_MAX]
        grant = await deps.tokens.find(token)
        if grant is not None and grant.role_arn:
            return await self._login_upstream(request, token, grant, wanted, issuer)
        destination = self._context.destinations.find_safe(wanted)
        if destination is None:
            raise ValidationError(
                "The Destination is not an address that this broker may send you to.",
                detail="not the console, not on BROKER_ALLOWED_DESTINATIONS",
            )
        try:
            caller = await self._completion.caller_of(grant, deps.clock.now())
        except ServiceUnavailable:
            raise
        except BrokerError as error:
            back = self._context.destinations.find_safe(issuer, (SIGN_IN,)) or ""
            return self._context.pages.show_error(
                request, error, door=LoginMethod.FEDERATION, back=back
            )
        login = PendingLogin(
            door=LoginMethod.FEDERATION,
            destination=destination,
            session_arn=caller.principal.arn,
            signin_token=token,
            issuer=issuer,
        )
        if request.method == "POST":
            return await self._completion.redirect(
                request, login, self._context.browsers.arriving(request)
            )
        return await self._completion.confirm_or_sign_in(request, login, _FOUND)

    async def _login_upstream(
        self,
        request: Request,
        token: str,
        grant: SigninGrant,
        destination: str,
        issuer: str,
    ) -> Response:
        """Go on to the upstream's console, using the token up.

        Raises:
            ValidationError: the session was revoked or has no upstream any more, the
                destination is not in the upstream's console, or the token was used.
            ServiceUnavailable: the cache or the database is away.
        """
        deps = self._context.deps
        session = await find_upstream_session(deps, grant.access_key_id)
        if session is None or session.engine.definition.sign_in is None:
            raise ValidationError(
                USED_UP, detail=f"the upstream's session {grant.access_key_id} is over"
            )
        definition = session.engine.definition
        console = definition.console or ""
        if origin_of(destination) != origin_of(console):
            own = self._context.destinations.find_safe(destination) or ""
            if origin_of(destination) != deps.public_origin and not own.startswith("/"):
                raise ValidationError(
                    "The Destination is not an address that this broker may send you to.",
                    detail=f"not in the upstream's console, {origin_of(console)}",
                )
            destination = console
        await self._redeem(request, token, session)
        await deps.tokens.forget(token)
        url = deps.upstreams.login_url(
            definition, grant.session_token, issuer, destination
        )
        return RedirectResponse(url, _FOUND, headers={"cache-control": "no-store"})

    async def _redeem(
        self, request: Request, token: str, session: UpstreamSession
    ) -> None:
        try:
            await self._context.perform(
                request,
                Door.FEDERATION,
                ("signin", "ConsoleLogin"),
                session.caller(),
                lambda: {"Upstream": session.engine.upstream.name},
                one_time_use=lambda: use_of(token, self._context.deps.clock.now()),
            )
        except ProofUsed as error:
            raise ValidationError(USED_UP, detail=error.detail) from error


def _read_session(text: str) -> tuple[str, str, str]:
    """Parse ``Session`` into its session id, key and token."""
    members: dict[str, Any] = {}
    if len(text) <= _SESSION_MAX:
        try:
            members = parse_object(text.encode("utf-8", "surrogatepass"))
        except ValueError as error:
            raise ValidationError(
                _BAD_CREDENTIALS, detail="not a JSON object"
            ) from error
    values = [members.get(name) for name in ("sessionId", "sessionKey", "sessionToken")]
    texts = [value for value in values if isinstance(value, str) and value]
    if len(texts) != len(values):
        raise ValidationError(
            _BAD_CREDENTIALS, detail="sessionId, sessionKey or sessionToken is missing"
        )
    return texts[0], texts[1], texts[2]


def _read_duration(text: str) -> int:
    if len(text) > _DURATION_MAX or not (text.isascii() and text.isdigit()):
        raise ValidationError(_INCORRECT, detail="SessionDuration is not a number")
    return int(text)
