"""A fresh account for each test, on a real SQLite file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.iam import Iam, open_iam


@pytest.fixture
async def iam(tmp_path: Path) -> AsyncIterator[Iam]:
    async with open_iam(tmp_path / "broker.db") as made:
        yield made
