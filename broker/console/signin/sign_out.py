"""Signing out: the session's end is recorded and the cookie cleared."""

from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import ConsoleSession
from broker.console.context import ConsoleContext
from broker.console.end_session import end_session
from broker.console.forms import read_form
from broker.console.rendering import see_other

SIGNED_OUT = "/signin/signed-out"
_ONWARD = ("/console", "/signin", "/federation")


class SignOut:
    """Ends the browser's console session."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def post(self, request: Request) -> Response:
        """``POST /console/sign-out``."""
        form = await read_form(request)
        who = await self._context.find_session(request)
        if isinstance(who, ConsoleSession):
            self._context.require_csrf(request, form, who)
        return await self.leave(request, "")

    async def leave(self, request: Request, onward: str) -> Response:
        """End the session, if there is one, and redirect to ``onward`` if allowed.

        Raises:
            ServiceUnavailable: A store is unavailable; the session goes on.
        """
        context = self._context
        who = await context.find_session(request)
        cookie = context.cookie.find(request)
        login = None
        if who is not None and who.origin.login:
            login = await context.logins.find_one(who.origin.login)
        if isinstance(who, ConsoleSession):
            await end_session(context, request, who)
        elif cookie is not None:
            await context.sessions.close(cookie)
        target = context.destinations.find_safe(onward, _ONWARD)
        if target is None:
            target = SIGNED_OUT
            if login is not None and login.can_end:
                target += f"?there={await context.logins.offer_provider_logout(login)}"
        response = see_other(target)
        context.cookie.clear(response)
        return response
