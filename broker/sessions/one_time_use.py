"""Things valid once: used up by the mint they lead to, in the mint's transaction.

The cache may hold what such a thing stands for, never whether it was used: a cache
restored from an older copy would make it valid again. A failed mint uses nothing up.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from broker.sessions.issue import replay_key
from broker.stores.audit_rows import ReplayMark

_MARGIN = timedelta(hours=1)
"""Marks outlive what they mark by this much, so that clock skew cannot matter."""


class OneTimeUse(Struct, frozen=True, kw_only=True):
    """The single use of something that is invalid after ``until``."""

    key: bytes
    until: datetime

    def mark(self, mint_id: str) -> ReplayMark:
        """The mark of the mint that uses it up."""
        return ReplayMark(
            key=self.key, mint_id=mint_id, expires_at=self.until + _MARGIN
        )


def one_time_use(kind: str, *parts: str, until: datetime) -> OneTimeUse:
    """The use of a thing of this kind, identified by ``parts``."""
    return OneTimeUse(key=replay_key((kind, *parts)), until=until)
