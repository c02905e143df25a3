"""HTTPS to names that a private DNS leads to the broker."""

import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PrivateDns:
    """Every name leads to the TLS in front of the broker; its authority is trusted."""

    port: int
    authority: Path

    def send(
        self,
        host: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: str = "",
    ) -> tuple[int, str]:
        """An answer's status and body; no redirect is followed."""
        trust = ssl.create_default_context(cafile=str(self.authority))
        connection = http.client.HTTPSConnection(host, timeout=30, context=trust)
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as plain:
            connection.sock = trust.wrap_socket(plain, server_hostname=host)
            try:
                connection.putrequest(method, target, skip_host="Host" in headers)
                for name, value in headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body.encode())
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            finally:
                connection.close()
