"""The response to one call."""

from typing import Self

from msgspec import Struct

XML = b"text/xml"
"""The content type of XML answers, exactly as recorded (REC-A)."""

JSON = b"application/json"
"""The content type of JSON answers."""


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
