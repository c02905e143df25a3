"""The response to one call."""

from dataclasses import field
from typing import Self

from broker.model.struct import struct

XML = b"text/xml"
"""The content type of XML answers, exactly as recorded (REC-A)."""

JSON = b"application/json"
"""The content type of JSON answers."""


@struct
class Answer:
    """An HTTP answer; the edge adds the headers that every answer has.

    ``headers`` have lower-case names. ``action`` (a known operation's name) and
    ``error_code`` (empty on success) are for the canonical log line.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = field(repr=False)
    action: str = ""
    error_code: str = ""

    @classmethod
    def redirect(cls, location: str) -> Self:
        """A 302 with an empty body."""
        return cls(
            status=302, headers=((b"location", location.encode("ascii")),), body=b""
        )
