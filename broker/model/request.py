"""A request for an action as it came over the wire, and the answer to it."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from msgspec import Struct

from broker.errors import BrokerError

Params = Mapping[str, Any]
"""An operation's input, read and validated from its model's shape."""


CodeOf = Callable[[BrokerError], str]
"""A protocol's code of an error."""


XML = b"text/xml"
"""The content type of XML answers, exactly as recorded (REC-A)."""


JSON = b"application/json"
"""The content type of JSON answers."""


class RawRequest(Struct, kw_only=True):
    """One HTTP request: exact bytes, header order kept, nothing decoded.

    Header names are lower-case. ``source_ip`` and ``secure`` are what the edge
    found out about the client, trusted proxies already taken into account; None if it
    is not known.
    ``body_sha256`` is the body's hash in hexadecimal, where it was computed ahead,
    and ``named`` what `name_headers` made of these headers, where it did.
    """

    method: str
    raw_path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    source_ip: str
    secure: bool | None
    body_sha256: str | None = None
    named: Mapping[bytes, bytes] | None = None

    def __post_init__(self) -> None:
        self.named = None  # a copy may have other headers

    @property
    def target(self) -> bytes:
        """Path and query, as in the request line."""
        return self.raw_path + b"?" + self.query if self.query else self.raw_path

    def find_header(self, name: bytes) -> str | None:
        """A header's value (lower-case name), as Latin-1; None without it."""
        named = self.named
        if named is None:
            named = self.named = name_headers(self.headers)
        match = named.get(name)
        return None if match is None else match.decode("latin-1")


def name_headers(headers: Collection[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Headers by name.

    Several of one name are one value with commas, as in what is signed: who looks at
    one of them would let the others pass.
    """
    named = dict(headers)
    if len(named) == len(headers):
        return named
    all_of: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        all_of.setdefault(name, []).append(value)
    return {name: b",".join(values) for name, values in all_of.items()}


class Door(StrEnum):
    """Where a call came in."""

    API = "api"
    SAML = "saml"
    FEDERATION = "federation"
    SIGN_IN = "signin"
    CONSOLE = "console"
    DECISIONS = "decisions"
    PORTAL = "portal"
    SCIM = "scim"


class RequestContext(Struct, frozen=True, kw_only=True):
    """What is known of every request, whatever it asks for.

    ``request_id`` is also the audit record's id; ``now`` is the one that the whole
    call uses. ``region`` is where a call is made whose proof names no region, and
    ``at_global_endpoint`` says that it was sent to the endpoint of all regions.
    ``code_of`` is what the client gets for an error, if its protocol has other codes.
    ``has_left`` tells whether the client went away, where that ends the work.
    """

    request_id: str
    raw: RawRequest
    door: Door
    now: datetime
    region: str
    at_global_endpoint: bool = False
    code_of: CodeOf | None = None
    has_left: Callable[[], bool] | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """An HTTP answer; the edge adds the headers that every answer has.

    ``headers`` have lower-case names. ``action`` (a known operation's name) and
    ``error_code`` (empty on success) are for the canonical log line.
    """

    __repr__ = object.__repr__

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    action: str = ""
    error_code: str = ""

    @classmethod
    def redirect(cls, location: str) -> Self:
        """A 302 with an empty body."""
        return cls(
            status=302, headers=((b"location", location.encode("ascii")),), body=b""
        )
