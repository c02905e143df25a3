"""Ending a console session on sign-out, durably and with an audit record."""

from datetime import datetime

from starlette.requests import Request

from broker.console.console_session import ConsoleSession
from broker.console.context import ConsoleContext
from broker.model.caller import Caller
from broker.model.request import Door


async def end_session(
    context: ConsoleContext, request: Request, who: ConsoleSession
) -> None:
    """End a session, the session it was switched from, and the login behind them.

    Raises:
        ServiceUnavailable: A store is unavailable; what has not ended yet goes on.
    """
    original = await context.sessions.find_original(who, context.deps.clock.now())
    if isinstance(original, ConsoleSession):
        await _end(context, request, original)
    await _end(context, request, who)
    if who.origin.login:
        await context.logins.forget(who.origin.login)
    await context.sessions.forget(who)


async def _end(context: ConsoleContext, request: Request, who: ConsoleSession) -> None:
    async def prove(_now: datetime) -> Caller:
        return who.caller

    # The console changes things by POST only, but AWS's sign-out links are GETs.
    door = Door.CONSOLE if request.method == "POST" else Door.FEDERATION
    await context.perform(
        request,
        door,
        ("signin", "ConsoleLogout"),
        prove,
        lambda: {"Marks": who.end_marks, "ExpiresAt": who.session.expires_at},
    )
