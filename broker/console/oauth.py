"""Consent: a client sends a browser here, and its person lets the client in or not.

`TerminalConsent` is that of ``aws login``, which gets the role of the console session,
`PortalConsent` that of the access portal's clients, and `DevicePage` is for devices that
show a code. Each page names the session that the client will get, the client, and where
the request comes from. Access is granted only when the person presses a button, never by
following a link, and only in the browser that began the request.

Source: RFC 6749 4.1.1; RFC 7636; RFC 8252 7.3; RFC 8628 3.3 and 5.4; botocore's signin
model and its SSOTokenFetcherAuth.
"""

import base64
import re
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from urllib.parse import urlencode, urlsplit

from msgspec import Struct
from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from broker.console.console_session import ConsoleSession
from broker.console.context import HOME, LOGIN, SIGN_IN, ConsoleContext
from broker.console.cookies import BrowserHandles
from broker.console.csrf import csrf_token, require_same_origin
from broker.console.destinations import origin_of
from broker.console.forms import Form, read_form
from broker.console.portal.places import PORTAL
from broker.console.portal.sign_ins import PortalSignIns
from broker.console.portal.visits import PortalVisits
from broker.console.provider_logins import account_of_provider, login_end_mark
from broker.console.rendering import allow_redirect, see_other, status_of, words_of
from broker.console.request_info import is_own_or_typed, refuse_prefetch, source_address
from broker.errors import NoSuchEntity, Throttling, ValidationError
from broker.model.request import Door
from broker.model.secret import Secret
from broker.proofs.attempts import limit_of_address
from broker.proofs.portal import PortalScheme
from broker.protocols.oidc import pkce
from broker.sessions.handles import SealedTexts
from broker.sessions.oauth import (
    AUTHORIZATION_CODE,
    DEVICE_LIFE,
    SCOPE,
    SCOPES,
    Code,
    DeviceRequest,
    digest_of,
    is_loopback,
    read_user_code,
)
from broker.sessions.portal import OpenPortal

LOGIN_AUTHORIZE = "/v1/authorize"
PORTAL_AUTHORIZE = "/authorize"
CONSENT = f"{PORTAL}/authorize"
DEVICE = f"{PORTAL}/device"
SAME_DEVICE = "arn:aws:signin:::devtools/same-device"
CROSS_DEVICE = "arn:aws:signin:::devtools/cross-device"
_CONFIRMATION = "/v1/sessions/confirmation"
_LIFE = timedelta(minutes=10)
_STATE = re.compile(r"[\x20-\x7e]{1,2048}")
_GONE = "This login is no longer open. Start it again in your terminal."
_PUSH_REMOVED = (
    "`broker login` has been removed. Use `aws sso login`, or `aws login --remote`."
)
_KNOWN = "known"
_NO_CODE = "This code is not known, was answered already, or has expired."
_OK, _BAD, _NO_LONGER_HERE = 200, 400, 410

Who = TypeVar("Who", bound=ConsoleSession | OpenPortal)


class LoginRequest(Struct, frozen=True, kw_only=True):
    """A login that awaits consent.

    ``client_name`` and ``place`` are those of a client of the access portal.
    """

    client_id: str
    redirect_uri: str
    challenge: str
    state: str
    client_name: str = ""
    place: str = ""

    @property
    def on_this_device(self) -> bool:
        """Whether the browser can redirect to the client's loopback address."""
        return self.client_id != CROSS_DEVICE

    @property
    def origin(self) -> str:
        """The origin that receives the code."""
        return origin_of(self.redirect_uri)

    def answer_url(self, **answer: str) -> str:
        """The redirect URI, which may have a query, with an answer and the state."""
        joint = "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{joint}{urlencode({**answer, 'state': self.state})}"


