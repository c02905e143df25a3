"""The end of a console session at its owner's wish, for good and on record."""

from datetime import datetime

from starlette.requests import Request

from broker.console.console_session import SignedIn
from broker.console.desk import Desk
from broker.model.caller import Caller
from broker.model.request import Door


async def end_session(desk: Desk, request: Request, who: SignedIn) -> None:
    """End a session, the one that it was switched from, and the login behind them.

    Raises:
        ServiceUnavailable: a store is away; what was not ended goes on.
    """
    origin = await desk.sessions.find_origin(who, desk.deps.clock.now())
    if isinstance(origin, SignedIn):
        await _end(desk, request, origin)
    await _end(desk, request, who)
    if who.arrived.login:
        await desk.logins.forget(who.arrived.login)
    await desk.sessions.forget(who)


async def _end(desk: Desk, request: Request, who: SignedIn) -> None:
    async def prove(_now: datetime) -> Caller:
        return who.caller

    # The console takes changes by POST alone; links sign out, too, as AWS's do.
    door = Door.CONSOLE if request.method == "POST" else Door.FEDERATION
    await desk.perform(
        request,
        door,
        ("signin", "ConsoleLogout"),
        prove,
        lambda: {"Marks": who.end_marks, "ExpiresAt": who.session.expires_at},
    )
