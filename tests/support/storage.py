"""A broker on each kind of storage."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.broker import RunningBroker, running_broker
from tests.support.servers import start_postgresql, start_redis

STORAGES = ("embedded", "redis+postgresql")


@contextmanager
def broker_on(
    storage: str, folder: Path, *, fsync: bool = False, **options: Any
) -> Iterator[RunningBroker]:
    """A broker and the servers of its stores; options are those of `running_broker`."""
    with ExitStack() as stack:
        if storage != "embedded":
            options["redis_url"] = stack.enter_context(start_redis()).url
            postgresql = stack.enter_context(start_postgresql(fsync=fsync))
            options["database_url"] = postgresql.create_database("broker")
        yield stack.enter_context(running_broker(folder, **options))
