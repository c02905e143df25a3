"""Requests that no program of this machine sends on its own account.

A server that can be made to fetch an address (SSRF), an open proxy and a browser's page
must not get credentials.

Source: EC2 User Guide, "Use the Instance Metadata Service to access instance metadata"
(``X-Forwarded-For``); Fetch Standard, "Sec-Fetch-*" and "Origin".
"""

from collections.abc import Iterable

from broker.agent.configuration import Address
from broker.agent.http_server import Request

_OF_PROXIES = frozenset({"x-forwarded-for", "forwarded", "via"})
_OF_BROWSERS = frozenset({"origin", "referer"})
_BROWSERS_PREFIX = "sec-"
_OF_BODIES = frozenset({"transfer-encoding", "upgrade", "expect"})


class Doorkeeper:
    """Tells whether a request may be answered at all."""

    def __init__(self, listen: Iterable[Address], names: Iterable[str]) -> None:
        hosts = set(names)
        for address in listen:
            host = f"[{address.host}]" if ":" in address.host else address.host
            hosts |= {host, f"{host}:{address.port}"}
            if address.host in {"127.0.0.1", "::1"}:
                hosts |= {"localhost", f"localhost:{address.port}"}
        self._hosts = frozenset(host.lower() for host in hosts)

    def admits(self, request: Request) -> bool:
        """Whether it may come from a program of this machine.

        Another Host is what a name that was made to point here (DNS rebinding) brings.
        """
        headers = request.headers
        return (
            headers.get("host", "").lower() in self._hosts
            and request.path.startswith("/")
            and not _OF_PROXIES & headers.keys()
            and not _OF_BROWSERS & headers.keys()
            and not _OF_BODIES & headers.keys()
            and not any(name.startswith(_BROWSERS_PREFIX) for name in headers)
        )
