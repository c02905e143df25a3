"""Workers on one machine tell each other what they read of the directory.

So each of them remembers what any of them needs, and serves it while the database is
away. A message says what was read, and never what was found.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket

from broker.model.account import AccountId
from broker.stores.directory.freshness import Freshness
from broker.stores.directory.kind import Key, Reading
from broker.stores.directory.readings import READINGS

_SUFFIX = ".worker"
_MESSAGE_BYTES_MAX = 65536


@asynccontextmanager
async def telling_siblings(folder: Path, memory: Freshness) -> AsyncIterator[None]:
    """Tell and listen, over sockets in a folder that only the workers may enter."""
    loop = asyncio.get_running_loop()
    address = folder / f"{os.getpid()}{_SUFFIX}"
    address.unlink(missing_ok=True)  # of a worker that was killed
    with socket(AF_UNIX, SOCK_DGRAM) as mine:
        mine.settimeout(0)
        try:
            mine.bind(str(address))
        except OSError:
            # A temporary folder whose path is too long for a socket: each reads alone.
            yield
            return

        def tell(account: AccountId, reading: Reading[object], key: Key) -> None:
            message = json.dumps([account, READINGS.index(reading), key]).encode()
            for other in folder.glob(f"*{_SUFFIX}"):
                if other != address:
                    # It may be busy or gone; it can read by itself, later.
                    with suppress(OSError):
                        mine.sendto(message, str(other))

        def listen() -> None:
            account, number, key = json.loads(mine.recv(_MESSAGE_BYTES_MAX))
            memory.want(
                account, READINGS[number], tuple(key) if isinstance(key, list) else key
            )

        loop.add_reader(mine, listen)
        memory.tell = tell
        try:
            yield
        finally:
            memory.tell = None
            loop.remove_reader(mine)
            address.unlink(missing_ok=True)
