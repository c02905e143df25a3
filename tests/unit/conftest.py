from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.iam import Iam, open_iam
from tests.support.signin import SignInWorld, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path) as world:
        yield world


@pytest.fixture
async def iam(tmp_path: Path) -> AsyncIterator[Iam]:
    """A fresh account for each test, on a real SQLite file."""
    async with open_iam(tmp_path / "broker.db") as made:
        yield made
