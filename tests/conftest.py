"""What holds for every test."""

import gc

import pytest
from hypothesis import settings

from tests.support.kept import UNTIL_THE_END

# Timings never decide a test: a busy machine is not a bug.
settings.register_profile("broker", deadline=None, print_blob=True)
settings.load_profile("broker")


def pytest_collection_finish(session: pytest.Session) -> None:  # noqa: ARG001
    """What is imported by now stays: no collection need look through it again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:  # noqa: ARG001
    UNTIL_THE_END.close()
