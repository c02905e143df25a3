"""Source identity: set once, kept down the whole chain.

Source: IAM User Guide, id_credentials_temp_control-access_monitor; recorded answers
(REC-A).
"""

from broker.errors import ValidationError
from broker.model.session import Session


def require_source_identity(
    requested: str | None, calling: Session | None = None
) -> str | None:
    """The new session's source identity.

    ``requested`` is what the call asks for; what the calling session has stays, and
    may be passed again.

    Raises:
        ValidationError: another one is set already.
    """
    already = calling.source_identity if calling else None
    if requested is None:
        return already
    if already is not None and requested != already:
        raise ValidationError(
            "The source identity is already set for this assume role session"
        )
    return requested
