"""What no longer counts although it has not expired."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from broker.model.account import AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One revocation: a single session, or a not-before mark.

    ``target`` is an access key id, or the unique id of an account, user, role or
    provider. For a single session ``not_before_ms`` is None; for the others every
    session of the target issued before that time (milliseconds) is refused. The
    revocation may be forgotten after ``expires_at``.
    """

    account: AccountId
    target: str
    not_before_ms: int | None
    expires_at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Revocations:
    """All revocations of an account, ready to look up."""

    access_key_ids: frozenset[str] = frozenset()
    not_before_ms: Mapping[str, int] = field(default_factory=dict)

    def cover(
        self, access_key_id: str, issued_at_ms: int, targets: tuple[str, ...]
    ) -> bool:
        """Whether a session with these origins is revoked."""
        if access_key_id in self.access_key_ids:
            return True
        marks = self.not_before_ms
        return any(issued_at_ms < marks.get(target, 0) for target in targets)
