"""Files that only their owner may read, replaced as a whole."""

import contextlib
import os
import stat
import tempfile
from pathlib import Path

_FILE_BYTES_MAX = 65_536

Stamp = tuple[int, int, int]
"""What tells a file from the one that was in its place before."""


def stamp_of(path: Path) -> Stamp | None:
    """The present file's; None where there is none."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return (status.st_mtime_ns, status.st_ino, status.st_size)
    return None


def read_text(path: Path) -> str:
    """The text of a small file, without white space around it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is empty, too long, or no text.
    """
    with path.open("rb") as file:
        raw = file.read(_FILE_BYTES_MAX + 1)
    if len(raw) > _FILE_BYTES_MAX:
        raise ValueError(f"{path} has more than {_FILE_BYTES_MAX} bytes")
    text = raw.decode().strip()
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def write_private(path: Path, text: str) -> None:
    """Replace a file, with mode 0600: readers see the old or the new one, whole.

    Raises:
        OSError: it cannot be written; the old one is still there.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def is_private(path: Path) -> bool:
    """Whether no one but the owner may read it."""
    return not stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
