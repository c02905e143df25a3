"""How much the tests do: what decides whether work lands, or with ``--long`` more."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

TIMES_AS_MANY = 50
"""Examples of a property under ``--long``."""

_REFERENCE_STEPS = 16_000
"""A millisecond of the idle core that the bounds of these tests were set on."""

_REFERENCE_TRIES = 7

is_long = False
"""``tests/conftest.py`` sets it before any test is collected."""


def examples(number: int) -> int:
    """How many of them a property is tried with."""
    return number * TIMES_AS_MANY if is_long else number


REFERENCE_SECONDS = 0.001
"""What `compute_reference` takes of an idle processor, about."""


def compute_reference() -> int:
    """What a bound of processor time is a multiple of."""
    return sum(len(str(number)) for number in range(_REFERENCE_STEPS))


def in_references(seconds: float) -> float:
    """How often the reference can be computed in that processor time, as of now.

    A slower machine, or one that is busy beside, takes longer for either.
    """
    taken = []
    for _ in range(_REFERENCE_TRIES):
        began = time.thread_time()
        compute_reference()
        taken.append(time.thread_time() - began)
    return seconds / median(taken)


@contextmanager
def cpu_at_most(references: float) -> Iterator[None]:
    """What this thread computes inside, at most so often the reference."""
    began = time.thread_time()
    yield
    assert in_references(time.thread_time() - began) < references


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
