"""Signing out: the end is marked and on record, the cookie cleared."""

from starlette.requests import Request
from starlette.responses import Response

from broker.console.console_session import SignedIn
from broker.console.desk import Desk
from broker.console.forms import read_form
from broker.console.leaving import end_session
from broker.console.pages import see_other

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
        """End whatever session there is; go on to ``onward`` if that is allowed.

        Raises:
            ServiceUnavailable: a store is away; nobody was signed out for good.
        """
        desk = self._desk
        who = await desk.find_session(request)
        cookie = desk.cookie.find(request)
        login = None
        if who is not None and who.arrived.login:
            login = await desk.logins.find_one(who.arrived.login)
        if isinstance(who, SignedIn):
            await end_session(desk, request, who)
        elif cookie is not None:
            await desk.sessions.close(cookie)
        target = desk.destinations.find_safe(onward, _ONWARD)
        if target is None:
            target = SIGNED_OUT
            if login is not None and login.can_end:
                target += f"?there={await desk.logins.offer_way_out(login)}"
        response = see_other(target)
        desk.cookie.clear(response)
        return response
