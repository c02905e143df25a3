"""What is told of a request."""

import json
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

BODY_BYTES_MAX = 1_000_000
"""Unless a middleware is given another bound."""

Headers = tuple[tuple[bytes, bytes], ...]


class AmbiguousRequest(Exception):
    """The server tells two things of one request."""


class TooLarge(Exception):
    """The body is longer than the bound."""


class Request(NamedTuple):
    """A request as it came over the wire; two that are equal mean the same.

    ``target`` is the raw path and the query, ``headers`` have names in lower case and
    ``source_ip`` is empty if it is not known.
    """

    method: str
    target: bytes
    headers: Headers
    body_sha256: str
    source_ip: str
    secure: bool

    def question(self) -> bytes:
        """The body of ``POST /decisions``."""
        told: dict[str, Any] = {
            "Method": self.method,
            "Target": self.target.decode("latin-1"),
            "Headers": [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in self.headers
            ],
            "BodySha256": self.body_sha256,
            "SourceIp": self.source_ip,
            "SecureTransport": self.secure,
        }
        return json.dumps({"Request": told}).encode("ascii")


def is_signed(headers: Iterable[tuple[bytes, bytes]], query: bytes) -> bool:
    """Whether a request claims to be signed; the others need no question."""
    return b"x-amz-" in query.lower() or any(
        name == b"authorization" for name, _ in headers
    )


def check_same_path(raw_path: bytes, path: bytes) -> None:
    """Refuse a request that is asked about by one path and served by another.

    Raises:
        AmbiguousRequest: the decoded path is not that of the raw one.
    """
    if unquote_to_bytes(raw_path) != path:
        raise AmbiguousRequest("The server changed the path of the request.")


def address(text: str) -> str:
    """An IP address, or nothing: a socket's file is none.

    The zone of a link-local address (``%eth0``) is the machine's own affair.
    """
    told = text.partition("%")[0]
    try:
        ip_address(told)
    except ValueError:
        return ""
    return told
