"""Patterns of a token's subject that also match the names of others.

A subject puts names together: ``repo:OWNER/REPOSITORY:ref:REF``, since July 2026 with
ids (``repo:OWNER@ID/REPOSITORY@ID:…``). A ``*`` that does not begin a part stands for
the rest of a name as well, so that ``repo:example*/shop*:…`` lets in the repository
``shopping`` of the owner ``examples``. What follows the repository is its owner's to name.
"""

from collections.abc import Iterator
from typing import Final

from broker.policy.document import Effect, Statement

LOOSE_SUBJECT: Final = (
    "the * in {pattern} stands for the rest of a name, and lets in others whose names"
    " begin alike; write the name out, and let a * follow only a / or :"
)
"""To be formatted with a ``pattern``."""

_ENDS_OF_PARTS = ("/", "@", ":")
_REPOSITORY = "repo:"
_PATTERN_OPERATOR = "stringlike"


def find_loose_subjects(statement: Statement) -> Iterator[str]:
    """The patterns of an Allow's conditions on a subject that match more than a part."""
    if statement.effect is Effect.DENY:
        return
    for condition in statement.conditions:
        operator = (
            condition.operator.lower().rpartition(":")[2].removesuffix("ifexists")
        )
        if operator == _PATTERN_OPERATOR and condition.key.lower().endswith(":sub"):
            yield from filter(_is_loose, condition.values)


def _is_loose(pattern: str) -> bool:
    if pattern.startswith(_REPOSITORY):
        pattern = ":".join(pattern.split(":", 2)[:2])
    return any(
        character == "*" and not pattern[:index].endswith(_ENDS_OF_PARTS)
        for index, character in enumerate(pattern)
    )
