"""A broker on each kind of storage."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.broker import RunningBroker, running_broker
from tests.support.servers import start_postgresql, start_redis
from tests.support.tables import own_database

STORAGES = ("embedded", "redis+postgresql")


@contextmanager
def broker_on(
    storage: str, folder: Path, *, fsync: bool = False, **options: Any
) -> Iterator[RunningBroker]:
    """A broker with stores of its own; options are those of `running_broker`."""
    with ExitStack() as stack:
        if storage != "embedded":
            options["redis_url"] = stack.enter_context(start_redis()).url
            options["database_url"] = stack.enter_context(_database(fsync=fsync))
        yield stack.enter_context(running_broker(folder, **options))


@contextmanager
def _database(*, fsync: bool) -> Iterator[str]:
    if fsync:
        with start_postgresql(fsync=True) as server:
            yield server.create_database("broker")
    else:
        with own_database() as url:
            yield url
