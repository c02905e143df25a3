"""One exchange of LDAP proves a password: a simple bind and its result.

Only what `PostgreSQL's method <https://www.postgresql.org/docs/current/auth-ldap.html>`_
sends is read: version 3, a simple bind, no controls. Everything else is refused.

Source: RFC 4511, sections 4.1.1, 4.2 and 5.1; X.690 for BER.
"""

from asyncio import StreamReader
from enum import IntEnum
from typing import NamedTuple

MESSAGE_BYTES_MAX = 20_000
"""A token for a database has up to 3,000; PostgreSQL passes on 65,530."""

_SEQUENCE, _INTEGER, _OCTETS = 0x30, 0x02, 0x04
_BIND, _SIMPLE = 0x60, 0x80
_LONG = 0x80
_LENGTH_OCTETS_MAX, _ID_OCTETS_MAX = 4, 4
_VERSION = b"\x03"


class ResultCode(IntEnum):
    """How a bind ended. Source: RFC 4511, appendix A."""

    SUCCESS = 0
    INVALID_CREDENTIALS = 49
    UNAVAILABLE = 52


class BindMalformed(Exception):
    """What was received is not a simple bind within the bounds."""


class SimpleBind(NamedTuple):
    """A name and the password that is to prove it; ``message_id`` is repeated."""

    message_id: bytes
    name: bytes
    password: bytes

    def __repr__(self) -> str:
        """Without the password."""
        return f"SimpleBind(name={self.name!r})"

    def result(self, code: ResultCode, text: str = "") -> bytes:
        """The answer; the text is for the client's log, at most 100 characters."""
        told = text[:100].encode("ascii", "replace")
        done = b"\x0a\x01" + bytes([code]) + _element(_OCTETS, b"")
        response = _element(0x61, done + _element(_OCTETS, told))
        return _element(_SEQUENCE, _element(_INTEGER, self.message_id) + response)


async def receive_bind(reader: StreamReader) -> SimpleBind:
    """Read one message, which must be a simple bind.

    Raises:
        BindMalformed: it is something else, or longer than `MESSAGE_BYTES_MAX`.
        IncompleteReadError: the client went away before.
    """
    tag, first = await reader.readexactly(2)
    if tag != _SEQUENCE:
        raise BindMalformed("no LDAP message")
    length = first
    if first >= _LONG:
        octets = _count_length_octets(first)
        length = int.from_bytes(await reader.readexactly(octets), "big")
    if length > MESSAGE_BYTES_MAX:
        raise BindMalformed(f"a message of {length} bytes")
    return _parse_message(await reader.readexactly(length))


def _parse_message(message: bytes) -> SimpleBind:
    message_id, rest = _take(message, _INTEGER)
    if not 1 <= len(message_id) <= _ID_OCTETS_MAX or message_id[0] >= _LONG:
        raise BindMalformed("a message without a number")
    bind, controls = _take(rest, _BIND)
    if controls:
        raise BindMalformed("controls")
    version, rest = _take(bind, _INTEGER)
    if version != _VERSION:
        raise BindMalformed("another version than 3")
    name, rest = _take(rest, _OCTETS)
    password, rest = _take(rest, _SIMPLE)
    if rest:
        raise BindMalformed("more than a bind")
    return SimpleBind(message_id, name, password)


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element, and what follows it."""
    start = 2
    if len(data) < start or data[0] != tag:
        raise BindMalformed(f"no element {tag:#x}")
    length = data[1]
    if length >= _LONG:
        start += _count_length_octets(length)
        length = int.from_bytes(data[2:start], "big")
    end = start + length
    if len(data) < end:
        raise BindMalformed("an element longer than its message")
    return data[start:end], data[end:]


def _count_length_octets(first: int) -> int:
    """How many octets the long form of a length has; none is the indefinite form."""
    octets = first - _LONG
    if not 1 <= octets <= _LENGTH_OCTETS_MAX:
        raise BindMalformed("a length without end")
    return octets


def _element(tag: int, content: bytes) -> bytes:
    """An element of less than 128 bytes."""
    return bytes([tag, len(content)]) + content
