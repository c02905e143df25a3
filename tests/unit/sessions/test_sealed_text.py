"""Sealed texts: what opens, for whom, how long, and how long they may be."""

from datetime import timedelta
from pathlib import Path

import pytest

from broker.sessions.sealed_text import LONGEST, SealedTexts
from tests.support.signin import open_world


@pytest.mark.parametrize(("characters", "opens"), [(5900, True), (6200, False)])
async def test_no_text_longer_than_the_bound_is_opened(
    tmp_path: Path, characters: int, opens: bool
) -> None:
    async with open_world(tmp_path) as world:
        now = world.clock.now()
        texts = SealedTexts(world.services.vault, "a purpose")
        text = texts.seal({"x": "y" * characters}, now + timedelta(hours=1))
        assert (len(text) <= LONGEST) is opens
        assert (texts.find_opened(text, now) is not None) is opens
        if opens:
            other = SealedTexts(world.services.vault, "another")
            assert other.find_opened(text, now) is None
            assert texts.find_opened(text, now + timedelta(hours=1)) is None
