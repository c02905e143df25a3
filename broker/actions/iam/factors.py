"""Who may change the second factors of a user or the root."""

from broker.actions.action import Call
from broker.errors import AccessDenied
from broker.sessions.lineage import has_shown_mfa
from broker.stores.directory.kinds import MFA_DEVICE, PASSKEY

_NOT_SHOWN = (
    "To complete this action, please ensure that you are authenticated with an MFA"
    " device that is enabled for this user."
)


async def require_shown_factor(holder_id: str, call: Call) -> None:
    """Require a second factor of callers who change their own.

    The whole lineage of the call counts: a chain of sessions that began with the
    holder's key or password must have shown one of the holder's factors somewhere,
    whichever roles it passed through. Other callers need the permission alone, and
    adding the first factor needs none.

    Source: AWS security bulletin AWS-2023-001, which is about keys; the text was
    recorded.

    Raises:
        AccessDenied: none was shown, and the holder has one.
    """
    caller = call.caller
    if caller.session is not None:
        is_unshown = has_shown_mfa(caller.session, holder_id) is False
    else:
        is_unshown = caller.principal.unique_id == holder_id
    if is_unshown and (
        await call.directory.count(MFA_DEVICE, call.account, user_id=holder_id)
        or await call.directory.count(PASSKEY, call.account, user_id=holder_id)
    ):
        raise AccessDenied(_NOT_SHOWN)
