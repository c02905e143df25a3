"""Which changes a database has, by number and mark, and which it lost.

After a failover to a replica that was behind, or a restore, a database lacks its newest
changes and gives their numbers to others. So a change is known by a random mark as well:
a database that lacks a change which was seen in it is on another *timeline*, and nothing
that was read before counts any more. What forgets it is ``freshness``.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import select

from broker.model.account import AccountId
from broker.runtime.entropy import random_bytes
from broker.stores.directory.statements import Reads
from broker.stores.schema import CHANGES
from broker.stores.times import from_micros, to_micros

CHANGES_KEPT = 256
"""Of an account, at least: more than are made between two polls."""

_MARK_BYTES = 7
_UNMARKED = 0


TIMELINES: Final = AccountId("")
"""No account: its changes are the changes of timeline, so that every worker learns of each."""


class ChangeId(NamedTuple):
    """One change of an account."""

    generation: int
    mark: int


NEVER: Final = ChangeId(0, 0)
"""The last change of an account that never was."""


def new_mark() -> int:
    """A mark that no other change has."""
    return int.from_bytes(random_bytes(_MARK_BYTES)) + 1


def describe_timeline(at: datetime) -> str:
    """What is listed of a change of ``TIMELINES``: when it was noticed."""
    return json.dumps({"at": to_micros(at)})


async def find_last_timeline(directory: Reads) -> tuple[int, datetime] | None:
    """How often the database went back, as far as it says itself, and when it last did."""
    row = await directory.find_row(
        select(CHANGES)
        .where(CHANGES.c.account == TIMELINES)
        .order_by(CHANGES.c.generation.desc())
        .limit(1)
    )
    if row is None:
        return None
    return row.generation, from_micros(json.loads(row.rows)["at"])


def is_lost(known: ChangeId, last: ChangeId, listed: Iterable[ChangeId]) -> bool:
    """Whether an account whose last change is ``last`` lacks one that is known.

    ``listed`` are the changes from the known one on that are still listed. A change that
    an earlier version made is listed without its mark.
    """
    if known in {last, NEVER}:
        return False
    if last.generation <= known.generation:
        return True
    for change in listed:
        if change.generation == known.generation:
            return change.mark not in {known.mark, _UNMARKED}
    return last.generation - known.generation < CHANGES_KEPT
