"""How much the tests do: what decides whether work lands, or with ``--long`` more."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TIMES_AS_MANY = 50
"""Examples of a property under ``--long``."""

is_long = False
"""``tests/conftest.py`` sets it before any test is collected."""


def examples(number: int) -> int:
    """How many of them a property is tried with."""
    return number * TIMES_AS_MANY if is_long else number


@contextmanager
def cpu_at_most(seconds: float) -> Iterator[None]:
    """What this thread computes inside; a busy machine does not make it more."""
    began = time.thread_time()
    yield
    assert time.thread_time() - began < seconds


def times_as_long(
    work: Callable[[], object], reference: Callable[[], object], tries: int = 7
) -> float:
    """How often the reference could be computed in the time that the work takes.

    Both in turns, by this thread's own time, and the least of each: what else the
    machine does makes either longer, never shorter.
    """
    least = {work: float("inf"), reference: float("inf")}
    for _ in range(tries):
        for compute, shortest in least.items():
            began = time.thread_time()
            compute()
            least[compute] = min(shortest, time.thread_time() - began)
    return least[work] / least[reference]
