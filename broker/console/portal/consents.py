"""Consent to a client: a program on this computer, or a device that shows a code.

Both pages say who will be acted as, who asks and from where, and both ask for a press
of a button: a link by itself lets nobody in.

Source: RFC 8252 7.3; RFC 8628 3.3 and 5.4; botocore's SSOTokenFetcherAuth.
"""

from datetime import UTC, datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.console.csrf import csrf_token, require_same_origin
from broker.console.forms import Form, read_form
from broker.console.login_requests import (
    GONE,
    LoginRequest,
    LoginRequests,
    check_challenge,
    check_code_flow,
)
from broker.console.portal.places import PORTAL
from broker.console.portal.sign_ins import PortalSignIns
from broker.console.portal.visits import PortalVisits
from broker.console.rendering import allow_redirect, see_other, status_of, words_of
from broker.console.request_info import is_own_or_typed, refuse_prefetch, source_address
from broker.errors import NoSuchEntity, Throttling, ValidationError
from broker.model.request import Door
from broker.proofs.attempts import limit_of_address
from broker.proofs.portal import PortalScheme
from broker.sessions.handles import SealedTexts
from broker.sessions.oauth import (
    AUTHORIZATION_CODE,
    DEVICE_LIFE,
    SCOPE,
    SCOPES,
    Code,
    DeviceRequest,
    OAuthClient,
    digest_of,
    read_user_code,
)
from broker.sessions.portal import OpenPortal

AUTHORIZE = "/authorize"
CONSENT = f"{PORTAL}/authorize"
DEVICE = f"{PORTAL}/device"
_KNOWN = "known"
_NO_CODE = "This code is not known, was answered already, or has expired."
_OK, _BAD = 200, 400