class _Consent(ABC, Generic[Who]):
    """What both kinds of clients share: read, park, show, and answer once."""

    path: str
    cookie: str
    space: str
    """Where what waits is kept, for the browser with the cookie."""

    methods = frozenset({"S256"})

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._waiting = BrowserHandles(context.deps, self.cookie, self.space, _LIFE)

    async def find_waiting(self, request: Request) -> LoginRequest | None:
        """The request that this browser is to answer."""
        value = await self._waiting.find(request)
        if value is None:
            return None
        # A worker of another version may store more than these, or fewer.
        known = set(LoginRequest.__struct_fields__) & value.keys()
        return LoginRequest(**{name: value[name] for name in known})

    async def _require_waiting(self, request: Request) -> LoginRequest:
        asked = await self.find_waiting(request)
        if asked is None:
            raise ValidationError(_GONE)
        return asked

    async def authorize(self, request: Request) -> Response:
        """A client opens its request in the browser, which is not sent back yet."""
        refuse_prefetch(request)
        form = await read_form(request)
        asked = self._read_client(form)
        if form.require("response_type") != "code":
            raise ValidationError("The response_type must be code.")
        if form.require("code_challenge_method") not in self.methods:
            raise ValidationError("The code_challenge_method must be S256.")
        if not pkce.is_challenge(asked.challenge) or not _STATE.fullmatch(asked.state):
            raise ValidationError("The code_challenge or the state is not well-formed.")
        await self._context.begin_limits.require(source_address(request))
        response = see_other(self.path)
        await self._waiting.put(response, asdict(asked))
        return response

    async def page(self, request: Request) -> Response:
        """The page that asks; who is not signed in does that first."""
        refuse_prefetch(request)
        asked = await self._require_waiting(request)
        who = await self._find_who(request, asked)
        if who is None:
            return await self._to_sign_in(request, asked)
        page = self._show(request, who, asked)
        if asked.on_this_device:
            allow_redirect(page, asked.origin)
        return page

    async def answer(self, request: Request) -> Response:
        """The press of a button."""
        form = await read_form(request)
        asked = await self._require_waiting(request)
        who = await self._find_who(request, asked)
        if who is None:
            raise ValidationError(_GONE)
        handle = who.cookie if isinstance(who, ConsoleSession) else who.handle
        self._context.require_csrf(request, form, handle)
        if form.find("challenge") != asked.challenge:
            # Another login was opened in this browser since.
            raise ValidationError(_GONE)
        code = await self._decide(
            request, who, asked, is_allowed=form.find("answer") == "allow"
        )
        told = self._tell(request, asked, code)
        # The last step, so that one that failed can be repeated; of two presses one counts.
        if await self._waiting.take(request) is None:
            raise ValidationError(_GONE)
        self._waiting.forget(told)
        return told

    def _tell(self, _request: Request, asked: LoginRequest, code: str) -> Response:
        """How the client gets its code; empty if it is denied one."""
        answer = {"code": code} if code else {"error": "access_denied"}
        return see_other(asked.answer_url(**answer))

    @abstractmethod
    def _read_client(self, form: Form) -> LoginRequest:
        """What is asked for, by a client that may.

        Raises:
            ValidationError: By none; the browser is not redirected.
        """

    @abstractmethod
    async def _find_who(self, request: Request, asked: LoginRequest) -> Who | None:
        """Who is signed in in this browser."""

    @abstractmethod
    async def _to_sign_in(self, request: Request, asked: LoginRequest) -> Response:
        """Where the person signs in first."""

    @abstractmethod
    def _show(self, request: Request, who: Who, asked: LoginRequest) -> Response:
        """The page that asks."""

    @abstractmethod
    async def _decide(
        self, request: Request, who: Who, asked: LoginRequest, *, is_allowed: bool
    ) -> str:
        """The code; empty if the person does not allow it."""


class TerminalConsent(_Consent[ConsoleSession]):
    """``/v1/authorize`` and ``/console/login``: a terminal gets the session's role.

    The page says which role that is, and links to signing in with another one.
    """

    path, cookie, space = LOGIN, "broker-login", "login-request"
    methods = frozenset({"S256", "SHA-256"})

    async def push(self, _request: Request) -> Response:
        """``POST /v1/authorize``: an earlier version's ``broker login`` shows the message."""
        return JSONResponse({"message": _PUSH_REMOVED}, _NO_LONGER_HERE)

    def _read_client(self, form: Form) -> LoginRequest:
        client_id, redirect_uri = (
            form.require("client_id"),
            form.require("redirect_uri"),
        )
        if client_id not in {SAME_DEVICE, CROSS_DEVICE}:
            raise ValidationError("There is no such client.")
        if client_id == CROSS_DEVICE:
            own = f"{self._context.deps.public_origin}{_CONFIRMATION}"
            fits = redirect_uri == own
        else:
            fits = is_loopback(redirect_uri) and _names_a_port(redirect_uri)
        if not fits:
            raise ValidationError("The redirect_uri is not allowed for this client.")
        return LoginRequest(
            client_id=client_id,
            redirect_uri=redirect_uri,
            challenge=form.require("code_challenge"),
            state=form.require("state"),
        )

    async def _find_who(
        self, request: Request, _asked: LoginRequest
    ) -> ConsoleSession | None:
        who = await self._context.find_session(request)
        return who if isinstance(who, ConsoleSession) else None

    async def _to_sign_in(self, _request: Request, _asked: LoginRequest) -> Response:
        return see_other(SIGN_IN)

    def _show(
        self, request: Request, who: ConsoleSession, asked: LoginRequest
    ) -> Response:
        return self._context.pages.show(
            request,
            "login.html",
            principal=who.principal,
            login_request=asked,
            address=source_address(request),
            csrf=csrf_token(who.cookie),
        )

    async def _decide(
        self,
        request: Request,
        who: ConsoleSession,
        asked: LoginRequest,
        *,
        is_allowed: bool,
    ) -> str:
        if not is_allowed:
            return ""
        context = self._context
        token = await context.sessions.find_token(who.cookie)
        end_marks, login = who.sign_out_marks, who.origin.login
        if known := await context.logins.find_one(login) if login else None:
            home = account_of_provider(known.provider_arn)
            end_marks += ((home, login_end_mark(login)),)
        result = await context.perform(
            request,
            Door.CONSOLE,
            ("signin", "AuthorizeOAuth2Access"),
            who.caller,
            lambda: {
                "ClientId": asked.client_id,
                "RedirectUri": asked.redirect_uri,
                "CodeChallenge": asked.challenge,
                "SessionToken": Secret(token),
                "EndMarks": end_marks,
            },
        )
        return str(result["Code"])

    def _tell(self, request: Request, asked: LoginRequest, code: str) -> Response:
        if asked.on_this_device:
            return super()._tell(request, asked, code)
        if not code:
            return see_other(HOME)
        # The format that `aws login --remote` reads: both values, in base64.
        text = urlencode({"state": asked.state, "code": code})
        return self._context.pages.show(
            request,
            "login_code.html",
            code=base64.b64encode(text.encode("ascii")).decode("ascii"),
        )


