"""``SetFirstPassword``: a user chooses a password by a sign-in link.

The door proves the link, and so the user. Using up the link and setting the password
are one transaction, so that of two forms sent at once one is refused.
"""

from typing import TypedDict

from broker.actions.action import Action, Call, needs_nothing
from broker.errors import AccessDenied
from broker.kinds.accounts import require_account
from broker.kinds.login_profiles import (
    PreparedPassword,
    create_login_profile,
    prepare_password,
)
from broker.kinds.passwords import Passwords
from broker.kinds.sign_in_links import end_link, require_linked_user
from broker.stores.directory.accounts import update_account


class FirstPasswordRequest(TypedDict):
    """The link's token, and the password to set."""

    Link: str
    NewPassword: str


def first_password(passwords: Passwords) -> Action:
    """The handler."""

    async def prepare(given: FirstPasswordRequest, call: Call) -> PreparedPassword:
        account = await require_account(call.directory, call.account)
        user = await require_linked_user(
            call.directory, account, given["Link"], now=call.now
        )
        return await prepare_password(
            passwords, call.directory, account, user, given["NewPassword"]
        )

    return Action(
        service="signin",
        name="SetFirstPassword",
        needs=needs_nothing,
        prepare=prepare,
        handle=_set,
        writes=True,
        calls=10,
    )


async def _set(given: FirstPasswordRequest, call: Call) -> None:
    prepared = call.prepared
    if not isinstance(prepared, PreparedPassword):
        raise TypeError("the password was not prepared")
    account = await require_account(call.change, call.account)
    user = await require_linked_user(call.change, account, given["Link"], now=call.now)
    if user.user_id != call.caller.principal.unique_id:
        raise AccessDenied(detail="the link is another user's")
    call.record.add_resource(user.arn)
    await create_login_profile(
        call.change, prepared, reset_required=False, now=call.now
    )
    await update_account(call.change, end_link(account, user.user_id, now=call.now))
