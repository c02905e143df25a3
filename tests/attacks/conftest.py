from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.signin import SignInWorld, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path) as world:
        yield world
