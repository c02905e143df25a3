"""Identifiers, secrets and request ids, from the operating system's randomness."""

import base64
import io
import os
import time
from collections.abc import Callable
from struct import unpack

_ID_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_UNIQUE_ID_LENGTH = 17
_SHORT_ID_LENGTH = 16
_POOL_BYTES = 4096


class _Pool:
    """The system's randomness, drawn in blocks and handed out once.

    A system call for every id and salt was a third of a mint's time on a sandboxed
    kernel. A forked child draws blocks of its own.
    """

    def __init__(self) -> None:
        self._device = os.open("/dev/urandom", os.O_RDONLY | os.O_CLOEXEC)
        self._readers: list[io.BufferedReader] = []
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        # The one before is kept: its end would wait for a lock that, in a child, a
        # thread of the parent may hold.
        raw = io.FileIO(self._device, closefd=False)
        self._readers.append(io.BufferedReader(raw, _POOL_BYTES))
        self.take: Callable[[int], bytes] = self._readers[-1].read


_POOL = _Pool()


def random_bytes(count: int) -> bytes:
    """``count`` bytes fit for keys and salts."""
    return _POOL.take(count)


def new_unique_id(prefix: str) -> str:
    """An entity's unique id: a four-letter prefix and 17 characters."""
    return prefix + _random_text(_UNIQUE_ID_LENGTH)


def new_provider_id(prefix: str) -> str:
    """``SAMLSP`` / ``SAMLPK`` / ``OIDCP`` and 16 characters."""
    return prefix + _random_text(_SHORT_ID_LENGTH)


def new_instance_id() -> str:
    """``i-`` and 17 hexadecimal digits."""
    return f"i-{random_bits(68):017x}"


def random_bits(count: int) -> int:
    """A number of ``count`` random bits."""
    whole = (count + 7) // 8
    return int.from_bytes(_POOL.take(whole), "big") >> (whole * 8 - count)


def new_secret_access_key() -> str:
    """Forty characters that hold 30 random bytes."""
    return base64.b64encode(random_bytes(30)).decode("ascii")


def new_handle() -> str:
    """A 256-bit bearer handle in URL-safe text."""
    return base64.urlsafe_b64encode(random_bytes(32)).rstrip(b"=").decode("ascii")


def new_request_id() -> str:
    """A request id: a UUID that begins with the time (RFC 9562, version 7).

    It finds the audit record. Ids of one moment are adjacent in the database's index;
    random ones would make every record write its own page.
    """
    moment = time.time_ns() // 1_000_000
    start, rest = unpack(">HQ", _POOL.take(10))
    version, variant = 0x7000 | start & 0x0FFF, 0x8000 | rest >> 50
    date, tail = moment >> 16, rest & 0xFFFF_FFFF_FFFF
    return f"{date:08x}-{moment & 0xFFFF:04x}-{version:04x}-{variant:04x}-{tail:012x}"


def _random_text(length: int) -> str:
    # 32 characters: five bits of every byte choose one, all alike.
    return "".join(_ID_ALPHABET[byte & 31] for byte in random_bytes(length))
