"""Signing out: the browser's console session ends, durably and with an audit record."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import ConsoleSession
from broker.console.context import ConsoleContext
from broker.console.forms import read_form
from broker.console.provider_logins import ProviderLogin
from broker.console.rendering import see_other
from broker.model.request import Door

SIGNED_OUT = "/signin/signed-out"
_ONWARD = ("/console", "/signin", "/federation")
_OFFERED = timedelta(minutes=10)
"""For the user to go on to the provider's sign-out page."""


async def end_session(
    context: ConsoleContext, request: Request, who: ConsoleSession
) -> None:
    """End a session, the session it was switched from, and the login behind them.

    Raises:
        ServiceUnavailable: A store is unavailable; what has not ended yet goes on.
    """
    # What was made with other roles of it may go on though it has expired since.
    switched_at = datetime.fromtimestamp(who.session.issued_at_ms / 1000, UTC)
    original = await context.sessions.find_original(who, switched_at)
    if isinstance(original, ConsoleSession):
        await _end(context, request, original)
    await _end(context, request, who)
    if who.origin.login:
        await context.logins.forget(who.origin.login)
    await context.sessions.forget(who)


async def find_way_out(
    context: ConsoleContext, request: Request, handle: str
) -> ProviderLogin | None:
    """The login at whose provider the user may sign out as well.

    None in another browser than the one that signed out: it has the user's ID token.
    """
    value, browser = await context.ways_out.peek(handle)
    if value is None or not context.browsers.is_owner(request, browser.owner):
        return None
    return ProviderLogin(**value)


async def _end(context: ConsoleContext, request: Request, who: ConsoleSession) -> None:
    # The console changes things by POST only, but AWS's sign-out links are GETs.
    door = Door.CONSOLE if request.method == "POST" else Door.FEDERATION
    await context.perform(
        request,
        door,
        ("signin", "ConsoleLogout"),
        who.caller,
        lambda: {"Marks": who.end_marks, "ExpiresAt": who.session.expires_at},
    )


class SignOut:
    """Ends the browser's console session."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def post(self, request: Request) -> Response:
        """``POST /console/sign-out``."""
        form = await read_form(request)
        who = await self._context.find_session(request)
        if isinstance(who, ConsoleSession):
            self._context.require_csrf(request, form, who.cookie)
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
        if target is not None or login is None or not login.can_end:
            response: Response = see_other(target or SIGNED_OUT)
        else:
            browser = context.browsers.of(request)
            handle = await context.ways_out.put(browser, asdict(login), _OFFERED)
            response = context.browsers.redirect(
                browser, f"{SIGNED_OUT}?there={handle}"
            )
        context.cookie.clear(response)
        return response
