"""A role session's name for someone whose identity provider names none."""

import re

_FOREIGN = re.compile(r"[^a-zA-Z_0-9+=,.@-]+", re.ASCII)
_SHORTEST, _LONGEST = 2, 64


def find_session_name(*candidates: str) -> str | None:
    """The first candidate that can be one, its foreign characters made hyphens."""
    for candidate in candidates:
        name = _FOREIGN.sub("-", candidate).strip("-")[:_LONGEST]
        if len(name) >= _SHORTEST:
            return name
    return None
