"""Changing the user's own password."""

from starlette.responses import Response

from broker.console.security_credentials.own import HOME, OwnCredentials
from broker.console.visit import go
from broker.errors import ValidationError
from broker.kinds.password_policy import requirements
from broker.stores.directory.kinds import ACCOUNT


async def change_password(own: OwnCredentials) -> Response:
    """``/console/security/password``: the form; a POST changes the password."""
    if own.visit.posted:
        with own.visit.attempt():
            await _change(own)
            return go(HOME, done="password")
    session = own.visit.who.session
    account = await own.visit.frame.context.deps.fresh.find(ACCOUNT, session.account)
    return await own.show(
        "password.html", requirements=requirements(account) if account else ()
    )


async def _change(own: OwnCredentials) -> None:
    # Not `visit.text`, which strips: white space is part of a password.
    old, new, again = (
        own.visit.form.find(name) or ""
        for name in ("old_password", "new_password", "new_password_again")
    )
    if new != again:
        raise ValidationError("The two new passwords do not match.")
    await own.visit.iam("ChangePassword", OldPassword=old, NewPassword=new)
