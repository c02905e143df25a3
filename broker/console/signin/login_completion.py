"""The last step of every sign-in: confirm a change of identity, mint, set the cookie.

A proof that came by a cross-site POST is parked under a handle first: such a request
carries no cookie, so the current session is known only after a redirect. A login is
good for one mint, which spends it in the ledger; the session is kept for the browser
before that. When a store is unavailable, handle and proof stay usable.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response

from broker.actions.signin.signin_tokens import SigninGrant, use_of
from broker.actions.sts.roles import credentials_shape
from broker.console.console_session import ConsoleSession, SessionOrigin
from broker.console.context import HOME, LOGIN, SIGN_IN, ConsoleContext
from broker.console.cookies import KnownBrowser
from broker.console.csrf import FIELD, csrf_token, require_csrf, require_same_origin
from broker.console.forms import Form, read_form
from broker.console.login_states import PasswordProgress
from broker.console.pending_login import SIGN_IN_MAX, PendingLogin
from broker.console.portal.sign_ins import PortalSignIns
from broker.console.provider_logins import ProviderLogin
from broker.console.rendering import see_other
from broker.console.request_info import raw_request, refuse_prefetch, unnoted
from broker.console.sign_in_options import SignInOptions
from broker.console.sign_out import end_session
from broker.console.upstream_console import find_upstream_console
from broker.errors import AccessDenied, BrokerError, ServiceUnavailable, ValidationError
from broker.kinds.credential_report import PASSWORD_USE
from broker.model.caller import Caller
from broker.model.principal import Principal
from broker.model.proof_used import ProofUsed
from broker.model.request import Door
from broker.model.session import TemporaryCredentials
from broker.proofs.federated_schemes import proved_by
from broker.proofs.scheme import DoorProof, ProofResult
from broker.runtime.entropy import new_handle
from broker.sessions.handles import Handles
from broker.sessions.issue import KeepCredentials
from broker.sessions.one_time_use import one_time_use
from broker.stores.directory.kinds import USER
from broker.stores.directory.port import DirectoryReader

CONTINUE = "/signin/continue"
PARKED_LIFE = timedelta(seconds=60)
CONFIRMATION_LIFE = timedelta(minutes=5)
"""For the user to confirm; the proof itself may expire earlier."""

USED_UP = (
    "This sign-in link has already been used or has expired. Start again where you"
    " came from."
)


class LoginCompletion:
    """Turns pending logins into console sessions."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._passwords = PasswordLogins(context)
        self._options = SignInOptions(context)
        self._portal = PortalSignIns(context)
        self._handles = Handles(context.deps.cache, context.deps.vault, "arrival")

    async def park(self, pending: PendingLogin, life: timedelta = PARKED_LIFE) -> str:
        """Store a pending login under a new handle."""
        return await self._handles.put(asdict(pending), self._now() + life)

    async def redirect(self, pending: PendingLogin) -> Response:
        """Redirect to `CONTINUE`, a same-site request that carries the cookies."""
        return see_other(f"{CONTINUE}?handle={await self.park(pending)}")

    async def resume(self, request: Request) -> Response:
        """``/signin/continue``: GET after the redirect, POST from the confirmation."""
        refuse_prefetch(request)
        form = await read_form(request)
        if request.method == "POST":
            require_same_origin(request, self._context.deps.public_origin)
        handle = form.find("handle") or ""
        value = await self._handles.find(handle)
        if value is None:
            raise ValidationError(USED_UP)
        pending = PendingLogin(**value)
        if request.method == "GET":
            pending = await self._portal.redirected(request, pending)
        else:
            await self._require_csrf(request, form, pending)
        sign_in = self.sign_in if request.method == "POST" else self.confirm_or_sign_in
        try:
            response = await sign_in(request, pending)
        except ServiceUnavailable as error:
            # The handle is still good: reloading works once the store is back.
            return self._context.pages.show_error(request, error, door=pending.door)
        except BrokerError as error:
            await self._handles.forget(handle)
            return self._context.pages.show_error(
                request, error, door=pending.door, back=await self._back(pending)
            )
        await self._handles.forget(handle)
        return response

    async def confirm_or_sign_in(
        self, request: Request, pending: PendingLogin, status: int = 303
    ) -> Response:
        """Sign in, or ask first when the browser is signed in as someone else."""
        if pending.portal:
            old = await self._portal.find_replaced(request, pending)
            if old is None:
                return await self.sign_in(request, pending, status)
            return self._context.pages.show(
                request,
                "switch.html",
                current=old.session.name,
                coming=pending.session_name,
                stay=pending.destination,
                terminals=True,
                handle=await self.park(pending, CONFIRMATION_LIFE),
                csrf=csrf_token(old.handle),
            )
        who = await self._context.find_session(request)
        if isinstance(who, ConsoleSession) and who.principal.arn != pending.session_arn:
            handle = await self.park(pending, CONFIRMATION_LIFE)
            return self._context.pages.show(
                request,
                "switch.html",
                current=who.principal.arn,
                coming=pending.session_arn,
                stay=HOME,
                terminals=False,
                handle=handle,
                csrf=csrf_token(who.cookie),
            )
        return await self.sign_in(request, pending, status)

    async def sign_in(
        self, request: Request, pending: PendingLogin, status: int = 303
    ) -> Response:
        """Mint the console session and set a new cookie for it.

        It is kept before the proof is spent: if that fails, nothing is used up.
        """
        if pending.portal:
            return await self._open_portal(request, pending)
        context = self._context
        # A command-line login that led here still waits for an answer.
        waiting = await context.login_requests.find(request)
        cookies: list[str] = []

        async def keep(credentials: TemporaryCredentials) -> None:
            cookies.append(await self._keep(pending, credentials_shape(credentials)))

        try:
            result, progress = await self._mint(request, pending, keep)
        except Exception:
            for cookie in cookies:
                await context.sessions.discard(cookie)
            raise
        if not cookies:
            # An upstream minted.
            credentials = result["Credentials"]
            elsewhere = await find_upstream_console(context, request, credentials)
            if elsewhere is not None:
                return elsewhere
            cookies.append(await self._keep(pending, credentials))
        await self._end_replaced(request)
        onward = LOGIN if waiting else (pending.destination or HOME)
        response = see_other(onward, status)
        context.cookie.set(response, cookies[0])
        if progress is not None:
            self._passwords.remember(request, response, progress)
        return response

    async def _keep(self, pending: PendingLogin, credentials: Mapping[str, Any]) -> str:
        """Keep the session for the browser; its cookie."""
        key_id, ends_at = credentials["AccessKeyId"], credentials["Expiration"]
        login = ""
        if pending.login:
            login = await self._context.logins.open(
                ProviderLogin(**pending.login, token=pending.token), key_id, ends_at
            )
        origin = SessionOrigin(
            door=pending.door,
            issuer=pending.issuer or await self._back(pending),
            login=login,
            offered=tuple(pending.offered),
        )
        return await self._context.sessions.open(
            key_id, credentials["SessionToken"], ends_at, origin
        )

    async def _require_csrf(
        self, request: Request, form: Form, pending: PendingLogin
    ) -> None:
        """Require the confirmation of the person who is signed in.

        Raises:
            AccessDenied: The form is of another site or another session.
        """
        if pending.portal:
            old = await self._portal.find_replaced(request, pending)
            if old is not None:
                origin = self._context.deps.public_origin
                require_csrf(request, form.find(FIELD), old.handle, origin)
            return
        who = await self._context.find_session(request)
        if isinstance(who, ConsoleSession):
            self._context.require_csrf(request, form, who)

    async def _open_portal(self, request: Request, pending: PendingLogin) -> Response:
        try:
            return await self._portal.sign_in(request, pending)
        except ProofUsed as error:
            raise ValidationError(USED_UP, detail=error.detail) from error

    async def _end_replaced(self, request: Request) -> None:
        """End the session whose cookie the new one replaces."""
        # The new session stands either way, so a failure here must not undo it.
        with suppress(ServiceUnavailable), unnoted(request):
            replaced = await self._context.find_session(request)
            if isinstance(replaced, ConsoleSession):
                await end_session(self._context, request, replaced)

    async def _mint(
        self, request: Request, pending: PendingLogin, keep: KeepCredentials
    ) -> tuple[Mapping[str, Any], PasswordProgress | None]:
        """Mint the console session, using up the proof.

        Raises:
            ValidationError: The sign-in token or sign-in was already used.
        """
        if not (
            pending.begun or pending.signin_token or pending.token or pending.subject
        ):
            return await self._assume(request, pending, keep), None
        try:
            if pending.subject:
                return await self._ask_directory(request, pending, keep), None
            if pending.begun:
                return await self._passwords.login(request, pending.begun, keep)
            if pending.signin_token:
                return await self._login(request, pending, keep), None
            return await self._exchange(request, pending, keep), None
        except ProofUsed as error:
            raise ValidationError(USED_UP, detail=error.detail) from error

    async def _assume(
        self, request: Request, pending: PendingLogin, keep: KeepCredentials
    ) -> Mapping[str, Any]:
        given = {
            "RoleArn": pending.role_arn,
            "PrincipalArn": pending.provider_arn,
            "SAMLAssertion": pending.response,
        }
        scheme = self._context.deps.assertion_scheme
        login_states, start = self._context.login_states, pending.request_id[1:]
        if start:
            await login_states.require(request, start)
            scheme = scheme.answering(pending.request_id)
        result = await self._context.perform(
            request,
            Door.SAML,
            ("sts", "AssumeRoleWithSAML"),
            scheme,
            lambda: given,
            keep=keep,
        )
        if start:
            await login_states.forget(start)
        return result

    async def _exchange(
        self, request: Request, pending: PendingLogin, keep: KeepCredentials
    ) -> Mapping[str, Any]:
        given = {
            "RoleArn": pending.role_arn,
            "RoleSessionName": pending.session_name,
            "WebIdentityToken": pending.token,
        }
        return await self._context.perform(
            request,
            Door.SIGN_IN,
            ("sts", "AssumeRoleWithWebIdentity"),
            None,
            lambda: given,
            one_time_use=lambda: one_time_use(
                "oidc-sign-in", pending.state, until=self._now() + SIGN_IN_MAX
            ),
            keep=keep,
        )

    async def _ask_directory(
        self, request: Request, pending: PendingLogin, keep: KeepCredentials
    ) -> Mapping[str, Any]:
        async def prove(now: datetime) -> ProofResult:
            proof = await self._context.deps.ldap.renew_subject(
                pending.provider_arn, pending.provider_id, pending.subject, now
            )
            if pending.role_arn not in proof.roles:
                raise AccessDenied(
                    "Your groups in the directory no longer have this role."
                )
            return proved_by(proof.identity)

        return await self._context.perform(
            request,
            Door.SIGN_IN,
            ("sts", "AssumeRoleWithLDAPIdentity"),
            DoorProof(prove),
            lambda: {"RoleArn": pending.role_arn},
            one_time_use=lambda: one_time_use(
                "ldap-sign-in", pending.state, until=self._now() + SIGN_IN_MAX
            ),
            keep=keep,
        )

    async def _login(
        self, request: Request, pending: PendingLogin, keep: KeepCredentials
    ) -> Mapping[str, Any]:
        given: dict[str, int] = {}

        tokens, token = self._context.deps.tokens, pending.signin_token

        async def redeem(now: datetime) -> Caller:
            grant = await tokens.find(token)
            caller = await self.caller_of(grant, now)
            if grant is not None and grant.duration_seconds is not None:
                given["SessionDuration"] = grant.duration_seconds
            return caller

        result = await self._context.perform(
            request,
            Door.FEDERATION,
            ("signin", "ConsoleLogin"),
            redeem,
            lambda: given,
            one_time_use=lambda: use_of(token, self._now()),
            keep=keep,
        )
        await tokens.forget(token)
        return result

    async def caller_of(self, grant: SigninGrant | None, now: datetime) -> Caller:
        """Resolve the caller of a sign-in token.

        Raises:
            ValidationError: The token does not exist or has expired.
            ExpiredToken, InvalidClientTokenId: Its session is no longer valid.
        """
        if grant is None:
            raise ValidationError(USED_UP, detail="no such sign-in token")
        resolved = await self._context.deps.resolver.resolve(
            grant.access_key_id, grant.session_token, now
        )
        return resolved.caller

    async def _back(self, pending: PendingLogin) -> str:
        """The URL where this login started; empty when it is not a safe link."""
        provider_arn = pending.provider_arn or pending.login.get("provider_arn", "")
        if provider_arn:
            return await self._options.start_path(provider_arn)
        return self._context.destinations.find_safe(pending.issuer, (SIGN_IN,)) or ""

    def _now(self) -> datetime:
        return self._context.deps.clock.now()


