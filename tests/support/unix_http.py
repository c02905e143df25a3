"""HTTP through a unix socket."""

import http.client
import socket
from pathlib import Path

_SECONDS = 30


class UnixConnection(http.client.HTTPConnection):
    """A connection through the socket at a path."""

    def __init__(self, path: Path) -> None:
        super().__init__("unix", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(str(self._path))
