"""``ConsoleLogout``: that someone signed out, for the record."""

from collections.abc import Mapping

from broker.actions.action import Action, Call, Given, needs_nothing


async def _console_logout(_given: Given, _call: Call) -> Mapping[str, str]:
    return {}


CONSOLE_LOGOUT = Action(
    service="signin",
    name="ConsoleLogout",
    needs=needs_nothing,
    handle=_console_logout,
    calls=0,
)