_log = structlog.get_logger(__name__)


class PasswordLogins:
    """Mints the console session of a password sign-in that passed all its steps."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def login(
        self, request: Request, handle: str, keep: KeepCredentials
    ) -> tuple[Mapping[str, Any], PasswordProgress]:
        """Use up a sign-in and mint its console session, which ``keep`` keeps first.

        Raises:
            ValidationError: It is not open, or another browser started it.
            ProofUsed: It was already used.
            ServiceUnavailable: A store is unavailable; the sign-in stays open.
            AccessDenied: The user, password or factor is no longer valid.
        """
        deps = self._context.deps
        given: dict[str, Any] = {}
        found: list[PasswordProgress] = []

        async def prove(now: datetime) -> Caller:
            state = await self._context.login_states.require(request, handle)
            pending = PasswordProgress.read(state, now)
            found.append(pending)
            given["PasswordMark"] = pending.mark
            given["MFAUsed"] = "No" if pending.mfa_at is None else "Yes"
            if pending.mfa_at is not None:
                given["MFAAt"] = pending.mfa_at
                given["MFAIdentifier"] = pending.factor
            return await pending_caller(deps.directory, pending, now)

        result = await self._context.perform(
            request,
            Door.SIGN_IN,
            ("signin", "ConsoleLogin"),
            prove,
            lambda: given,
            one_time_use=lambda: found[0].use,
            keep=keep,
        )
        pending = found[0]
        await self._context.login_states.forget(handle)
        deps.uses.note(
            pending.account,
            pending.holder,
            *PASSWORD_USE,
            deps.clock.now(),
            deps.endpoints.find_region(raw_request(request)),
        )
        if pending.is_root:
            _log.warning("root user signed in", account=pending.account)
        return result, pending

    def remember(
        self, request: Request, response: Response, pending: PasswordProgress
    ) -> None:
        """Remember the user in the browser if they asked for it; else forget them."""
        known = self._context.known
        if not pending.remember:
            known.forget(response)
            return
        before = known.find(request)
        known.remember(
            response,
            KnownBrowser(
                place=pending.place,
                name=pending.name,
                account=pending.account,
                user_id=pending.holder,
                way=before.way if before and before.place == pending.place else "",
                id=new_handle(),
            ),
        )


async def pending_caller(
    directory: DirectoryReader, pending: PasswordProgress, now: datetime
) -> Caller:
    """Look up the caller of a sign-in.

    Raises:
        AccessDenied: The user no longer exists.
    """
    context = {"aws:multifactorauthpresent": ("false",)}
    if pending.mfa_at is not None:
        age = max(0, int(now.timestamp()) - pending.mfa_at)
        context = {
            "aws:multifactorauthpresent": ("true",),
            "aws:multifactorauthage": (str(age),),
        }
    if pending.is_root:
        return Caller(principal=Principal.root(pending.account), context=context)
    user = await directory.find(USER, pending.account, pending.holder)
    if user is None:
        raise AccessDenied(detail=f"the user {pending.holder} no longer exists")
    return Caller(
        principal=Principal.user(
            pending.account, user_id=user.user_id, path=user.path, name=user.name
        ),
        principal_tags=user.tags,
        context=context,
    )
