"""Changing the user's own password."""

from starlette.responses import Response

from broker.console.security.own import HOME, OwnCredentials
from broker.console.visit import go
from broker.errors import BrokerError, ServiceUnavailable
from broker.identities.password_policy import requirements

_BAD_REQUEST = 400
_DIFFERENT = "The two new passwords do not match."


async def change_password(own: OwnCredentials) -> Response:
    """``/console/security/password``: the form; a POST changes the password."""
    problem, status = "", 200
    if own.visit.posted:
        try:
            await _change(own)
        except ServiceUnavailable:
            raise
        except BrokerError as error:
            problem, status = error.words, error.status
        except ValueError as error:
            problem, status = str(error), _BAD_REQUEST
        else:
            return go(HOME, done="password")
    session = own.visit.who.session
    account = await own.visit.frame.context.deps.fresh.find_account(session.account)
    return await own.show(
        "password.html",
        problem,
        status,
        requirements=requirements(account) if account else (),
    )


async def _change(own: OwnCredentials) -> None:
    # Not `visit.text`, which strips: white space is part of a password.
    old, new, again = (
        own.visit.form.find(name) or ""
        for name in ("old_password", "new_password", "new_password_again")
    )
    if new != again:
        raise ValueError(_DIFFERENT)
    await own.visit.iam("ChangePassword", OldPassword=old, NewPassword=new)
