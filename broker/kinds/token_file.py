"""Reading the list of serials and seeds that comes with hardware tokens.

One token a line: serial number, seed, and the seconds of its period if they are not
30, separated by commas or white space. A line that begins with ``#`` is passed over.
"""

import base64
import binascii
import re
from enum import StrEnum

from broker.errors import InvalidInput
from broker.model.names import fold_name
from broker.model.secret import Confidential, Hidden

_SERIAL = re.compile(r"[\w+=/:,.@-]{9,256}", re.ASCII)
"""Source: IAM's model, ``serialNumberType``."""

_SEED_BYTES_MIN = 16
_SEED_BYTES_MAX = 128
_PERIOD = re.compile(r"[0-9]{2,3}")
_PERIODS = range(10, 301)
_BASE32_BLOCK = 8
_USUAL_PERIOD = 30


class SeedEncoding(StrEnum):
    """How seeds are written."""

    HEX = "hex"
    BASE32 = "base32"


class Token(Confidential, frozen=True):
    """One hardware token."""

    serial: str
    seed: Hidden[bytes]
    period_seconds: int = _USUAL_PERIOD


def parse_tokens(text: str, encoding: SeedEncoding) -> list[Token]:
    """The tokens of a list.

    Raises:
        InvalidInput: a line is none; the message names its number, never its seed.
    """
    tokens = []
    serials: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            token = _parse_token(line, encoding)
        except ValueError as error:
            # Without the cause: its text may hold the seed.
            raise InvalidInput(f"Line {number} is not a token: {error}.") from None
        if fold_name(token.serial) in serials:
            raise InvalidInput(
                f"Line {number} is not a token: the serial number comes twice."
            )
        serials.add(fold_name(token.serial))
        tokens.append(token)
    return tokens


def _parse_token(line: str, encoding: SeedEncoding) -> Token:
    serial, *rest = re.split(r"[,\s]+", line.strip())
    if not _SERIAL.fullmatch(serial) or serial.startswith("arn:"):
        raise ValueError("the serial number has 9 to 256 letters, digits or signs")
    if not 1 <= len(rest) <= 2:  # noqa: PLR2004  # a seed, and perhaps a period
        raise ValueError("write a serial number, a seed and perhaps a period")
    seed = _parse_seed(rest[0], encoding)
    if not _SEED_BYTES_MIN <= len(seed) <= _SEED_BYTES_MAX:
        raise ValueError(f"the seed has less than {_SEED_BYTES_MIN} bytes, or too many")
    period = rest[1] if len(rest) > 1 else str(_USUAL_PERIOD)
    if not _PERIOD.fullmatch(period) or int(period) not in _PERIODS:
        raise ValueError("the period is 10 to 300 seconds")
    return Token(serial, seed, int(period))


def _parse_seed(text: str, encoding: SeedEncoding) -> bytes:
    try:
        if encoding is SeedEncoding.HEX:
            return bytes.fromhex(text)
        padding = "=" * (-len(text) % _BASE32_BLOCK)
        return base64.b32decode(text.upper() + padding)
    except (binascii.Error, ValueError):
        raise ValueError(f"the seed is not {encoding}") from None