def _names_a_port(address: str) -> bool:
    parts = urlsplit(address)
    return parts.port is not None and parts.hostname != "localhost"


class PortalConsent(_Consent[OpenPortal]):
    """``/authorize`` and ``/portal/authorize``: a client gets the roles of a sign-in."""

    path, cookie, space = CONSENT, "broker-portal-client", "portal-client"

    def __init__(
        self, context: ConsoleContext, sign_ins: PortalSignIns, visits: PortalVisits
    ) -> None:
        super().__init__(context)
        self._sign_ins = sign_ins
        self._visits = visits
        self._logins = context.deps.portal_logins

    def show(self, request: Request, portal: OpenPortal, **facts: object) -> Response:
        """The page that asks whether a client may act as the person."""
        page = self._context.pages.show(
            request,
            "portal_consent.html",
            _OK,
            who=portal.resolved.caller.principal,
            name=portal.session.name,
            csrf=csrf_token(portal.handle),
            **facts,
        )
        self._sign_ins.remember(request, page, portal)
        return page

    async def record(
        self,
        request: Request,
        portal: OpenPortal,
        *,
        client: str,
        address: str,
        is_allowed: bool,
    ) -> None:
        """Record what a person answered a client, and from where that asked."""
        await self._context.perform(
            request,
            Door.PORTAL,
            ("sso-oauth", "Authorize"),
            PortalScheme(portal),
            lambda: {
                "SessionName": portal.session.name,
                "ClientName": client,
                "Answer": "allow" if is_allowed else "deny",
                "Address": address,
            },
        )

    def _read_client(self, form: Form) -> LoginRequest:
        client_id = form.require("client_id")
        client = self._logins.clients.find(client_id, self._context.deps.clock.now())
        if client is None or not client.may(AUTHORIZATION_CODE):
            raise ValidationError("There is no such client.")
        redirect_uri = form.require("redirect_uri")
        if not client.accepts(redirect_uri):
            raise ValidationError("The redirect_uri is not one of this client's.")
        scopes = (form.find("scopes") or form.find("scope") or SCOPE).split()
        if not {SCOPES.get(name) for name in scopes} <= set(client.scopes or (SCOPE,)):
            raise ValidationError("The client did not register for these scopes.")
        return LoginRequest(
            client_id=digest_of(client_id),
            client_name=client.name,
            place=client.place,
            redirect_uri=redirect_uri,
            challenge=form.require("code_challenge").rstrip("="),
            state=form.require("state"),
        )

    async def _find_who(
        self, request: Request, asked: LoginRequest
    ) -> OpenPortal | None:
        return await self._visits.find(request, asked.place)

    async def _to_sign_in(self, request: Request, asked: LoginRequest) -> Response:
        return await self._visits.to_sign_in(request, asked.place, CONSENT)

    def _show(self, request: Request, who: OpenPortal, asked: LoginRequest) -> Response:
        return self.show(
            request,
            who,
            client=asked.client_name,
            origin=asked.origin,
            action=CONSENT,
            fields={"challenge": asked.challenge},
            device=None,
        )

    async def _decide(
        self,
        request: Request,
        who: OpenPortal,
        asked: LoginRequest,
        *,
        is_allowed: bool,
    ) -> str:
        await self.record(
            request,
            who,
            client=asked.client_name,
            address=source_address(request),
            is_allowed=is_allowed,
        )
        if not is_allowed:
            return ""
        code = Code(
            client_id=asked.client_id,
            redirect_uri=asked.redirect_uri,
            challenge=asked.challenge,
            session=who.handle,
        )
        return await self._logins.grants.create_code(
            code, self._context.deps.clock.now()
        )


