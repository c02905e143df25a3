import re
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from broker.runtime import entropy


def test_nothing_is_handed_out_twice() -> None:
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda _: entropy.random_bytes(16), range(20_000)))
    assert len(set(drawn)) == len(drawn)


def test_a_long_draw_is_whole() -> None:
    assert len(entropy.random_bytes(100_000)) == 100_000


def test_a_request_id_is_in_the_order_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [1, 1_764_000_000_000, 1_764_000_000_001, 2**48 - 1]
    ids = []
    for milliseconds in moments:
        monkeypatch.setattr(time, "time_ns", lambda n=milliseconds: n * 1_000_000)
        ids.append(entropy.new_request_id())
    assert ids == sorted(ids)
    read = [uuid.UUID(text) for text in ids]
    assert [entry.int >> 80 for entry in read] == moments
    assert {(entry.version, entry.variant) for entry in read} == {(7, uuid.RFC_4122)}


FORK = """
import os
from broker.runtime import entropy
entropy.random_bytes(1)
child = os.fork()
os.write(1, entropy.random_bytes(16).hex().encode() + b"\\n")
if child:
    os.waitpid(child, 0)
"""


def test_a_forked_child_draws_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, check=True
    )
    parent, child = done.stdout.split()
    assert parent != child


def test_bits_fill_their_whole_range() -> None:
    drawn = [entropy.random_bits(39) for _ in range(2000)]
    assert all(0 <= number < 1 << 39 for number in drawn)
    ones, zeros = 0, 0
    for number in drawn:
        ones |= number
        zeros |= ~number & ((1 << 39) - 1)
    assert ones == zeros == (1 << 39) - 1


def test_ids_have_their_forms() -> None:
    assert re.fullmatch(r"AROA[A-Z2-7]{17}", entropy.new_unique_id("AROA"))
    assert re.fullmatch(r"SAMLSP[A-Z2-7]{16}", entropy.new_provider_id("SAMLSP"))
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", entropy.new_secret_access_key())
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", entropy.new_handle())
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        entropy.new_request_id(),
    )
