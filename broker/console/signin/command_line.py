"""``/v1/authorize`` and ``/console/login``: the user allows or denies a terminal login.

The terminal gets the session's current role. The page says which role that is, and
links to signing in with another one.

Source: botocore's signin model.
"""

import base64
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from broker.console.console_session import ConsoleSession
from broker.console.context import HOME, LOGIN, SIGN_IN, ConsoleContext
from broker.console.csrf import csrf_token
from broker.console.forms import read_form
from broker.console.login_requests import LoginRequest, read_login_request
from broker.console.provider_logins import account_of_provider, login_end_mark
from broker.console.rendering import allow_redirect, see_other
from broker.console.request_info import refuse_prefetch, source_address
from broker.model.request import Door
from broker.model.secret import Secret

AUTHORIZE = "/v1/authorize"
_NO_LONGER_HERE = 410
_PUSH_REMOVED = (
    "`broker login` has been removed. Use `aws sso login`, or `aws login --remote`."
)


class CommandLine:
    """The browser's side of a command-line login."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._requests = context.login_requests

    async def push(self, _request: Request) -> Response:
        """``POST /v1/authorize``: an earlier version's ``broker login`` shows the message."""
        return JSONResponse({"message": _PUSH_REMOVED}, _NO_LONGER_HERE)

    async def authorize(self, request: Request) -> Response:
        """``GET /v1/authorize``: the browser opens the request."""
        refuse_prefetch(request)
        form = await read_form(request)
        asked = read_login_request(form, self._context.deps.public_origin)
        return await self._requests.begin(request, asked, LOGIN)

    async def page(self, request: Request) -> Response:
        """``GET /console/login``: the consent page; without a session, sign-in first."""
        login_request = await self._requests.require(request)
        who = await self._context.find_session(request)
        if not isinstance(who, ConsoleSession):
            return see_other(SIGN_IN)
        page = self._context.pages.show(
            request,
            "login.html",
            principal=who.principal,
            login_request=login_request,
            address=source_address(request),
            csrf=csrf_token(who.cookie),
        )
        if login_request.on_this_device:
            allow_redirect(page, login_request.origin)
        return page

    async def answer(self, request: Request) -> Response:
        """``POST /console/login``: allow or deny."""
        form = await read_form(request)
        who = await self._context.find_session(request)
        if not isinstance(who, ConsoleSession):
            return see_other(LOGIN)
        self._context.require_csrf(request, form, who.cookie)
        asked = await self._requests.require(request)
        asked.check_shown(form)
        if form.find("answer") != "allow":
            answer = HOME
            if asked.on_this_device:
                answer = asked.answer_url(error="access_denied")
            return await self._requests.finish(request, see_other(answer))
        code = await self._authorize(request, who, asked)
        return await self._requests.finish(
            request,
            see_other(asked.answer_url(code=code))
            if asked.on_this_device
            else self._show_code(request, asked, code),
        )

    async def _authorize(
        self, request: Request, who: ConsoleSession, login_request: LoginRequest
    ) -> str:
        token = await self._context.sessions.find_token(who.cookie)
        end_marks = who.sign_out_marks
        login = who.origin.login
        if known := await self._context.logins.find_one(login) if login else None:
            home = account_of_provider(known.provider_arn)
            end_marks += ((home, login_end_mark(login)),)
        result = await self._context.perform(
            request,
            Door.CONSOLE,
            ("signin", "AuthorizeOAuth2Access"),
            who.caller,
            lambda: {
                "ClientId": login_request.client_id,
                "RedirectUri": login_request.redirect_uri,
                "CodeChallenge": login_request.challenge,
                "SessionToken": Secret(token),
                "EndMarks": end_marks,
            },
        )
        return str(result["Code"])

    def _show_code(
        self, request: Request, login_request: LoginRequest, code: str
    ) -> Response:
        # The format that `aws login --remote` reads: both values, in base64.
        text = urlencode({"state": login_request.state, "code": code})
        return self._context.pages.show(
            request,
            "login_code.html",
            code=base64.b64encode(text.encode("ascii")).decode("ascii"),
        )
