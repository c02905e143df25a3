"""``GetConsoleCredentials``: the console session's credentials, for a terminal."""

from collections.abc import Mapping
from typing import Any

from broker.actions.action import Action, Call, needs_nothing
from broker.actions.signin.derived_mint import DerivedMinter, require_session
from broker.actions.sts.roles import credentials_shape
from broker.model.request import Given
from broker.sessions.limits import HOUR_SECONDS


def get_console_credentials(minter: DerivedMinter) -> Action:
    """The action, given what it works with."""

    async def handle(_given: Given, call: Call) -> Mapping[str, Any]:
        # At most an hour, never beyond the console session, and counted as chained:
        # they must not open a longer console session.
        ends_at = min(
            require_session(call).expires_at,
            int(call.now.timestamp()) + HOUR_SECONDS,
        )
        minted = await minter.mint(call, ends_at=ends_at, counts_as_chained=True)
        return {"Credentials": credentials_shape(minted.credentials)}

    return Action(
        service="signin",
        name="GetConsoleCredentials",
        needs=needs_nothing,
        handle=handle,
    )
