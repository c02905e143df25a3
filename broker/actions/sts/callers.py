"""Which kinds of credentials may call what.

Source: IAM User Guide, id_credentials_sts-comparison; recorded STS answers (REC-A).
"""

from broker.actions.action import Call
from broker.errors import AccessDenied
from broker.model.session import SessionKind

_CALLS_LITTLE = frozenset({SessionKind.FEDERATION_TOKEN, SessionKind.SESSION_TOKEN})


def refuse_sessions(call: Call, operation: str) -> None:
    """Refuse every temporary credential.

    Raises:
        AccessDenied: in AWS's words.
    """
    if call.caller.session is not None:
        raise AccessDenied(
            f"Cannot call {operation} with session credentials",
            detail="only long-term keys may call it",
        )


def refuse_user_sessions(call: Call, operation: str) -> None:
    """Refuse the credentials of ``GetSessionToken`` and ``GetFederationToken``.

    Raises:
        AccessDenied: it is one of the two.
    """
    session = call.caller.session
    if session is not None and session.kind in _CALLS_LITTLE:
        raise AccessDenied(
            f"Cannot call {operation} with {session.kind} credentials",
            detail="these sessions call little of STS",
        )
