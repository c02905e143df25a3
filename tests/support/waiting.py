"""Waits for what must come, however slow the machine is."""

import asyncio
from collections.abc import Callable


async def until(done: Callable[[], object], seconds: float = 20) -> None:
    """Look again and again, where nothing tells; fails after ``seconds``."""
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110  # what it waits for has no event
            await asyncio.sleep(0.005)