class Consents:
    """The pages, and what becomes of an answer."""

    def __init__(
        self, context: ConsoleContext, sign_ins: PortalSignIns, visits: PortalVisits
    ) -> None:
        deps = context.deps
        self._context = context
        self._sign_ins = sign_ins
        self._visits = visits
        self._clients = deps.portal_logins.clients
        self._grants = deps.portal_logins.grants
        self._devices = deps.portal_logins.devices
        self._requests = LoginRequests(
            deps, context.begin_limits, "broker-portal-client", "portal-client"
        )
        self._known_codes = SealedTexts(deps.vault, "portal-known-code")

    async def authorize(self, request: Request) -> Response:
        """``GET /authorize``: a client sends the browser here."""
        refuse_prefetch(request)
        asked = self._read(await read_form(request))
        return await self._requests.begin(request, asked, CONSENT)

    async def consent(self, request: Request) -> Response:
        """``GET /portal/authorize``."""
        refuse_prefetch(request)
        asked = await self._requests.require(request)
        portal = await self._visits.find(request, asked.place)
        if portal is None:
            return await self._visits.to_sign_in(request, asked.place, CONSENT)
        page = self._show(
            request,
            portal,
            client=asked.client_name,
            origin=asked.origin,
            action=CONSENT,
            fields={"challenge": asked.challenge},
            device=None,
        )
        allow_redirect(page, asked.origin)
        return page

    def _show(
        self, request: Request, portal: OpenPortal, **context: object
    ) -> Response:
        page = self._context.pages.show(
            request,
            "portal_consent.html",
            _OK,
            who=portal.resolved.caller.principal,
            name=portal.session.name,
            csrf=csrf_token(portal.handle),
            **context,
        )
        self._sign_ins.remember(request, page, portal)
        return page

    async def answer_client(self, request: Request) -> Response:
        """``POST /portal/authorize``."""
        form = await read_form(request)
        asked = await self._requests.require(request)
        portal = await self._require(request, form, asked.place)
        asked.check_shown(form)
        is_allowed = form.find("answer") == "allow"
        await self._record(
            request, portal, asked.client_name, is_allowed, source_address(request)
        )
        answer = {"error": "access_denied"}
        if is_allowed:
            code = await self._grants.create_code(
                Code(
                    client_id=asked.client_id,
                    redirect_uri=asked.redirect_uri,
                    challenge=asked.challenge,
                    session=portal.handle,
                ),
                self._now(),
            )
            answer = {"code": code}
        return await self._requests.finish(
            request, see_other(asked.answer_url(**answer))
        )

    async def device(self, request: Request) -> Response:
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
            asked = await self._find_device(request, user_code, is_known=is_known)
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
                self._now() + DEVICE_LIFE,
            )
            here = f"{DEVICE}?{urlencode({'user_code': user_code, _KNOWN: known})}"
            response = await self._visits.to_sign_in(request, asked.place, here)
            browsers.remember(response, browser)
            return response
        return self._show(
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

    async def answer_device(self, request: Request) -> Response:
        """``POST /portal/device``."""
        form = await read_form(request)
        # Before a wrong code counts: other pages could use up the address's attempts.
        require_same_origin(request, self._context.deps.public_origin)
        user_code = read_user_code(form.require("user_code"))
        asked = await self._find_device(request, user_code)
        if asked is None:
            return self._ask_code(request, _NO_CODE, _BAD)
        portal = await self._require(request, form, asked.place)
        is_allowed = form.find("answer") == "allow"
        await self._record(
            request, portal, asked.client_name, is_allowed, asked.address
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
        opened = self._known_codes.find_opened(form.find(_KNOWN) or "", self._now())
        browser = self._context.browsers.of(request)
        return opened == {"code": user_code, "browser": browser.owner}

    async def _find_device(
        self, request: Request, user_code: str, *, is_known: bool = False
    ) -> DeviceRequest | None:
        """The request of a code; codes that nobody has are counted as guesses.

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

    async def _require(self, request: Request, form: Form, place: str) -> OpenPortal:
        """The sign-in that the page was shown for.

        Raises:
            AccessDenied: the form is of another site or another sign-in.
        """
        portal = await self._visits.find(request, place)
        if portal is None:
            raise ValidationError(GONE)
        self._context.require_csrf(request, form, portal.handle)
        return portal

    async def _record(
        self,
        request: Request,
        portal: OpenPortal,
        client: str,
        is_allowed: bool,  # noqa: FBT001  # named by its only callers
        address: str,
    ) -> None:
        answer = "allow" if is_allowed else "deny"
        await self._context.perform(
            request,
            Door.PORTAL,
            ("sso-oauth", "Authorize"),
            PortalScheme(portal),
            lambda: {
                "SessionName": portal.session.name,
                "ClientName": client,
                "Answer": answer,
                "Address": address,
            },
        )

    def _read(self, form: Form) -> LoginRequest:
        """The parameters of ``/authorize``."""
        client_id = form.require("client_id")
        client = self._clients.find(client_id, self._now())
        if client is None or not client.may(AUTHORIZATION_CODE):
            raise ValidationError("There is no such client.")
        _check_request(form, client)
        redirect_uri, state = form.require("redirect_uri"), form.require("state")
        challenge = form.require("code_challenge").rstrip("=")
        check_challenge(challenge, state)
        return LoginRequest(
            client_id=digest_of(client_id),
            client_name=client.name,
            place=client.place,
            redirect_uri=redirect_uri,
            challenge=challenge,
            state=state,
        )

    def _now(self) -> datetime:
        return self._context.deps.clock.now()


def _check_request(form: Form, client: OAuthClient) -> None:
    if not client.accepts(form.require("redirect_uri")):
        raise ValidationError("The redirect_uri is not one of this client's.")
    check_code_flow(form)
    scopes = (form.find("scopes") or form.find("scope") or SCOPE).split()
    if not {SCOPES.get(name) for name in scopes} <= set(client.scopes or (SCOPE,)):
        raise ValidationError("The client did not register for these scopes.")
