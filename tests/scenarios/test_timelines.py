"""A database that lost its newest transactions: nothing taken away afterwards is good.

Two nodes, and a PostgreSQL that fails over to a replica which lacks the last changes, or
is restored to an earlier time; an embedded database that is restored.
"""

import json
import os
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.scenarios.test_two_nodes import copy_keyring
from tests.support.broker import Key, RunningBroker, running_broker
from tests.support.forked import run_forked
from tests.support.replicas import Pair, back_up, restore, start_pair
from tests.support.servers import (
    PostgresqlServer,
    find_workers,
    server_folder,
    start_postgresql,
)
from tests.support.taken_away import Holders, changes, readiness, until_answered

LOST = 6
"""Changes of one account that the failover loses."""

pytestmark = pytest.mark.timeout(300)


@dataclass
class Nodes:
    one: RunningBroker
    other: RunningBroker
    holders: Holders
    root: Key

    def all(self) -> tuple[RunningBroker, RunningBroker]:
        return self.one, self.other

    def settle(self) -> None:
        """Wait until both serve with the database that is there now."""
        for node in self.all():
            until_answered(lambda n=node: changes(n, self.root, 1))
            until_answered(lambda n=node: n.client("iam", self.root).list_users())


@contextmanager
def nodes_on(url: str, folder: Path, **options: object) -> Iterator[Nodes]:
    for name in ("one", "other"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        one = stack.enter_context(
            running_broker(folder / "one", database_url=url, **options)
        )
        root = one.create_account()
        copy_keyring(folder)
        other = stack.enter_context(
            running_broker(folder / "other", database_url=url, **options)
        )
        holders = Holders(one, root)
        nodes = Nodes(one, other, holders, root)
        nodes.settle()
        assert holders.all_are_good(nodes.all())
        yield nodes


@pytest.fixture
def pair() -> Iterator[Pair]:
    with start_pair() as pair:
        yield pair


def test_what_is_taken_away_after_a_failover_that_lost_changes_is_dead(
    pair: Pair, tmp_path: Path
) -> None:
    with nodes_on(pair.url(), tmp_path) as nodes:
        pair.cut()
        changes(nodes.one, nodes.root, LOST)
        assert nodes.holders.all_are_good(nodes.all())
        assert not any(readiness(node).get("notes") for node in nodes.all())
        pair.fail_over()
        nodes.settle()
        nodes.holders.require_each_to_end(nodes.one, nodes.all())
        for node in nodes.all():
            assert "lacks changes that it had" in readiness(node)["notes"][0]
            assert "lacks changes that it had" in node.log
            # Again if the other node's announcement reaches it later.
            assert counted_timelines(node) >= 1
        findings = findings_of(nodes.one)
        assert "lacked changes that it had" in findings["database"]
        assert "replication is asynchronous" in findings["replication"]
        for setting in (
            "synchronous_standby_names = 'ANY 1 (spare)'",
            "synchronous_commit = 'local'",
        ):
            pair.replica.sql(f"ALTER SYSTEM SET {setting}")
        pair.replica.sql("SELECT pg_reload_conf()")
        assert "is asynchronous" in findings_of(nodes.one)["replication"]
        pair.replica.sql("ALTER SYSTEM RESET synchronous_commit")
        pair.replica.sql("SELECT pg_reload_conf()")
        assert findings_of(nodes.one)["replication"] == "synchronous"


def test_a_timeline_that_went_back_and_overtook_is_recognised(
    pair: Pair, tmp_path: Path
) -> None:
    """Both nodes are stopped meanwhile; a third one makes more changes than were lost."""
    with nodes_on(pair.url(), tmp_path) as nodes:
        pair.cut()
        changes(nodes.one, nodes.root, LOST)
        assert nodes.holders.all_are_good(nodes.all())
        with stopped(*nodes.all()):
            pair.fail_over()
            (tmp_path / "third").mkdir()
            shutil.copytree(tmp_path / "one" / "data", tmp_path / "third" / "data")
            with running_broker(tmp_path / "third", database_url=pair.url()) as third:
                for name in (
                    "deactivated",
                    "deleted",
                    "denied",
                    "unallowed",
                    "revoked",
                ):
                    nodes.holders.take_away(third, name)
                changes(third, nodes.root, 2 * LOST)
        for node in nodes.all():
            until_answered(lambda n=node: n.client("iam", nodes.root).list_users())
            for name in nodes.holders.keys:
                assert bool(nodes.holders.code(node, name)) == (name != "kept"), name


def findings_of(broker: RunningBroker) -> dict[str, str]:
    """The last finding of ``broker doctor`` about each subject."""
    done = run_forked(("doctor", "--json"), broker.environment)
    found = map(json.loads, done.stdout.splitlines())
    return {finding["subject"]: finding["text"] for finding in found}


def counted_timelines(broker: RunningBroker) -> float:
    with urllib.request.urlopen(f"{broker.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    name = "broker_database_timelines_total "
    return sum(
        float(line.removeprefix(name)) for line in lines if line.startswith(name)
    )


@contextmanager
def stopped(*brokers: RunningBroker) -> Iterator[None]:
    pids = [
        pid
        for broker in brokers
        if broker.process is not None
        for pid in (*find_workers(broker.process.pid), broker.process.pid)
    ]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_point_in_time_restore_under_running_brokers(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(start_postgresql(fsync=True))
        backup = stack.enter_context(server_folder()) / "backup"
        nodes = stack.enter_context(nodes_on(server.url, tmp_path))
        back_up(server, backup)
        changes(nodes.one, nodes.root, LOST)
        assert nodes.holders.all_are_good(nodes.all())
        restore(server, backup)
        nodes.settle()
        nodes.holders.require_each_to_end(nodes.one, nodes.all())


def test_an_embedded_database_that_was_restored(tmp_path: Path) -> None:
    with running_broker(tmp_path, workers=2) as broker:
        root = broker.create_account()
        holders = Holders(broker, root)
        broker.stop()
        database = tmp_path / "data" / "broker.db"
        for leftover in (f"{database}-wal", f"{database}-shm"):
            assert not Path(leftover).exists()
        kept = tmp_path / "backup.db"
        shutil.copy2(database, kept)
        broker.start()
        changes(broker, root, LOST)
        assert holders.all_are_good([broker])
        broker.stop()
        shutil.copy2(kept, database)
        broker.start()
        # Both workers are asked.
        holders.require_each_to_end(broker, [broker] * 4)


def test_an_old_primary_that_comes_back_is_neither_written_nor_believed(
    pair: Pair, tmp_path: Path
) -> None:
    """Of two hosts that can be written it is the first."""
    with nodes_on(pair.url(), tmp_path) as nodes:
        old, new = pair.primary, pair.replica
        pair.fail_over()
        nodes.settle()
        nodes.holders.require_each_to_end(nodes.one, nodes.all())
        old.start()
        assert old.sql("SELECT pg_is_in_recovery()") == "f"
        was = written(old)

        new.sql(CUT_OFF)
        nodes.settle()
        changes(nodes.one, nodes.root, 24)
        new.stop()
        for node in nodes.all():
            requires_another_server(node, nodes)
        nodes.other.kill()
        with pytest.raises(AssertionError, match="it is an old primary"):
            nodes.other.start()
        new.start()
        nodes.other.start()
        nodes.settle()
        changes(nodes.other, nodes.root, 2)
        for node in nodes.all():
            for name in nodes.holders.keys:
                assert bool(nodes.holders.code(node, name)) == (name != "kept"), name
        assert written(old) == was
        assert "it is an old primary" in nodes.one.log


CUT_OFF = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = 'broker'
"""


def written(server: PostgresqlServer) -> str:
    """What its database has of changes and records."""
    return server.sql(
        "SELECT (SELECT sum(generation) FROM generations),"
        " (SELECT count(*) FROM audit), (SELECT max(seq) FROM audit)"
    )


def requires_another_server(node: RunningBroker, nodes: Nodes) -> None:
    """Neither the node nor its commands use the one that is there."""
    for name in ("deactivated", "kept"):
        assert nodes.holders.code(node, name)
    with pytest.raises(ClientError) as refused:
        changes(node, nodes.root, 1)
    assert refused.value.response["Error"]["Code"] == "ServiceUnavailable"
    for words in (("sessions", "revoke", "ASIAEXAMPLE"), ("doctor",)):
        done = run_forked(words, node.environment)
        assert done.returncode != 0
        assert "it is an old primary" in done.stdout + done.stderr
