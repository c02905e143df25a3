"""PostgreSQL with a streaming replica, and servers that go back to an earlier time."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.servers import (
    PostgresqlServer,
    as_unprivileged,
    find_postgresql,
    server_folder,
    start_postgresql,
)

_SECONDS = 30
_RECOVER = """
restore_command = 'false'
recovery_target = 'immediate'
recovery_target_action = 'promote'
"""


class Pair:
    """A primary and its replica, which follows asynchronously, as is the default."""

    def __init__(self, primary: PostgresqlServer, replica: PostgresqlServer) -> None:
        self.primary = primary
        self.replica = replica

    def url(self, database: str = "postgres") -> str:
        """For ``BROKER_DATABASE_URL``: both hosts, the first primary first."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.replica.port}"
        return f"postgresql://broker@{hosts}/{database}?target_session_attrs=read-write"

    def catch_up(self) -> None:
        """Wait until the replica has what the primary has."""
        position = self.primary.sql("SELECT pg_current_wal_lsn()")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        _wait(lambda: self.replica.sql(replayed) == "t")

    def cut(self) -> None:
        """From now on the replica gets nothing more."""
        self.catch_up()
        self.replica.sql("ALTER SYSTEM SET primary_conninfo = ''")
        self.replica.sql("SELECT pg_reload_conf()")
        _wait(
            lambda: self.primary.sql("SELECT count(*) FROM pg_stat_replication") == "0"
        )

    def fail_over(self) -> None:
        """Lose the primary and promote the replica."""
        self.primary.kill()
        self.promote()

    def promote(self) -> None:
        assert self.replica.sql("SELECT pg_promote(true)") == "t"
        self.replica.sql("CHECKPOINT")


@contextmanager
def start_pair() -> Iterator[Pair]:
    """Both running, the replica in step."""
    with start_postgresql(fsync=True) as primary, replica_of(primary) as replica:
        pair = Pair(primary, replica)
        pair.catch_up()
        yield pair


@contextmanager
def replica_of(primary: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """A running streaming replica, made by a base backup."""
    with ExitStack() as stack:
        folder = stack.enter_context(server_folder())
        back_up(primary, folder / "data", "-R")
        yield stack.enter_context(start_postgresql(fsync=True, data=folder / "data"))


def back_up(server: PostgresqlServer, to: Path, *options: str) -> None:
    """A base backup of a running server."""
    binaries = find_postgresql()
    assert binaries is not None
    place = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "broker"]
    subprocess.run(
        [
            str(binaries / "pg_basebackup"),
            *place,
            "-D",
            str(to),
            "-c",
            "fast",
            *options,
        ],
        check=True,
        capture_output=True,
        timeout=_SECONDS,
        **as_unprivileged(),
    )


def restore(server: PostgresqlServer, backup: Path) -> None:
    """Stop it, bring it back to the time of a base backup, and start it."""
    server.kill()
    shutil.rmtree(server.data)
    subprocess.run(
        ["cp", "-a", str(backup), str(server.data)], check=True, **as_unprivileged()
    )
    with (server.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(_RECOVER)
    (server.data / "recovery.signal").touch()
    shutil.chown(server.data / "recovery.signal", *owner_of(server.data))
    server.start()
    _wait(lambda: server.sql("SELECT pg_is_in_recovery()") == "f")


def owner_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "the servers do not find together"
        time.sleep(0.02)
