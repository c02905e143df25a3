"""Long computations, beside the event loop.

One thread a worker does them, one after the other: however many are asked for, the
event loop gets the interpreter back every few milliseconds. What waits is bounded by
the rate limits of those who ask.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")

_pool = ThreadPoolExecutor(1, "offload")
"""Starts its thread with the first computation."""


async def offload(work: Callable[[], Value]) -> Value:
    """What ``work`` returns or raises; it must share nothing that others change."""
    return await asyncio.get_running_loop().run_in_executor(_pool, work)
