"""Sockets that systemd opened, and notifications to it.

Source: sd_listen_fds(3), sd_notify(3).
"""

import os
import socket
from collections import defaultdict
from collections.abc import Mapping, MutableMapping

_FIRST = 3


def take_sockets(
    environment: MutableMapping[str, str],
) -> Mapping[str, list[socket.socket]]:
    """The sockets handed over, by their names; the environment is cleared of them."""
    process = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "0")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    results: dict[str, list[socket.socket]] = defaultdict(list)
    if process != str(os.getpid()) or not count.isdigit():
        return results
    for number in range(int(count)):
        os.set_inheritable(_FIRST + number, False)  # noqa: FBT003  # the library's
        listener = socket.socket(fileno=_FIRST + number)
        listener.setblocking(False)  # noqa: FBT003  # one flag, as above
        results[names[number] if number < len(names) else ""].append(listener)
    return results


def notify(state: str, environment: Mapping[str, str]) -> None:
    """Tell systemd, if it started us and wants to know."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return  # it is not worth the service
