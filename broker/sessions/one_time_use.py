"""What is good once: used up by the mint that it leads to, in the mint's transaction.

The cache may hold what such a thing stands for, but never whether it was used: a cache
that comes back older would bring it back. A mint that fails leaves it good.
"""

from datetime import datetime, timedelta

from broker.model.struct import struct
from broker.sessions.issue import replay_key
from broker.stores.ledger.port import ReplayMark

_MARGIN = timedelta(hours=1)
"""A mark outlives what it marks, whatever the clocks say."""


@struct
class OneTimeUse:
    """One use of something that opens nothing after ``until``."""

    key: bytes
    until: datetime

    def mark(self, mint_id: str) -> ReplayMark:
        """The mark of the mint that uses it up."""
        return ReplayMark(
            key=self.key, mint_id=mint_id, expires_at=self.until + _MARGIN
        )


def one_time_use(kind: str, *parts: str, until: datetime) -> OneTimeUse:
    """The use of a thing of this kind that ``parts`` tell from all others."""
    return OneTimeUse(key=replay_key((kind, *parts)), until=until)
