"""The canonical form of a request's path, query and headers, from its raw bytes.

Source: IAM User Guide, "Create a signed AWS API request", step 1. botocore's signer
and AWS's published test suite are the oracles.
"""

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from urllib.parse import quote_from_bytes, unquote_to_bytes

from broker.protocols.sigv4.errors import SignatureReason, SigV4Rejected

_PLAIN = re.compile(rb"[A-Za-z0-9\-._~]*")
_PLAIN_PATH = re.compile(rb"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9\-._~]+)+/?")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

Pair = tuple[bytes, bytes]


def canonical_path(raw_path: bytes) -> bytes:
    """The canonical URI: dot segments and empty segments removed, encoded once more.

    Every service but S3 signs the path as sent, encoded a second time.
    """
    if raw_path in (b"/", b""):
        return b"/"
    if _PLAIN_PATH.fullmatch(raw_path):
        return raw_path  # nothing to remove or encode
    kept: list[bytes] = []
    for segment in raw_path.split(b"/"):
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    last = b"/" if kept and raw_path.endswith(b"/") else b""
    path = b"/" + b"/".join(kept) + last
    return quote_from_bytes(path, safe="/~").encode("ascii")


def split_query(query: bytes) -> list[Pair]:
    """The query's names and values, decoded as a form: ``+`` and ``%20`` are a space.

    Raises:
        SigV4Rejected: an escape sequence is incomplete.
    """
    if not query:
        return []
    if _BROKEN_ESCAPE.search(query):
        raise SigV4Rejected(
            SignatureReason.MALFORMED_QUERY, "The query string contains a syntax error."
        )
    pairs: list[Pair] = []
    for piece in query.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            pairs.append((_decode(name), _decode(value)))
    return pairs


def canonical_query(pairs: Iterable[Pair]) -> bytes:
    """The pairs encoded again and sorted by encoded name, then by encoded value."""
    encoded = [(_encode(name), _encode(value)) for name, value in pairs]
    encoded.sort()
    return b"&".join([name + b"=" + value for name, value in encoded])


def canonical_headers(headers: Mapping[bytes, bytes], signed: Iterable[bytes]) -> bytes:
    """One line for each signed header; every name must be among ``headers``.

    Values are trimmed and inner runs of blanks are one space.
    """
    return b"".join(
        [name + b":" + b" ".join(headers[name].split()) + b"\n" for name in signed]
    )


def collect_headers(
    headers: tuple[Pair, ...],
) -> tuple[dict[bytes, bytes], AbstractSet[bytes]]:
    """Values by name, and the names that were sent more than once.

    Several values of one name are joined with commas in the order they came.
    """
    collected = dict(headers)
    if len(collected) == len(headers):
        return collected, frozenset()
    collected = {}
    repeated: set[bytes] = set()
    for name, value in headers:
        if name in collected:
            repeated.add(name)
            collected[name] = collected[name].strip() + b"," + value.strip()
        else:
            collected[name] = value
    return collected, repeated


def _decode(text: bytes) -> bytes:
    if b"+" in text:
        text = text.replace(b"+", b" ")
    return unquote_to_bytes(text) if b"%" in text else text


def _encode(text: bytes) -> bytes:
    if _PLAIN.fullmatch(text):
        return text
    return quote_from_bytes(text, safe="").encode("ascii")
