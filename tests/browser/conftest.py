from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.browser import CHROMIUM, Scene, open_scene

HAS_CHROMIUM = CHROMIUM.exists()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    if not HAS_CHROMIUM:
        pytest.skip("Debian's chromium is not installed")
    async with open_scene(tmp_path) as scene:
        yield scene
