"""Counters of calls per second, shared by the workers of one machine.

A small memory-mapped file of slots, without locks or syncs. Two workers that count at
the same instant may lose a call, which a rate limit tolerates; a commit per call would
be too slow.
"""

import hashlib
import mmap
import os
import struct
from pathlib import Path

_SLOT = struct.Struct("<IIQ")  # the second, calls in it, key
_SLOTS = 8192
_PROBES = 8


class SharedRates:
    """Counts calls per key and second."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, _SLOT.size * _SLOTS)
            self._map = mmap.mmap(descriptor, _SLOT.size * _SLOTS)
        finally:
            os.close(descriptor)

    def count(self, space: str, key: bytes, second: int, amount: int = 1) -> int:
        """Count one or more calls.

        Returns the total for this key in this second. When every slot of the key is in
        use by others (thousands of keys in one second) the call is not counted.
        """
        digest = hashlib.blake2b(space.encode() + b"\0" + key, digest_size=12).digest()
        first = int.from_bytes(digest[:4], "little")
        owner = int.from_bytes(digest[4:], "little")
        for probe in range(_PROBES):
            offset = (first + probe) % _SLOTS * _SLOT.size
            then: int
            calls: int
            then, calls, whose = _SLOT.unpack_from(self._map, offset)
            if then != second:
                calls, whose = 0, owner
            if whose == owner:
                _SLOT.pack_into(self._map, offset, second, calls + amount, owner)
                return calls + amount
        return amount

    def close(self) -> None:
        """Unmap the file; it stays for the other workers."""
        self._map.close()
