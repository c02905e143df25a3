"""A network of its own, for a thread and the processes that it starts.

It needs the right to make one (root), and iproute2; `.ci/setup test` installs that.
"""

import ctypes
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.support.forked import start_fork_server

Value = TypeVar("Value")

_CLONE_NEWNET = 0x40000000


def in_own_network(work: Callable[[], Value], *addresses: str) -> Value:
    """The work's result, in a network with a loopback that has these addresses too.

    The network ends with its last process. What is forked for any test is outside.
    """
    start_fork_server()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_enter, addresses).result()
        return thread.submit(work).result()


def _enter(addresses: tuple[str, ...]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise PermissionError(os.strerror(ctypes.get_errno()))
    for words in (
        ("link", "set", "lo", "up"),
        *(("address", "add", address, "dev", "lo") for address in addresses),
    ):
        subprocess.run(["ip", *words], check=True, capture_output=True)
