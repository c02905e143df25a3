"""The last step of every sign-in: confirm a change of identity, mint, set the cookie.

A proof that came by a cross-site POST is parked under a handle first (`parked`): such a
request carries no cookie, so the current session is known only after a redirect. A login is
good for one mint, which spends it in the ledger; the session is kept for the browser
before that. When a store is unavailable, handle and proof stay usable.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from msgspec import Struct
from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response

from broker import errors
from broker.actions.signin.signin_tokens import SigninGrant, use_of
from broker.actions.sts.roles import credentials_shape
from broker.console.console_session import ConsoleSession, SessionOrigin
from broker.console.context import (
    HOME,
    LOGIN,
    SIGN_IN,
    CallerProof,
    ConsoleContext,
    FindOneTimeUse,
)
from broker.console.cookies import KnownBrowser
from broker.console.csrf import csrf_token, require_same_origin
from broker.console.forms import Form, read_form
from broker.console.oauth import TerminalConsent
from broker.console.parked import Browser, Parked
from broker.console.password_progress import PasswordProgress
from broker.console.pending_login import PendingLogin
from broker.console.portal.sign_ins import PortalSignIns
from broker.console.rendering import see_other
from broker.console.request_info import raw_request, refuse_prefetch, unnoted
from broker.console.sign_in_options import SignInOptions
from broker.console.sign_out import end_session
from broker.console.upstream_console import find_upstream_console
from broker.kinds.credential_report import PASSWORD_USE
from broker.model.principal import Principal
from broker.model.request import Door, Params
from broker.model.secret import Confidential, Hidden
from broker.model.session import Caller, TemporaryCredentials
from broker.proofs.federated_schemes import proved_by, refused_person
from broker.proofs.scheme import DoorProof, ProofResult, Scheme
from broker.runtime.entropy import new_handle
from broker.stores.directory.kinds import USER
from broker.stores.directory.port import DirectoryReader

CONTINUE = "/signin/continue"
_CONSOLE_LOGIN = ("signin", "ConsoleLogin")
PARKED_LIFE = timedelta(seconds=60)
CONFIRMATION_LIFE = timedelta(minutes=5)
"""For the user to confirm; the proof itself may expire earlier."""

USED_UP = (
    "This sign-in link has already been used or has expired. Start again where you"
    " came from."
)

_log = structlog.get_logger(__name__)


class _Replaced(Confidential, frozen=True):
    """The session, by its cookie, that a login replaces; ``asks`` if it must be told."""

    cookie: Hidden[str]
    name: str
    asks: bool


async def _nothing() -> None:
    """What a mint that leaves nothing behind forgets."""


class _Mint(Struct, frozen=True):
    """The mint of a console session: its action, and the proof that this uses up.

    ``forget`` drops what the proof came from; ``progress`` has a password's steps.
    """

    door: Door
    action: tuple[str, str]
    given: Params
    proof: CallerProof | Scheme | None = None
    use: FindOneTimeUse | None = None
    forget: Callable[[], Awaitable[None]] = _nothing
    progress: Sequence[PasswordProgress] = ()


class LoginCompletion:
    """Turns pending logins into console sessions."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._options = SignInOptions(context)
        self._portal = PortalSignIns(context)
        self._arrivals = Parked(context.deps, context.browsers, "arrival", USED_UP)
        self._terminal = TerminalConsent(context)

    async def redirect(
        self, request: Request, pending: PendingLogin, browser: Browser | None = None
    ) -> Response:
        """Redirect to `CONTINUE`, a same-site request that carries the cookies.

        ``browser`` is the one that the sign-in belongs to, if it is not that of the
        request's cookies.
        """
        browsers = self._context.browsers
        browser = browser or browsers.of(request)
        handle = await self._arrivals.put(browser, asdict(pending), PARKED_LIFE)
        return browsers.redirect(browser, f"{CONTINUE}?handle={handle}")

    async def resume(self, request: Request) -> Response:
        """``/signin/continue``: GET after the redirect, POST from the confirmation."""
        refuse_prefetch(request)
        form = await read_form(request)
        if request.method == "POST":
            require_same_origin(request, self._context.deps.public_origin)
        handle = form.find("handle") or ""
        pending = PendingLogin(**await self._arrivals.require(request, handle))
        if request.method == "GET":
            pending = await self._portal.redirected(request, pending)
        else:
            await self._require_csrf(request, form, pending)
        sign_in = self.sign_in if request.method == "POST" else self.confirm_or_sign_in
        try:
            response = await sign_in(request, pending)
        except errors.ServiceUnavailable as error:
            # The handle is still good: reloading works once the store is back.
            return self._context.pages.show_error(request, error, door=pending.door)
        except errors.BrokerError as error:
            await self._arrivals.forget(handle)
            return self._context.pages.show_error(
                request, error, door=pending.door, back=await self._back(pending)
            )
        await self._arrivals.forget(handle)
        return response

    async def confirm_or_sign_in(
        self, request: Request, pending: PendingLogin, status: int = 303
    ) -> Response:
        """Sign in, or ask first when the browser is signed in as someone else."""
        replaced = await self._find_replaced(request, pending)
        if replaced is None or not replaced.asks:
            return await self.sign_in(request, pending, status)
        browsers = self._context.browsers
        browser = browsers.of(request)
        page = self._context.pages.show(
            request,
            "switch.html",
            current=replaced.name,
            coming=pending.session_name if pending.portal else pending.session_arn,
            stay=pending.destination if pending.portal else HOME,
            terminals=pending.portal,
            handle=await self._arrivals.put(
                browser, asdict(pending), CONFIRMATION_LIFE
            ),
            csrf=csrf_token(replaced.cookie),
        )
        browsers.remember(page, browser)
        return page

    async def _find_replaced(
        self, request: Request, pending: PendingLogin
    ) -> _Replaced | None:
        if pending.portal:
            old = await self._portal.find_replaced(request, pending)
            if old is None:
                return None
            return _Replaced(old.handle, old.session.name, asks=True)
        who = await self._context.find_session(request)
        if not isinstance(who, ConsoleSession):
            return None
        name = who.principal.arn
        return _Replaced(who.cookie, name, asks=name != pending.session_arn)

    async def sign_in(
        self, request: Request, pending: PendingLogin, status: int = 303
    ) -> Response:
        """Mint the session and set a new cookie for it.

        It is kept before the proof is spent: if that fails, nothing is used up.

        Raises:
            ValidationError: The sign-in token or sign-in was already used.
        """
        try:
            if pending.portal:
                return await self._portal.sign_in(request, pending)
            return await self._open_console(request, pending, status)
        except errors.ProofUsed as error:
            if pending.response and not pending.portal:
                raise
            raise errors.ValidationError(USED_UP, detail=error.detail) from error

    async def _open_console(
        self, request: Request, pending: PendingLogin, status: int
    ) -> Response:
        context = self._context
        # A command-line login that led here still waits for an answer.
        waiting = await self._terminal.find_waiting(request)
        mint = await self._get_mint(request, pending)
        cookies: list[str] = []

        async def keep(credentials: TemporaryCredentials) -> None:
            cookies.append(await self._keep(pending, credentials_shape(credentials)))

        try:
            result = await context.perform(
                request,
                mint.door,
                mint.action,
                mint.proof,
                lambda: mint.given,
                one_time_use=mint.use,
                keep=keep,
            )
        except Exception:
            for cookie in cookies:
                await context.sessions.discard(cookie)
            raise
        await mint.forget()
        for progress in mint.progress:
            self._note(request, progress)
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
        for progress in mint.progress:
            self._remember(request, response, progress)
        return response

    async def _keep(self, pending: PendingLogin, credentials: Mapping[str, Any]) -> str:
        """Keep the session for the browser; its cookie."""
        key_id, ends_at = credentials["AccessKeyId"], credentials["Expiration"]
        login = ""
        if pending.login:
            login = await self._context.logins.open(
                pending.login, pending.token, key_id, ends_at
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
        replaced = await self._find_replaced(request, pending)
        if replaced is not None:
            self._context.require_csrf(request, form, replaced.cookie)

    async def _end_replaced(self, request: Request) -> None:
        # The new session stands either way, so a failure here must not undo it.
        with suppress(errors.ServiceUnavailable), unnoted(request):
            replaced = await self._context.find_session(request)
            if isinstance(replaced, ConsoleSession):
                await end_session(self._context, request, replaced)

    async def _get_mint(self, request: Request, pending: PendingLogin) -> _Mint:
        """The mint that a proof leads to, by what it is."""
        if pending.subject:
            return self._of_person(pending)
        if pending.begun:
            return self._of_password(request, pending.begun)
        if pending.signin_token:
            return self._of_signin_token(pending.signin_token)
        if pending.token:
            return _Mint(
                Door.SIGN_IN,
                ("sts", "AssumeRoleWithWebIdentity"),
                {
                    "RoleArn": pending.role_arn,
                    "RoleSessionName": pending.session_name,
                    "WebIdentityToken": pending.token,
                },
                use=lambda: pending.use(self._now()),
            )
        scheme, forget = self._context.deps.assertion_scheme, _nothing
        if pending.request_id:
            states, start = self._context.login_states, pending.request_id[1:]
            await states.require(request, start)
            scheme = scheme.answering(pending.request_id)
            forget = partial(states.forget, start)
        return _Mint(
            Door.SAML,
            ("sts", "AssumeRoleWithSAML"),
            {
                "RoleArn": pending.role_arn,
                "PrincipalArn": pending.provider_arn,
                "SAMLAssertion": pending.response,
            },
            proof=scheme,
            forget=forget,
        )

    def _of_person(self, pending: PendingLogin) -> _Mint:
        async def prove(now: datetime) -> ProofResult:
            proof = await self._context.deps.ldap.renew_subject(
                pending.provider_arn, pending.provider_id, pending.subject, now
            )
            if pending.role_arn not in proof.roles:
                error = errors.AccessDenied(
                    "Your groups in the directory no longer have this role."
                )
                raise refused_person(error, proof.identity)
            return proved_by(proof.identity)

        return _Mint(
            Door.SIGN_IN,
            ("sts", "AssumeRoleWithLDAPIdentity"),
            {"RoleArn": pending.role_arn},
            proof=DoorProof(prove),
            use=lambda: pending.use(self._now()),
        )

    def _of_password(self, request: Request, handle: str) -> _Mint:
        params: dict[str, Any] = {}
        progresses: list[PasswordProgress] = []
        states = self._context.login_states

        async def prove(now: datetime) -> Caller:
            pending = PasswordProgress.read(await states.require(request, handle), now)
            progresses.append(pending)
            params["PasswordMark"] = pending.mark
            params["MFAUsed"] = "No" if pending.mfa_at is None else "Yes"
            if pending.mfa_at is not None:
                params["MFAAt"] = pending.mfa_at
                params["MFAIdentifier"] = pending.factor
            return await pending_caller(self._context.deps.directory, pending, now)

        return _Mint(
            Door.SIGN_IN,
            _CONSOLE_LOGIN,
            params,
            proof=prove,
            use=lambda: progresses[0].use,
            forget=partial(states.forget, handle),
            progress=progresses,
        )

    def _of_signin_token(self, token: str) -> _Mint:
        params: dict[str, int] = {}
        tokens = self._context.deps.tokens

        async def redeem(now: datetime) -> Caller:
            grant = await tokens.find(token)
            caller = await self.caller_of(grant, now)
            if grant is not None and grant.duration_seconds is not None:
                params["SessionDuration"] = grant.duration_seconds
            return caller

        return _Mint(
            Door.FEDERATION,
            _CONSOLE_LOGIN,
            params,
            proof=redeem,
            use=lambda: use_of(token, self._now()),
            forget=partial(tokens.forget, token),
        )

    def _note(self, request: Request, pending: PasswordProgress) -> None:
        deps = self._context.deps
        deps.uses.note(
            pending.account,
            pending.holder,
            *PASSWORD_USE,
            deps.clock.now(),
            deps.endpoints.find_region(raw_request(request)),
        )
        if pending.is_root:
            _log.warning("root user signed in", account=pending.account)

    def _remember(
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

    async def caller_of(self, grant: SigninGrant | None, now: datetime) -> Caller:
        """Resolve the caller of a sign-in token.

        Raises:
            ValidationError: The token does not exist or has expired.
            ExpiredToken, InvalidClientTokenId: Its session is no longer valid.
        """
        if grant is None:
            raise errors.ValidationError(USED_UP, detail="no such sign-in token")
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
        raise errors.AccessDenied(detail=f"the user {pending.holder} no longer exists")
    return Caller(
        principal=Principal.user(
            pending.account, user_id=user.user_id, path=user.path, name=user.name
        ),
        principal_tags=user.tags,
        context=context,
    )
