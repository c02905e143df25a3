"""Source identity: set once, kept down the whole chain.

Source: reference 3.3.
"""

import re

from broker.errors import ValidationError
from broker.model.session import Session

_PATTERN = r"[\w+=,.@-]*"
_ALLOWED = re.compile(_PATTERN, re.ASCII)
_SHORTEST = 2
_LONGEST = 64


def require_source_identity(
    requested: str | None, calling: Session | None = None
) -> str | None:
    """The new session's source identity.

    ``requested`` comes from the call or the identity provider; what the calling
    session has stays, and may be passed again.

    Raises:
        ValidationError: bad length or alphabet, or another one is set already.
    """
    already = calling.source_identity if calling else None
    if requested is None:
        return already
    _require_form(requested)
    if already is not None and requested != already:
        raise ValidationError(
            "The source identity is already set for this assume role session"
        )
    return requested


def _require_form(text: str) -> None:
    if len(text) < _SHORTEST:
        broken = f"Member must have length greater than or equal to {_SHORTEST}"
    elif len(text) > _LONGEST:
        broken = f"Member must have length less than or equal to {_LONGEST}"
    elif not _ALLOWED.fullmatch(text):
        # The alphabet has no colon, so the reserved prefix aws: cannot occur.
        broken = f"Member must satisfy regular expression pattern: {_PATTERN}"
    else:
        return
    raise ValidationError(
        f"1 validation error detected: Value '{text[:_LONGEST]}' at 'sourceIdentity'"
        f" failed to satisfy constraint: {broken}"
    )
