"""Two nodes on a Patroni cluster: a switchover, and a primary that dies."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.scenarios.test_timelines import LOST, nodes_on
from tests.support.patroni import PatroniNode, find_patroni, start_patroni, wait_until
from tests.support.taken_away import Holders, changes, readiness

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(find_patroni() is None, reason="Patroni is not installed"),
]


def test_what_is_taken_away_after_a_switchover_or_a_failover_is_dead(
    tmp_path: Path,
) -> None:
    with start_patroni() as (one, two):
        hosts = ",".join(f"127.0.0.1:{n.postgresql.port}" for n in (one, two))
        url = f"postgresql://broker@{hosts}/postgres?target_session_attrs=read-write"
        with nodes_on(url, tmp_path) as nodes:
            one.hand_over(two)
            wait_until(lambda: two.is_in_role("primary"))
            nodes.settle()
            nodes.holders.require_each_to_end(nodes.one, nodes.all())
            assert not any(readiness(node).get("notes") for node in nodes.all())

            wait_until(lambda: one.is_in_role("replica"))
            holders = Holders(nodes.one, nodes.root, "2")
            assert holders.all_are_good(nodes.all())
            with not_streaming(two, one):
                changes(nodes.one, nodes.root, LOST)
                assert holders.all_are_good(nodes.all())
                assert changes_at(one) < changes_at(two)
                two.kill()
            wait_until(lambda: one.is_in_role("primary"))
            nodes.settle()
            for node in nodes.all():
                wait_until(lambda n=node: bool(readiness(n).get("notes")))
            holders.require_each_to_end(nodes.other, nodes.all())

            two.start()
            wait_until(lambda: two.is_in_role("replica"))
            nodes.settle()
            for node in nodes.all():
                for name in holders.keys:
                    assert bool(holders.code(node, name)) == (name != "kept"), name


def changes_at(node: PatroniNode) -> int:
    """How many changes its database has."""
    return int(node.postgresql.sql("SELECT sum(generation) FROM generations"))


@contextmanager
def not_streaming(primary: PatroniNode, replica: PatroniNode) -> Iterator[None]:
    """The replica has all that there is now, and never gets what comes in the block."""
    position = primary.postgresql.sql("SELECT pg_current_wal_lsn()")
    replayed = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
    wait_until(lambda: replica.postgresql.sql(replayed) == "t")
    receiver = int(replica.postgresql.sql("SELECT pid FROM pg_stat_wal_receiver"))
    # Patroni would put a setting right again.
    os.kill(receiver, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(receiver, signal.SIGKILL)
