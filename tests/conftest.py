"""What holds for every test."""

import functools
import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import jinja2
import pytest
import structlog
from argon2 import PasswordHasher
from hypothesis import is_hypothesis_test, settings
from jinja2.bccache import Bucket

# Its models look through all modules that are there: early, that is a fifth of the work.
import broker.protocols.scim.requests  # noqa: F401
from broker.kinds import passwords
from tests.support import effort, rows
from tests.support.kept import UNTIL_THE_END
from tests.support.programs import ProgramRecord

_MEMORY = Path("/dev/shm")
"""A file system without a disk; a commit's fsync costs milliseconds on one."""

_ROOM_BYTES = 4 << 30


class _CompiledOnce(jinja2.BytecodeCache):
    """Templates as code, for every broker of the process."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key, bucket.checksum] = bucket.code


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        action="store_true",
        help="what is long by nature, and nothing else: see tests/README.md",
    )
    parser.addoption(
        "--row", default="", help="of rows in one test, those with this in their name"
    )


def pytest_configure(config: pytest.Config) -> None:
    effort.is_long = config.getoption("--long")
    rows.wanted = config.getoption("--row")
    config.pluginmanager.register(ProgramRecord())
    # Half of what a test of a page computes would be the compiling of templates.
    once = functools.partialmethod(
        jinja2.Environment.__init__, bytecode_cache=_CompiledOnce()
    )
    jinja2.Environment.__init__ = once  # type: ignore[method-assign,assignment]
    # Tests of brokers in processes of their own pay for passwords.
    passwords._HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # type: ignore[misc]
    if "TMPDIR" not in os.environ and _has_room():
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)
    # Timings never decide a test: a busy machine is not a bug.
    settings.register_profile(
        "broker", deadline=None, print_blob=True, max_examples=effort.examples(50)
    )
    settings.load_profile("broker")


def _has_room() -> bool:
    return _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    wanted, left = [], []
    for item in items:
        (wanted if _is_wanted(item) else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = wanted


def _is_wanted(item: pytest.Item) -> bool:
    is_long = item.get_closest_marker("long") is not None
    if not effort.is_long:
        return not is_long
    goes_further = item.get_closest_marker("deep") is not None
    return is_long or goes_further or is_hypothesis_test(getattr(item, "obj", None))


@pytest.fixture(autouse=True)
def _logs_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command's logs go to its own streams, and those end with it."""
    configure, before = structlog.configure, structlog.get_config()
    root = logging.getLogger()
    handlers, level = root.handlers, root.level

    def uncached(**params: Any) -> None:
        configure(**{**params, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", uncached)
    yield
    configure(**before)
    root.handlers = handlers
    root.setLevel(level)


def pytest_collection_finish(session: pytest.Session) -> None:  # noqa: ARG001
    """What is imported by now stays: no collection need look through it again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:  # noqa: ARG001
    UNTIL_THE_END.close()
