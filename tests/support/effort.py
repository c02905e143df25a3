"""How much the tests do: what decides whether work lands, or with ``--long`` more."""

import time
from collections.abc import Iterator
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
