"""A fresh account for each test, on a real SQLite file."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.iam import Iam, make_template, open_iam


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(make_template(tmp_path_factory.mktemp("directory")))


@pytest.fixture
async def iam(template: Path, tmp_path: Path) -> AsyncIterator[Iam]:
    async with open_iam(Path(shutil.copy(template, tmp_path / "broker.db"))) as made:
        yield made
