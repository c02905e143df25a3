"""Live sessions in the order of what was made from what."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from broker.stores.cache.port import SessionRecord

DEPTH_MAX = 4
"""Steps that a list indents."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A session below the one that it was made from, if that one is listed, too."""

    record: SessionRecord
    depth: int
    parent: SessionRecord | None


def grow(records: Sequence[SessionRecord]) -> list[Branch]:
    """The sessions as branches: each directly after what it was made from.

    Sessions that were made from none of the others come newest first, and so do those
    made from the same one.
    """
    by_label = {_label(record): record for record in records}
    below: dict[str, list[SessionRecord]] = defaultdict(list)
    roots: list[SessionRecord] = []
    for record in sorted(records, key=lambda one: -one.issued_at_ms):
        parent = _parent(record, by_label)
        if parent is None:
            roots.append(record)
        else:
            below[_label(parent)].append(record)
    found: list[Branch] = []
    # Not by recursion: a chain may be as long as an attacker has patience.
    waiting = [Branch(record, 0, None) for record in reversed(roots)]
    while waiting:
        branch = waiting.pop()
        found.append(branch)
        children = below.pop(_label(branch.record), ())
        depth = min(branch.depth + 1, DEPTH_MAX)
        waiting += (Branch(one, depth, branch.record) for one in reversed(children))
    return found


def made_from(
    chosen: Iterable[SessionRecord], records: Iterable[SessionRecord]
) -> list[SessionRecord]:
    """The sessions that were made from the chosen ones, at whatever remove."""
    labels = {_label(record) for record in chosen}
    return [
        record
        for record in records
        if _label(record) not in labels
        and any(one.label in labels for one in record.lineage.ancestors)
    ]


def _parent(
    record: SessionRecord, by_label: dict[str, SessionRecord]
) -> SessionRecord | None:
    for one in reversed(record.lineage.ancestors):
        parent = by_label.get(one.label)
        if parent is not None and parent is not record:
            return parent
    return None


def _label(record: SessionRecord) -> str:
    return record.mint_id or record.access_key_id