class DevicePage:
    """``/portal/device``: a person compares or types a device's code, and answers."""

    def __init__(
        self, context: ConsoleContext, visits: PortalVisits, consent: PortalConsent
    ) -> None:
        self._context = context
        self._visits = visits
        self._consent = consent
        self._devices = context.deps.portal_logins.devices
        self._known_codes = SealedTexts(context.deps.vault, "portal-known-code")

    async def page(self, request: Request) -> Response:
        """``GET /portal/device``: asks for the code, then for consent."""
        refuse_prefetch(request)
        form = await read_form(request)
        typed = form.find("user_code")
        if typed is None:
            return self._ask_code(request)
        user_code = read_user_code(typed)
        is_known = self._is_known(request, form, user_code)
        if not is_known and not is_own_or_typed(request):
            return self._ask_code(request, user_code=user_code)
        try:
            asked = await self._find(request, user_code, is_known=is_known)
        except Throttling as error:
            return self._ask_code(request, words_of(error), status_of(error))
        if asked is None:
            return self._ask_code(request, _NO_CODE, _BAD)
        portal = await self._visits.find(request, asked.place)
        if portal is None:
            browsers = self._context.browsers
            browser = browsers.of(request)
            known = self._known_codes.seal(
                {"code": user_code, "browser": browser.owner},
                self._context.deps.clock.now() + DEVICE_LIFE,
            )
            here = f"{DEVICE}?{urlencode({'user_code': user_code, _KNOWN: known})}"
            response = await self._visits.to_sign_in(request, asked.place, here)
            browsers.remember(response, browser)
            return response
        return self._consent.show(
            request,
            portal,
            client=asked.client_name,
            origin="",
            action=DEVICE,
            fields={"user_code": user_code},
            device=asked,
            asked_at=datetime.fromtimestamp(asked.asked_at, UTC),
            is_elsewhere=asked.address != source_address(request),
            address=source_address(request),
        )

    async def answer(self, request: Request) -> Response:
        """``POST /portal/device``."""
        form = await read_form(request)
        # Before a wrong code counts: other pages could use up the address's attempts.
        require_same_origin(request, self._context.deps.public_origin)
        user_code = read_user_code(form.require("user_code"))
        asked = await self._find(request, user_code)
        if asked is None:
            return self._ask_code(request, _NO_CODE, _BAD)
        portal = await self._visits.find(request, asked.place)
        if portal is None:
            raise ValidationError(_GONE)
        self._context.require_csrf(request, form, portal.handle)
        is_allowed = form.find("answer") == "allow"
        await self._consent.record(
            request,
            portal,
            client=asked.client_name,
            address=asked.address,
            is_allowed=is_allowed,
        )
        handle = portal.handle if is_allowed else ""
        if not await self._devices.answer(user_code, handle):
            raise ValidationError(_NO_CODE)
        return self._context.pages.show(
            request, "portal_answered.html", allowed=is_allowed, place=asked.place
        )

    def _ask_code(
        self,
        request: Request,
        problem: str = "",
        status: int = _OK,
        *,
        user_code: str = "",
    ) -> Response:
        return self._context.pages.show(
            request,
            "portal_code.html",
            status,
            problem=problem,
            action=DEVICE,
            user_code=user_code,
        )

    def _is_known(self, request: Request, form: Form, user_code: str) -> bool:
        """Whether we found the code before, and sent this browser to sign in first."""
        opened = self._known_codes.find_opened(
            form.find(_KNOWN) or "", self._context.deps.clock.now()
        )
        browser = self._context.browsers.of(request)
        return opened == {"code": user_code, "browser": browser.owner}

    async def _find(
        self, request: Request, user_code: str, *, is_known: bool = False
    ) -> DeviceRequest | None:
        """The request of a code; a code that does not exist counts as a guess.

        Raises:
            Throttling: there were too many from this address.
        """
        if is_known:
            return await self._devices.find_by_user_code(user_code)
        limits = [limit_of_address(source_address(request), "user-code")]
        try:
            async with self._context.deps.attempts.one(limits, wrong=NoSuchEntity):
                code = await self._devices.find_by_user_code(user_code)
                if code is None:
                    raise NoSuchEntity(_NO_CODE)  # noqa: TRY301  # counted as wrong
                return code
        except NoSuchEntity:
            return None
