"""How long a session may last. Seconds throughout.

Source: botocore's STS model; recorded answers (REC-A, REC-S saml_aws).
"""

from datetime import datetime

from msgspec import Struct

from broker.errors import ExpiredFederationToken, ValidationError
from broker.model.session import SessionKind

HOUR_SECONDS = 3600

_ROOT_CAPPED = frozenset(
    {SessionKind.FEDERATION_TOKEN, SessionKind.SESSION_TOKEN, SessionKind.CONSOLE}
)


class _Range(Struct, frozen=True):
    least: int
    default: int
    most: int


_ROLE = _Range(900, HOUR_SECONDS, 43_200)
_USER = _Range(900, 43_200, 129_600)
_TASK = _Range(0, 900, 900)
_PASSWORD = _Range(900, 43_200, 43_200)
_RANGES = {
    SessionKind.ASSUME_ROLE: _ROLE,
    SessionKind.SAML: _ROLE,
    SessionKind.WEB_IDENTITY: _ROLE,
    SessionKind.LDAP: _ROLE,
    SessionKind.FEDERATION_TOKEN: _USER,
    SessionKind.SESSION_TOKEN: _USER,
    SessionKind.ROOT_TASK: _TASK,
    SessionKind.CONSOLE: _PASSWORD,
}


def session_duration(
    kind: SessionKind,
    requested: int | None,
    *,
    now: datetime,
    role_max: int = HOUR_SECONDS,
    chained: bool = False,
    is_root: bool = False,
    saml_duration: int | None = None,
    session_ends_at: datetime | None = None,
) -> int:
    """The session's life in seconds.

    ``role_max`` is the role's ``MaxSessionDuration`` (role kinds only). ``chained``
    says that a role session asks. ``saml_duration`` is the assertion's
    ``SessionDuration``, which shortens the default and never lengthens it, and counts
    only when the call asks for nothing. ``session_ends_at`` (``SessionNotOnOrAfter``)
    caps whatever was asked, below 900 seconds too.

    Raises:
        ValidationError: in AWS's order: the operation's range, the role's maximum,
            the hour of a chained role.
        ExpiredFederationToken: ``session_ends_at`` is past.
    """
    limits = _RANGES[kind]
    if requested is not None:
        _require_range(requested, limits)
    capped_root = is_root and kind in _ROOT_CAPPED
    seconds = limits.default if requested is None else requested
    if capped_root:
        seconds = min(seconds, HOUR_SECONDS)
    if requested is None and saml_duration is not None:
        seconds = min(seconds, saml_duration)
    if kind.is_role:
        if seconds > role_max:
            raise ValidationError(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
            )
        if chained and seconds > HOUR_SECONDS:
            raise ValidationError(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
            )
    if session_ends_at is None:
        return seconds
    return _capped(seconds, now, session_ends_at)


def console_duration(
    requested: int | None,
    *,
    now: datetime,
    role_max: int,
    session_ends_at: datetime | None = None,
) -> int:
    """The life of a console session that a SAML assertion opens, in seconds.

    ``requested`` is the assertion's ``SessionDuration``. Stricter than AWS, the
    role's maximum caps the console session as well.

    Raises:
        ValidationError: outside 900 to 43,200.
        ExpiredFederationToken: ``session_ends_at`` is past.
    """
    if requested is not None:
        _require_range(requested, _ROLE)
    seconds = min(_ROLE.default if requested is None else requested, role_max)
    return _capped(seconds, now, session_ends_at)


def _require_range(requested: int, limits: _Range) -> None:
    if requested < limits.least:
        bound = f"greater than or equal to {limits.least}"
    elif requested > limits.most:
        bound = f"less than or equal to {limits.most}"
    else:
        return
    raise ValidationError(
        f"1 validation error detected: Value '{requested}' at 'durationSeconds'"
        f" failed to satisfy constraint: Member must have value {bound}"
    )


def _capped(seconds: int, now: datetime, ends_at: datetime | None) -> int:
    if ends_at is None:
        return seconds
    left = int((ends_at - now).total_seconds())
    if left <= 0:
        raise ExpiredFederationToken("Response has expired")
    return min(seconds, left)
