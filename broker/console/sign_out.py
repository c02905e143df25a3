"""Signing out: the record is forgotten, the cookie cleared, the call audited."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from broker.actions.action import Door
from broker.console.console_session import SignedIn
from broker.console.desk import Desk
from broker.console.forms import read_form
from broker.console.pages import see_other
from broker.model.caller import Caller

SIGNED_OUT = "/signin/signed-out"
_ONWARD = ("/console", "/signin", "/federation")


class SignOut:
    """Ends console sessions at their owner's wish."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def post(self, request: Request) -> Response:
        """The console's own button."""
        form = await read_form(request)
        who = await self._desk.find_session(request)
        if isinstance(who, SignedIn):
            self._desk.require_csrf(request, form, who)
        return await self.leave(request, "")

    async def leave(self, request: Request, onward: str) -> Response:
        """End whatever session there is; go on to ``onward`` if that is allowed."""
        desk = self._desk
        who = await desk.find_session(request)
        cookie = desk.cookie.find(request)
        if isinstance(who, SignedIn):
            await self._record(request, who)
        if cookie is not None:
            await desk.sessions.close(cookie)
        login = None
        if who is not None and who.arrived.login:
            login = await desk.logins.end(who.arrived.login)
        target = desk.destinations.find_safe(onward, _ONWARD)
        if target is None:
            target = SIGNED_OUT
            if login is not None and login.can_end:
                target += f"?there={await desk.logins.offer_way_out(login)}"
        response = see_other(target)
        desk.cookie.clear(response)
        return response

    async def _record(self, request: Request, who: SignedIn) -> None:
        async def prove(_now: datetime) -> Caller:
            return who.caller

        await self._desk.perform(
            request, Door.CONSOLE, ("signin", "ConsoleLogout"), prove, dict
        )
        await self._desk.sessions.forget(who)
