"""Chooses a role session's name when the identity provider gives none.

No two people share a name: a name that was changed, or that may not be unique, ends
with a digest of issuer and subject.
"""

import re

from broker.model.lineage import subject_digest

_FOREIGN = re.compile(r"[^a-zA-Z_0-9+,.@-]+", re.ASCII)
_WHOLE = re.compile(r"[a-zA-Z_0-9+=,.@-]{2,64}", re.ASCII)
_LONGEST = 64
_DIGEST_LENGTH = 12
_MARKED = re.compile(rf"=[A-Za-z0-9_-]{{{_DIGEST_LENGTH}}}\Z", re.ASCII)


def shorten(name: str, most: int) -> str:
    """A session name of at most so many characters, which no other name gets."""
    if len(name) <= most:
        return name
    digest = subject_digest("", name)[:_DIGEST_LENGTH]
    return f"{name[: most - 1 - _DIGEST_LENGTH]}={digest}"


def session_name(
    preferred: str, *, issuer: str, subject: str, is_unique: bool = True
) -> str:
    """The valid session name closest to ``preferred``, unique to this subject.

    ``is_unique`` says that no other subject of this issuer has the name. A name that
    looks as if it had a digest gets one, too; otherwise it could be chosen to equal
    another subject's.
    """
    if is_unique and _WHOLE.fullmatch(preferred) and not _MARKED.search(preferred):
        return preferred
    digest = subject_digest(issuer, subject)[:_DIGEST_LENGTH]
    kept = _FOREIGN.sub("-", preferred).strip("-")[: _LONGEST - 1 - _DIGEST_LENGTH]
    return f"{kept}={digest}"
