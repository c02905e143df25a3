"""Makes the C library's allocator return memory.

glibc keeps freed memory: after a large block is freed, blocks up to its size come from
the heap, where a single small block above them prevents its return.
"""

import ctypes
from functools import cache

_M_MMAP_THRESHOLD = -3
_LARGE = 128 * 1024


def return_large_blocks() -> None:
    """Take large blocks from the system one by one, and give each back when freed."""
    libc = _libc()
    if libc is not None:
        # A threshold that was set does not grow with what is freed.
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)


def return_free_pages() -> None:
    """Return free pages between used ones: takes milliseconds."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _libc() -> ctypes.CDLL | None:
    """glibc; None where another library has none of these."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") else None
