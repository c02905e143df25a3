"""Holds audit records, fsynced, while the database is away.

One JSON-lines file a process, held by a lock; files of processes that died are
taken over by the next one that starts. Bounded in bytes: a full spool refuses.
"""

import contextlib
import errno
import fcntl
import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from broker.stores.audit_rows import AuditRow, complete_row

BYTES_MAX = 64 * 1024 * 1024
_PATTERN = "audit-spool-*.jsonl"


class SpoolFullError(Exception):
    """The spool has reached its limit, or its disk is full."""


class Spool:
    """A bounded file of rows; used by one thread at a time.

    The file is made at the first row, so that an installation whose database never
    went away has none.
    """

    def __init__(self, folder: Path, *, max_bytes: int = BYTES_MAX) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._size == 0

    def adopt(self) -> None:
        """Take over the files of processes that have ended."""
        for path in sorted(self._folder.glob(_PATTERN)):
            if path == self._path:
                continue
            try:
                with path.open("rb") as orphan:
                    fcntl.flock(orphan, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    lines = [line for line in orphan if line.endswith(b"\n")]
                    self._write(b"".join(lines))
                    path.unlink()
            except (OSError, SpoolFullError):
                continue  # its owner lives, or there is no room yet

    def put(self, rows: Sequence[AuditRow]) -> None:
        """Keep rows, on the disk when this returns.

        Raises:
            SpoolFullError: none of them was kept.
        """
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        self._write(lines.encode("ascii"))

    def rows(self) -> list[AuditRow]:
        """All rows that wait, oldest first."""
        if self._file is None:
            return []
        results: list[AuditRow] = []
        # By the open file: an operator who frees disk space may have deleted its name.
        for line in os.pread(self._file.fileno(), self._size, 0).splitlines():
            # A line cut short by a crash was never acknowledged.
            with contextlib.suppress(ValueError):
                row = complete_row(json.loads(line))
                if row is not None:
                    results.append(row)
        return results

    def clear(self) -> None:
        """Forget all rows: they are in the database."""
        if self._file is not None:
            self._file.truncate(0)
            self._size = 0

    def close(self) -> None:
        """Let go of the file; an empty one is removed."""
        if self._file is not None and self._path is not None:
            if self.is_empty:
                self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = self._path = None

    def _write(self, data: bytes) -> None:
        if not data:
            return
        if self._size + len(data) > self._max_bytes:
            raise SpoolFullError("the audit spool is full")
        try:
            file = self._file or self._open()
            _write_all(file, data)
        except OSError as error:
            if self._file is not None:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._size)
            raise SpoolFullError("the audit spool cannot be written") from error
        self._size += len(data)

    def _open(self) -> BinaryIO:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = self._folder / _PATTERN.replace("*", uuid.uuid4().hex)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
            file = os.fdopen(os.open(path, flags, 0o600), "ab", buffering=0)
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists():
                self._path, self._file = path, file
                return file
            file.close()  # a process that just started took it for a dead one's


def _write_all(file: BinaryIO, data: bytes) -> None:
    if file.write(data) < len(data):  # what a disk that fills up still took
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file.fileno())
