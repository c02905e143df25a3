"""The sockets of ``broker serve`` and ``broker demo``: bound, or a sentence why not."""

import errno
import socket
from contextlib import ExitStack

_REFUSED = frozenset({errno.EADDRINUSE, errno.EACCES, errno.EPERM})


class ListenError(Exception):
    """An address cannot be listened on; the text says what to write."""


def listen(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of a host.

    Raises:
        ListenError: one of them is taken, forbidden, or none of this machine's.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        raise ListenError(_no_address(host)) from None
    with ExitStack() as stack:
        made = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                one = stack.enter_context(socket.socket(family, kind, protocol))
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                one.bind(address)
            except OSError as error:
                if error.errno in _REFUSED:
                    raise ListenError(_told(host, port, error)) from None
                continue  # a family that this machine does not have
            made.append(one)
        if not made:
            raise ListenError(_no_address(host))
        stack.pop_all()
        return made


def _told(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken by another program; stop that, or write"
            f" another port, such as --port {_other(port)}"
        )
    return (
        f"this user may not listen on port {port} of {host}; write a port above 1023,"
        f" such as --port 8080"
    )


def _other(port: int) -> int:
    return port + 10 if port < 65_000 else port - 10  # noqa: PLR2004  # below 65,536


def _no_address(host: str) -> str:
    return (
        f"{host!r} is no address of this machine; write such as --host 127.0.0.1 or"
        " --host 0.0.0.0"
    )
