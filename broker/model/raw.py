"""A request exactly as it came over the wire, the way SigV4 needs it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class RawRequest:
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
    named: Mapping[bytes, bytes] | None = field(
        init=False, default=None, repr=False, compare=False
    )

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
