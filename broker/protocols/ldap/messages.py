"""A server's messages one by one, and what each may cost to read.

The library that reads them makes an object of every element, and takes a time that is
quadratic in the length of a number: so both are counted first.

Source: RFC 4511, 4.1.1 and 5.1 (definite lengths only); X.690, 8.1.
"""

_MESSAGE_BYTES_MAX = 32_768
_CONTROLS_BYTES_MAX = 4096
"""Of what may follow an operation: a page's cookie, a password policy's error."""

_NUMBER_BYTES_MAX = 8
_SEQUENCE = 0x30
_CONTROLS = 0xA0
_NUMBERS = frozenset({0x02, 0x0A})
_CONSTRUCTED = 0x20
_LONG = 0x80
_LONG_TAG = 0x1F


class TooCostlyError(Exception):
    """A message is larger than what was asked for can be."""


def take_message(received: bytearray, elements_max: int) -> bytes | None:
    """Cut the first message from what was received; None if it is not whole yet.

    Raises:
        TooCostlyError: it is too long, or has more than ``elements_max`` elements.
        ValueError: it is no BER as LDAP uses it.
    """
    if received and received[0] != _SEQUENCE:
        raise ValueError("no LDAP message")
    try:
        start, length = _read_head(received, 0)
    except IndexError:
        return None
    if length > _MESSAGE_BYTES_MAX:
        raise TooCostlyError
    if len(received) < start + length:
        return None
    message = bytes(received[: start + length])
    del received[: start + length]
    _check_cost(message, elements_max)
    return message


def _read_head(data: bytes | bytearray, position: int) -> tuple[int, int]:
    """Where the element's content begins, and its length.

    The library refuses indefinite lengths.
    """
    length, position = data[position + 1], position + 2
    if length >= _LONG:
        count = length - _LONG
        data[position + count - 1]  # IndexError: it is not there yet
        length = int.from_bytes(data[position : position + count], "big")
        position += count
    return position, length


def _check_cost(message: bytes, elements_max: int) -> None:
    position, elements = 0, 0
    while position < len(message):
        elements += 1
        tag = message[position]
        if tag == _CONTROLS and len(message) - position > _CONTROLS_BYTES_MAX:
            raise TooCostlyError
        if tag & _LONG_TAG == _LONG_TAG:
            raise ValueError("a tag that LDAP does not have")
        try:
            position, length = _read_head(message, position)
        except IndexError as error:
            raise ValueError("an element that is cut") from error
        if tag & ~_CONSTRUCTED in _NUMBERS and length > _NUMBER_BYTES_MAX:
            raise TooCostlyError
        if not tag & _CONSTRUCTED:
            position += length
    if elements > elements_max:
        raise TooCostlyError
