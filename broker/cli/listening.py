"""Opening the listening sockets of ``broker serve`` and ``broker demo``."""

import errno
import os
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from broker.errors import OperatorError

_REFUSED = frozenset({errno.EADDRINUSE, errno.EACCES, errno.EPERM})


class ListenError(OperatorError):
    """An address cannot be listened on; the text says what to use instead."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Bind a socket to each address of a host.

    Raises:
        ListenError: One is in use or forbidden, or none is on this machine.
    """
    try:
        results = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        raise ListenError(_no_address(host)) from None
    with ExitStack() as stack:
        made = []
        for family, kind, protocol, _, address in dict.fromkeys(results):
            try:
                entry = stack.enter_context(socket.socket(family, kind, protocol))
                entry.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    entry.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                entry.bind(address)
            except OSError as error:
                if error.errno in _REFUSED:
                    raise ListenError(_describe(host, port, error)) from None
                continue  # this machine lacks the address family, such as IPv6
            made.append(entry)
        if not made:
            raise ListenError(_no_address(host))
        stack.pop_all()
        return made


@contextmanager
def private_socket(path: Path) -> Iterator[socket.socket]:
    """A unix socket for owner and group; replaces one that nobody serves any more.

    It is removed at the end, unless another program's has taken its place.

    Raises:
        ListenError: something else is there, or no socket can be.
    """
    _remove_stale(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o117)  # never open to others, not even for a moment
    try:
        made.bind(str(path))
        made.listen()  # so that a second start finds it in use
    except OSError as error:
        made.close()
        raise ListenError(f"cannot make the socket {path}: {error}") from None
    finally:
        os.umask(mask)
    ours = path.lstat()
    # uvicorn raises the signal that ended it once more, which would end all else too.
    before = signal.signal(signal.SIGTERM, _terminate)
    is_terminated = False
    try:
        yield made
    except _Terminated:
        is_terminated = True
    finally:
        made.close()
        with suppress(OSError):
            if os.path.samestat(ours, path.lstat()):
                path.unlink()
        signal.signal(signal.SIGTERM, before)
    if is_terminated:
        signal.raise_signal(signal.SIGTERM)


class _Terminated(BaseException):
    """The process was asked to end."""


def _terminate(_number: int, _frame: object) -> None:
    raise _Terminated


def _remove_stale(path: Path) -> None:
    try:
        results = path.lstat()
    except OSError:
        return
    if not stat.S_ISSOCK(results.st_mode):
        raise ListenError(f"{path} exists and is not a socket; use another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError as error:
            raise ListenError(f"cannot use the socket {path}: {error}") from None
        else:
            raise ListenError(
                f"the socket {path} is in use by another program; stop it, or use"
                " another path"
            )


def _describe(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use by another program; stop it, or use"
            f" another port, such as --port {_other(port)}"
        )
    return (
        f"this user is not allowed to listen on port {port} of {host}; use a port above"
        f" 1023, such as --port 8080"
    )


def _other(port: int) -> int:
    return port + 10 if port < 65_000 else port - 10  # noqa: PLR2004  # below 65,536


def _no_address(host: str) -> str:
    return (
        f"{host!r} is not an address of this machine; use for example"
        " --host 127.0.0.1 or --host 0.0.0.0"
    )


def is_loopback(host: str) -> bool:
    """Whether a host, perhaps with a port, is this very machine."""
    name = urlsplit(f"//{host}").hostname or host
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
