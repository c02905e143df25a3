"""Names that AWS's own policies use and the catalogue of actions lacks, so they exist.

The catalogue is of another day than the policies that AWS manages. `reduce` writes the
names, and by a hash the policies that are longer than customers' may be.
"""

import gzip
import hashlib
import json
from functools import cache
from importlib.resources import files

NAMES_FILE_NAME = "managed_names.txt.gz"
"""One name a line, in lower case: an action as written, a condition key, a service with a
colon, and ``sha256:`` of a text."""

_DIGITS = 32


def is_managed_name(name: str) -> bool:
    """Whether a policy that AWS manages has it; of a service, with a colon at the end."""
    return name.lower() in _names()


def is_long_managed(document: object) -> bool:
    """Whether AWS manages this very policy, read from JSON, and it is a long one."""
    return hash_line(document) in _names()


def hash_line(document: object) -> str:
    """What stands in the file for a policy, however its text is laid out."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"


@cache
def _names() -> frozenset[str]:
    data = (files("broker.policy.catalogue") / NAMES_FILE_NAME).read_bytes()
    return frozenset(gzip.decompress(data).decode().splitlines())
